"""The script on a clock that the test sets, and what a process does with its answers on a virtual clock."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from okx_sol_async.ratelimit.shared.reservations import Ledger, SharedBucket, Unreachable

from okx_sol_async import PushBack, RateLimit, Scope, Timeout
from okx_sol_async.ratelimit.latency import LEAST_LATENCY, MaxLatency
from okx_sol_async.ratelimit.pacing import Pace
from okx_sol_async.ratelimit.shared import reservations
from okx_sol_async.ratelimit.state import CLOCK_DRIFT
from tests.support.shared_clock import ON_A_SET_CLOCK, SET_BUT_FOR_EXPIRY
from tests.support.valkey import Valkey
from tests.support.virtual_time import run

SIX = RateLimit(6, 1.0, Scope.USER)
HOLD = 1_050_000
APART = 10_000


@pytest.fixture(autouse=True)
def _virtual_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let outages go by the clock of the loop too."""
    monkeypatch.setattr(reservations, "time", SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time()))


class Script:
    """The script on a server, with one bucket and a clock of its own, in microseconds."""

    def __init__(self, server: Valkey, text: str = ON_A_SET_CLOCK) -> None:
        self.client = server.client
        self.client.flushall()
        self._script = self.client.register_script(text)
        self.now = 1_800_000_000_000_000

    def reserve(self, *, back: int = 0, used: int = 0, requests: int = 6) -> tuple[int, int]:
        """Return when the slot is, and its name."""
        wait, name, _ = self.run("reserve", requests, HOLD, APART, back, used)
        return self.now + wait, name

    def run(self, *command: object) -> list[int]:
        answer: list[int] = self._script(["bucket"], [*command, self.now])
        return answer

    def kept_for(self, *commands: tuple[object, ...]) -> int:
        """Run the commands all at once, and return for how many milliseconds the bucket is kept from then on."""
        with self.client.pipeline(transaction=True) as pipeline:
            for command in commands:
                self._script(["bucket"], [*command, self.now], client=pipeline)
            pipeline.pttl("bucket")
            kept: int = pipeline.execute()[-1]
        return kept


@pytest.fixture(name="script")
def _script(valkey_server: Valkey) -> Iterator[Script]:
    script = Script(valkey_server)
    yield script
    script.client.close()


steps = st.lists(
    st.tuples(st.integers(0, 400_000), st.sampled_from(["reserve"] * 6 + ["give back", "late", "refused"])), max_size=60
)


