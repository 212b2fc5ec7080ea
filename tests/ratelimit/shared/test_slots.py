"""What a process does with the replies of the store, on a virtual clock."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import attrs
import pytest

from okx_sol_async import PushBack, RateLimit, Scope, Timeout, TokenBucket
from okx_sol_async.ratelimit.bucket import make_bucket
from okx_sol_async.ratelimit.latency import LEAST_LATENCY, MaxLatency
from okx_sol_async.ratelimit.merging import idle_in
from okx_sol_async.ratelimit.shared import outage
from okx_sol_async.ratelimit.shared.outage import StoreUnavailable
from okx_sol_async.ratelimit.shared.slots import SharedSlots
from okx_sol_async.ratelimit.shared.store import SlotStore
from okx_sol_async.ratelimit.state import CLOCK_DRIFT, make_rules
from tests.support.virtual_time import run

SIX = RateLimit(6, 1.0, Scope.USER)


@pytest.fixture(autouse=True)
def _virtual_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let outages go by the clock of the loop too."""
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time()))


@attrs.define
class Book:
    """Stands in for the server: each slot is so many seconds ahead, and a reply takes its time."""

    wait: float = 0.0
    takes: float = 0.001
    fails: bool = False
    in_use: int = 6
    processes: int = 1
    rank: int = 0
    commands: list[tuple[float | str, ...]] = attrs.field(factory=list)

    async def run(self, bucket: str, command: tuple[float | str, ...]) -> object:
        self.commands.append(command)
        wait = self.wait
        await asyncio.sleep(self.takes)
        if self.fails:
            reason = "it is gone"
            raise StoreUnavailable(reason)
        if command[0] != "reserve":
            return []
        server_us = round(now() * 1e6)
        return [command[1], round(wait * 1e6), self.in_use, self.processes, self.rank, server_us]

    def node_of(self, bucket: str) -> str:
        return ""

    def listen(self) -> bool:
        return True

    def named(self, name: str) -> list[tuple[float | str, ...]]:
        return [command for command in self.commands if command[0] == name]

    def drawn(self, number: int) -> object:
        """Return the ticket of a reservation, by its number."""
        return self.named("reserve")[number][1]


def store_of(book: Book, **settings: object) -> SlotStore:
    arguments = {"margin": 0.05, "push_back": PushBack(), "on_failure": "local", "local_share": 1 / 6} | settings
    return SlotStore(book, **arguments)  # type: ignore[arg-type]


def bucket_of(book: Book, limit: RateLimit = SIX, store: SlotStore | None = None, **settings: object) -> TokenBucket:
    rules = make_rules(limit, lead=0.0, push_back=PushBack(), max_latency=MaxLatency())
    return make_bucket(rules, SharedSlots(limit, store or store_of(book, **settings), "desk:{bucket}"))


def slots_of(bucket: TokenBucket) -> SharedSlots:
    slots = bucket.state.source
    assert isinstance(slots, SharedSlots)
    return slots


def virtual(test: Callable[[], object]) -> Callable[[], None]:
    """Run a test on a virtual clock."""

    def on_virtual_clock() -> None:
        run(test())  # type: ignore[arg-type]

    on_virtual_clock.__doc__ = test.__doc__
    return on_virtual_clock


def now() -> float:
    return asyncio.get_running_loop().time()


async def warm_up(bucket: TokenBucket, answers: int = 1) -> None:
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

    assert [("settle", book.drawn(0), 0)] == book.named("settle")
    assert idle_in(bucket.state) == 0


@virtual
async def test_a_reservation_that_comes_when_nobody_waits_any_more_is_given_back() -> None:
    """Also if it was on its way."""
    book = Book(wait=0.5, takes=0.2)
    bucket = bucket_of(book)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0.5)

    assert [("settle", book.drawn(0), 0)] == book.named("settle")


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

    assert [0, book.drawn(0)] == [command[5] for command in book.named("reserve")]

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
        command[3] for command in book.named("reserve")
    ]
    assert [("settle", book.drawn(0), window, 0)] == book.named("settle")


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

    assert [("settle", book.drawn(2), round(1e6 * (1 + CLOCK_DRIFT)), 1)] == book.named("settle")


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
    hold = book.named("reserve")[-1][3]

    assert 1_001_000 + 150_000 < int(hold) < 1_001_000 + 250_000