@given(steps=steps, requests=st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_no_window_holds_more_slots_than_the_limit(
    running_valkey: Valkey, steps: list[tuple[int, str]], requests: int
) -> None:
    """Whatever is reserved, given back, settled and refused in between."""
    script = Script(running_valkey)
    slots: dict[int, int] = {}
    for later, what in steps:
        script.now += later
        newest = next(reversed(slots), 0)
        if what == "reserve":
            at, name = script.reserve(requests=requests)
            assert at >= script.now
            assert name not in slots
            slots[name] = at
        elif what == "give back" and slots.get(newest, 0) > script.now:
            del slots[newest]
            script.run("settle", newest, 0)
        elif what == "late" and slots.get(newest, script.now) < script.now:
            # It has just been answered, so it may count from now on.
            slots[newest] = script.now
            script.run("settle", newest, HOLD, 1)
        elif what == "refused":
            script.run("refused", 1_000_000, 1_000_000)
    script.client.close()
    times = sorted(slots.values())

    assert all(later - first >= HOLD for first, later in zip(times, times[requests:], strict=False))


def test_six_at_once_and_then_in_turns(script: Script) -> None:
    """What is idle is there at once; what is waited for is far enough apart that all take turns."""
    times = [script.reserve()[0] - script.now for _ in range(13)]

    assert [0] * 6 == times[:6]
    assert [HOLD + APART * number for number in range(6)] == times[6:12]
    assert 2 * HOLD == times[12]


def test_a_slot_that_is_given_back_is_the_next_ones(script: Script) -> None:
    """At once, and also while another is reserved."""
    for _ in range(6):
        script.reserve()
    at, name = script.reserve()

    at_again, name = script.reserve(back=name)

    assert at_again == at + APART

    script.run("settle", name, 0, 0)

    assert at_again + APART == script.reserve()[0]
    assert 7 == script.run("reserve", 100, HOLD, APART, 0, 0)[2] - 1


def test_a_clock_that_is_set_back_holds_nobody_up(script: Script) -> None:
    """The history goes back with it."""
    for _ in range(6):
        script.reserve()
    script.now -= 3_600_000_000

    assert HOLD == script.reserve()[0] - script.now


def test_lost_history_is_waited_for_once(script: Script) -> None:
    """Who comes with a slot that is not known says that others may have sent as well."""
    _, first = script.reserve()
    _, second = script.reserve()
    script.client.flushall()
    script.now += 10_000
    at, _ = script.reserve(used=first)

    assert HOLD == at - script.now

    script.now += 100_000
    script.reserve(used=second)
    script.now += 3 * HOLD

    assert script.now == script.reserve()[0]


def test_what_was_sent_without_the_count_is_counted(script: Script) -> None:
    """All wait for a window, and then for what others have sent meanwhile."""
    at, name = script.reserve(used=-1)

    assert HOLD == at - script.now

    back = script.now
    script.now += HOLD - 100_000
    script.run("settle", name, 0, 0)
    at, name = script.reserve(used=-4)
    times = [at, *(script.reserve()[0] for _ in range(2))]

    assert back + HOLD + APART == times[0]
    assert times[1] < script.now + HOLD
    assert times[2] >= script.now + HOLD


def test_nothing_is_kept_for_longer_than_it_matters(valkey_server: Valkey) -> None:
    """The key of a user goes by itself, also after a refusal."""
    script = Script(valkey_server, SET_BUT_FOR_EXPIRY)
    reserve = ("reserve", 6, HOLD, APART, 0, 0)

    assert 1000 < script.kept_for(reserve) <= 1051

    name = script.now
    settle = ("settle", name, 500_000, 0)
    refused = ("refused", 1_000_000, 1_000_000, 200_000, 400_000, 1.2, 30_000_000, 166_667)

    assert 30_000 < script.kept_for(("settle", name, 0, 0), reserve, settle, refused) <= 61_000

    script.now += 100_000_000
    script.run("settle", name, 0, 0)

    assert [] == script.client.keys()
    script.client.close()


@given(refusals=st.lists(st.integers(0, 40_000_000), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_shared_pace_is_that_of_a_bucket(running_valkey: Valkey, refusals: list[int]) -> None:
    """The server paces as `Pace` does, however refusals come."""
    script, policy = Script(running_valkey), PushBack()
    first, longest, even = (round(1e6 * seconds) for seconds in policy.intervals(6, 1.0))
    pace: Pace | None = None

    async def main() -> None:
        nonlocal pace
        for later in refusals:
            script.now += later
            now = script.now / 1e6
            if pace is not None and pace.ease(now):
                pace = None
            if pace is None:
                pace = Pace(policy, 6, 1.0, now)
            else:
                pace.refused(now)
            script.run("refused", 1_000_000, 1_000_000, first, longest, policy.step, 30_000_000, even)

    asyncio.run(main())
    assert pace is not None
    slots = [script.reserve()[0] for _ in range(3)]
    script.client.close()

    assert pace.paused_until * 1e6 == pytest.approx(slots[0], abs=2)
    gaps = [later - earlier for earlier, later in pairwise(slots)]
    assert [pace._interval * 1e6] * 2 == pytest.approx(gaps, abs=4)


# What a process does with the answers.


@attrs.define
class Book:
    """Stands in for the server: each slot is so many seconds ahead, and an answer takes its time."""

    wait: float = 0.0
    takes: float = 0.001
    fails: bool = False
    in_use: int = 6
    commands: list[tuple[float | str, ...]] = attrs.field(factory=list)

    async def __call__(self, bucket: str, command: tuple[float | str, ...]) -> list[int]:
        self.commands.append(command)
        wait = self.wait
        await asyncio.sleep(self.takes)
        if self.fails:
            reason = "it is gone"
            raise Unreachable(reason)
        return [round(wait * 1e6), len(self.commands), self.in_use] if command[0] == "reserve" else []

    def named(self, name: str) -> list[tuple[float | str, ...]]:
        return [command for command in self.commands if command[0] == name]


def bucket_of(book: Book, limit: RateLimit = SIX, **settings: object) -> SharedBucket:
    push_back = PushBack()
    arguments = {"margin": 0.05, "push_back": push_back, "on_failure": "local", "local_share": 1 / 6} | settings
    ledger = Ledger(book, **arguments)  # type: ignore[arg-type]
    return SharedBucket(limit, ledger, "bucket", push_back=push_back, longest=MaxLatency())


def virtual(test: Callable[[], object]) -> Callable[[], None]:
    """Run a test on a virtual clock."""

    def on_virtual_clock() -> None:
        run(test())  # type: ignore[arg-type]

    on_virtual_clock.__doc__ = test.__doc__
    return on_virtual_clock


def now() -> float:
    return asyncio.get_running_loop().time()


async def warm_up(bucket: SharedBucket, answers: int = 1) -> None:
    for _ in range(answers):
        lease = await bucket.acquire()
        await asyncio.sleep(0.05)
        lease.answered()
        await asyncio.sleep(2)


@virtual
async def test_one_reservation_at_a_time() -> None:
    """However many wait, a process holds one slot ahead."""
    book = Book(wait=0.5)
    bucket = bucket_of(book)
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(50)]
    await asyncio.sleep(0.4)

    assert 1 == len(book.commands)

    await asyncio.sleep(0.2)

    assert 2 == len(book.commands)
    assert 49 == bucket.queue
    for task in waiting:
        task.cancel()


@virtual
async def test_a_call_leaves_at_its_slot_and_not_before() -> None:
    """The wait is the server's, counted from its answer."""
    book = Book(wait=0.5, takes=0.01)
    bucket = bucket_of(book)
    began = now()
    await bucket.acquire()

    assert 0.51 == pytest.approx(now() - began, abs=1e-3)


@virtual
async def test_a_slot_that_nobody_waits_for_is_given_back() -> None:
    """A cancelled call costs nobody a token."""
    book = Book(wait=0.5)
    bucket = bucket_of(book)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0.1)

    assert [("settle", 1, 0)] == book.named("settle")
    assert bucket._idle_in() == 0


@virtual
async def test_a_reservation_that_comes_when_nobody_waits_any_more_is_given_back() -> None:
    """Also if it was on its way."""
    book = Book(wait=0.5, takes=0.2)
    bucket = bucket_of(book)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0.5)

    assert [("settle", 1, 0)] == book.named("settle")


@virtual
async def test_a_call_whose_slot_is_beyond_its_deadline_fails_at_once() -> None:
    """It is known as soon as the slot is, and the next in the queue takes it."""
    book = Book(wait=0.5)
    bucket = bucket_of(book)
    began = now()
    patient = []

    async def wait() -> None:
        await bucket.acquire()
        patient.append(now() - began)

    hopeless = asyncio.create_task(bucket.acquire(began + 0.3))
    other = asyncio.create_task(wait())
    with pytest.raises(Timeout, match="max_wait"):
        await hopeless

    assert now() - began < 0.01

    await other

    assert [0.501] == pytest.approx(patient, abs=1e-3)
    assert 1 == len(book.commands)


@virtual
async def test_who_comes_while_a_slot_is_known_fails_without_asking() -> None:
    """The wait for it is a lower bound."""
    book = Book(wait=0.5)
    bucket = bucket_of(book)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    assert 0.4 == pytest.approx(bucket.wait, abs=0.01)

    with pytest.raises(Timeout, match="at least"):
        await bucket.acquire(now() + 0.3)

    task.cancel()


@virtual
async def test_an_answer_from_the_server_that_came_late_is_not_used() -> None:
    """The slot is given back and another one reserved; a server that is always slow is taken as it is."""
    book = Book()
    bucket = bucket_of(book)
    await warm_up(bucket)
    book.commands.clear()
    book.takes = 0.2
    asyncio.get_running_loop().call_later(0.1, setattr, book, "takes", 0.001)
    await bucket.acquire()

    assert [0, 1] == [command[4] for command in book.named("reserve")]

    book.commands.clear()
    book.takes = 0.2
    await bucket.acquire()

    assert 3 == len(book.named("reserve"))

    book.commands.clear()
    book.in_use = 3
    await bucket.acquire()

    assert 1 == len(book.named("reserve"))