@virtual
async def test_a_call_that_was_given_up_is_told() -> None:
    """It may still be on its way."""
    book = Book()
    bucket = bucket_of(book)
    await warm_up(bucket)
    (await bucket.acquire()).abandoned()
    await asyncio.sleep(0.1)

    assert ("settle", book.drawn(-1), round(1e6 * (1 + CLOCK_DRIFT + LEAST_LATENCY)), 1) == book.named("settle")[-1]


@virtual
async def test_a_refusal_is_told_before_anything_is_reserved() -> None:
    """And a slot that was reserved before it keeps its place."""
    book = Book()
    bucket = bucket_of(book)
    lease = await bucket.acquire()
    book.wait = 0.5
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    ticket = book.drawn(-1)
    book.commands.clear()
    place = lease.refused()
    assert place is not None
    again = asyncio.create_task(place.acquire(None))
    await again

    kinds = [command[0] for command in book.commands if command[0] != "settle"]
    assert ["refused", "reserve"] == kinds[:2]
    assert ticket == book.drawn(0)
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
    slots_of(bucket)._store.outages._try_at[""] = 0.0
    book.fails = False
    for _ in range(3):
        (await bucket.acquire()).answered()

    # Then each question names the slot that was used last.
    assert [0, -1, book.drawn(1)] == [command[6] for command in book.named("reserve")][:3]


@virtual
async def test_what_leaves_alone_while_the_server_is_asked_is_told() -> None:
    """A call that goes when its turn comes, in the moment in which the server is found to be back."""
    book = Book(fails=True, takes=0.2, processes=2)
    bucket = bucket_of(book, local_share=0.5)
    (await bucket.acquire()).answered()
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(9)]
    await asyncio.sleep(0.01)
    book.commands.clear()
    await asyncio.sleep(0.1)
    # Its slot is free while the server is asked, a window after the slot of the first call.
    waiting[0].result().answered()
    slots_of(bucket)._store.outages._try_at[""] = 0.0
    book.fails = False
    await asyncio.sleep(1.6)
    told = [command[6] for command in book.named("reserve")]

    assert [-3, -3] == told[:2]
    assert -3 not in told[2:]
    for task in waiting:
        task.cancel()


@virtual
async def test_each_user_tells_what_was_sent_alone() -> None:
    """Also one whose next call finds the server back already, when its own call before is over."""
    book = Book(fails=True)
    one = bucket_of(book)
    rules, store = one.state.rules, slots_of(one)._store
    two = make_bucket(rules, SharedSlots(SIX, store, "desk:{another}"))
    for bucket in (one, two):
        lease = await bucket.acquire()
        await asyncio.sleep(0.03)
        lease.answered()
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.9)
    store.outages.end("")
    book.fails = False
    book.commands.clear()
    await waiting

    assert [-1] == [command[6] for command in book.named("reserve")]


@virtual
async def test_who_was_idle_does_not_know_what_others_sent_alone() -> None:
    """So the first question after an outage says so, unless nobody sends alone."""
    for on_failure, told in (("local", -1), ("raise", 0)):
        book = Book(fails=True)
        bucket = bucket_of(book, on_failure=on_failure)
        await asyncio.gather(bucket.acquire(), return_exceptions=True)
        await asyncio.sleep(5)
        slots_of(bucket)._store.outages._try_at[""] = 0.0
        book.fails = False
        book.commands.clear()
        await asyncio.gather(bucket.acquire(), bucket.acquire(), return_exceptions=True)
        await asyncio.sleep(1)

        assert told == book.named("reserve")[0][6]


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

    assert bucket.state.queue is None
    assert sum(not task.cancelled() for task in tasks) == bucket.state.window.in_flight
    assert not slots_of(bucket)._store._waiting


@virtual
async def test_a_failure_of_the_limiter_reaches_all_who_wait() -> None:
    """Each has an error of its own."""
    book = Book(fails=True)
    bucket = bucket_of(book, on_failure="raise")
    outcomes = await asyncio.gather(*(bucket.acquire() for _ in range(3)), return_exceptions=True)

    assert 3 == len({id(outcome) for outcome in outcomes})
    assert bucket.state.queue is None


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
    store = store_of(Book())

    assert [1, 1, 3] == [store.alone(RateLimit(requests, 1.0, Scope.USER), 0) for requests in (1, 6, 20)]
    assert [6, 3, 1, 1] == [store.alone(SIX, processes) for processes in (1, 2, 6, 12)]