@virtual
async def test_a_process_that_knows_nothing_of_answers_is_careful() -> None:
    """Its first slots are in use for longer, until they are answered, because a first call connects."""
    book = Book()
    bucket = bucket_of(book)
    window = round(1e6 * (1 + CLOCK_DRIFT))
    lease = await bucket.acquire()
    await asyncio.sleep(0.3)
    lease.answered()
    await asyncio.sleep(0.1)
    (await bucket.acquire()).answered()
    await asyncio.sleep(0.1)

    assert [round(window + 1e6 * (0.05 + LEAST_LATENCY)), window + 50_000] == [
        command[2] for command in book.named("reserve")
    ]
    assert [("settle", 1, window, 0)] == book.named("settle")


@virtual
async def test_an_answer_that_took_too_long_is_told() -> None:
    """A call that may have arrived late counts from its answer, and one within the margin costs no command."""
    book = Book()
    bucket = bucket_of(book)
    await warm_up(bucket, 5)
    book.commands.clear()
    for took in (0.06, 0.09, 0.15):
        lease = await bucket.acquire()
        await asyncio.sleep(took)
        lease.answered()
        await asyncio.sleep(2)

    assert [("settle", 3, round(1e6 * (1 + CLOCK_DRIFT)), 1)] == book.named("settle")


@virtual
async def test_where_answers_vary_a_lot_slots_are_in_use_for_longer() -> None:
    """What the margin does not cover on average is added to it."""
    book = Book()
    bucket = bucket_of(book)
    await warm_up(bucket)
    for took in (0.05, 0.45) * 30:
        lease = await bucket.acquire()
        await asyncio.sleep(took)
        lease.answered()
        await asyncio.sleep(1)
    *_, hold, _apart, _back, _used = book.named("reserve")[-1]

    assert 1_001_000 + 150_000 < int(hold) < 1_001_000 + 250_000


@virtual
async def test_a_call_that_was_given_up_is_told() -> None:
    """It may still be on its way."""
    book = Book()
    bucket = bucket_of(book)
    await warm_up(bucket)
    (await bucket.acquire()).abandoned()
    await asyncio.sleep(0.1)

    assert ("settle", 3, round(1e6 * (1 + CLOCK_DRIFT + LEAST_LATENCY)), 1) == book.named("settle")[-1]


@virtual
async def test_a_refusal_is_told_before_anything_is_reserved() -> None:
    """And a slot that was reserved before it is given back."""
    book = Book()
    bucket = bucket_of(book)
    lease = await bucket.acquire()
    book.wait = 0.5
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    book.commands.clear()
    place = lease.refused()
    assert place is not None
    again = asyncio.create_task(place.acquire(None))
    await again

    kinds = [command[0] for command in book.commands if command[0] != "settle"]
    assert ["refused", "reserve"] == kinds[:2]
    assert 2 == book.named("reserve")[0][4]
    assert ("refused", 1_000_000, 1_000_000, 200_000, 400_000, 1.2, 30_000_000, 166_667) == book.named("refused")[0]
    assert not waiting.done()
    waiting.cancel()


@virtual
async def test_a_refusal_is_told_though_nobody_waits() -> None:
    """Also if it comes while something is asked, and by the process alone if it cannot be told."""
    book = Book(takes=0.2)
    bucket = bucket_of(book)
    lease = await bucket.acquire()
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    lease.refused()
    waiting.cancel()
    await asyncio.sleep(1)

    assert 1 == len(book.named("refused"))

    book.fails = True
    lease.refused()
    await asyncio.sleep(0.5)
    began = now()
    (await bucket.acquire()).answered()

    assert now() - began > 0.5


@virtual
async def test_what_was_sent_alone_is_told_once() -> None:
    """When the server is back, one window without calls makes it unimportant."""
    book = Book(fails=True)
    bucket = bucket_of(book, RateLimit(6, 5.0, Scope.USER))
    (await bucket.acquire()).answered()
    bucket._ledger.outage._try_at = 0.0
    book.fails = False
    for _ in range(3):
        (await bucket.acquire()).answered()

    # Then each question names the slot that was used last.
    assert [0, -1, 2] == [command[5] for command in book.named("reserve")][:3]


@virtual
async def test_what_leaves_alone_while_the_server_is_asked_is_told() -> None:
    """A call that goes when its turn comes, in the moment in which the server is found to be back."""
    book = Book(fails=True, takes=0.2)
    bucket = bucket_of(book, local_share=0.5)
    (await bucket.acquire()).answered()
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(9)]
    await asyncio.sleep(0.01)
    bucket._ledger.outage._try_at = 0.0
    book.fails = False
    book.commands.clear()
    await asyncio.sleep(1.5)
    told = [command[5] for command in book.named("reserve")]

    assert [-3, -3] == told[:2]
    assert -3 not in told[2:]
    for task in waiting:
        task.cancel()


@virtual
async def test_each_user_tells_what_was_sent_alone() -> None:
    """Also one whose next call finds the server back already, when its own call before is over."""
    book = Book(fails=True)
    one = bucket_of(book)
    two = SharedBucket(SIX, one._ledger, "another", push_back=PushBack(), longest=MaxLatency())
    for bucket in (one, two):
        lease = await bucket.acquire()
        await asyncio.sleep(0.03)
        lease.answered()
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.9)
    one._ledger.outage.end()
    book.fails = False
    book.commands.clear()
    await waiting

    assert [-1] == [command[5] for command in book.named("reserve")]


@virtual
async def test_who_was_idle_does_not_know_what_others_sent_alone() -> None:
    """So the first question after an outage says so, unless nobody sends alone."""
    for on_failure, told in (("local", -1), ("raise", 0)):
        book = Book(fails=True)
        bucket = bucket_of(book, on_failure=on_failure)
        await asyncio.gather(bucket.acquire(), return_exceptions=True)
        await asyncio.sleep(5)
        bucket._ledger.outage._try_at = 0.0
        book.fails = False
        book.commands.clear()
        await asyncio.gather(bucket.acquire(), bucket.acquire(), return_exceptions=True)
        await asyncio.sleep(1)

        assert told == book.named("reserve")[0][5]


@virtual
async def test_nothing_is_left_of_calls_that_were_cancelled() -> None:
    """Neither of those who fail, nor of those who wait for the pace."""
    book = Book(fails=True)
    bucket = bucket_of(book)
    (await bucket.acquire()).refused()
    tasks = [asyncio.create_task(bucket.acquire(now() + 50)) for _ in range(5)]
    await asyncio.sleep(1.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ledger = bucket._ledger

    assert not ledger.deadlines
    assert not ledger.failures
    assert not ledger.taken


@virtual
async def test_a_failure_of_the_limiter_reaches_all_who_wait() -> None:
    """Each has an error of its own."""
    book = Book(fails=True)
    bucket = bucket_of(book, on_failure="raise")
    outcomes = await asyncio.gather(*(bucket.acquire() for _ in range(3)), return_exceptions=True)

    assert 3 == len({id(outcome) for outcome in outcomes})
    assert not bucket._ledger.failures


def test_a_bucket_that_moves_to_another_loop_reserves_anew() -> None:
    """What was asked on a loop that is gone comes to nobody."""
    book = Book(takes=0.5)
    bucket = bucket_of(book)

    async def leave() -> None:
        task = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0.1)
        task.cancel()

    async def take() -> None:
        (await bucket.acquire()).answered()

    run(leave())
    run(take())

    assert 2 == len(book.named("reserve"))


def test_the_limit_of_a_process_by_itself() -> None:
    """A part of the limit, and one at least."""
    ledger = bucket_of(Book())._ledger

    assert [1, 1, 3] == [ledger.alone(RateLimit(requests, 1.0, Scope.USER)) for requests in (1, 6, 20)]
