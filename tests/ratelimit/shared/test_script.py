"""The script on a real server, with a clock that the test sets, beside a model in Python."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from okx_sol_async import PushBack
from okx_sol_async.ratelimit._pacing import Pace
from okx_sol_async.ratelimit.shared._store import PER_PROCESS
from tests.support.shared_clock import ON_A_SET_CLOCK, SET_BUT_FOR_EXPIRY
from tests.support.shared_model import Model
from tests.support.valkey import Valkey

HOLD = 1_050_000
APART = 10_000
KEY = "desk:{bucket}"


class Script:
    """The script on a server, with one bucket and a clock of its own, in microseconds."""

    def __init__(self, server: Valkey, text: str = ON_A_SET_CLOCK) -> None:
        self.client = server.client
        self.client.flushall()
        self._script = self.client.register_script(text)
        self.now = 1_800_000_000_000_000
        self.drawn = PER_PROCESS

    def reserve(
        self, *, back: int = 0, used: int = 0, requests: int = 6, ticket: int = 0, hold: int = HOLD, waits: int = 1
    ) -> tuple[int, int]:
        """Return when the slot is, and its ticket."""
        if not ticket:
            self.drawn += 1
            ticket = self.drawn
        echo, wait, *_ = self.run("reserve", ticket, requests, hold, APART, back, used, waits)
        assert echo == ticket
        return self.now + wait, ticket

    def run(self, *command: object) -> list[int]:
        answer: list[int] = self._script([KEY], [*command, self.now])
        return answer

    def kept_for(self, *commands: tuple[object, ...]) -> int:
        """Run the commands all at once, and return for how many milliseconds the bucket is kept from then on."""
        with self.client.pipeline(transaction=True) as pipeline:
            for command in commands:
                self._script([KEY], [*command, self.now], client=pipeline)
            pipeline.pttl(KEY)
            kept: int = pipeline.execute()[-1]
        return kept


@pytest.fixture(name="script")
def _script(valkey_server: Valkey) -> Iterator[Script]:
    script = Script(valkey_server)
    yield script
    script.client.close()


KINDS = ["reserve"] * 6 + ["background", "look", "give back", "late", "refused"]
steps = st.lists(st.tuples(st.integers(0, 400_000), st.sampled_from(KINDS), st.integers(0, 1_000)), max_size=60)
#: The second refusal comes when the first call leaves, and the second, which has not left, waits for the new pause.
REFUSED_AS_ONE_LEAVES = [
    (0, "refused", 0),
    (0, "reserve", 0),
    (0, "reserve", 0),
    (200_000, "reserve", 0),
    (400_000, "reserve", 0),
    (400_000, "refused", 0),
]


@given(steps=steps, requests=st.integers(1, 8))
@example(steps=REFUSED_AS_ONE_LEAVES, requests=2)
@settings(max_examples=150, deadline=None)
def test_the_script_does_what_the_model_does(
    running_valkey: Valkey, steps: list[tuple[int, str, int]], requests: int
) -> None:
    """After any commands at any times, every call leaves when the model says, and no window holds too many."""
    script, model = Script(running_valkey), Model(requests, APART)
    for later, what, which in steps:
        script.now += later
        model.now = script.now
        waiting, used = model.waiting(), model.in_use()
        if what == "reserve":
            at, ticket = script.reserve(requests=requests)
            assert at == model.reserve(ticket, HOLD)
        elif what == "background":
            at, ticket = script.reserve(requests=requests, waits=0)
            assert at == model.reserve(ticket, HOLD, waits=False)
        elif what == "look" and waiting:
            ticket = waiting[which % len(waiting)]
            assert script.reserve(requests=requests, ticket=ticket)[0] == model.time_of(ticket)
        elif what == "give back" and waiting:
            ticket = waiting[which % len(waiting)]
            script.run("settle", ticket, 0)
            model.give_back(ticket)
        elif what == "late" and used:
            ticket = used[which % len(used)]
            script.run("settle", ticket, HOLD, 1)
            model.settle(ticket, HOLD)
        elif what == "refused":
            script.run("refused", 1_000_000, 1_000_000)
            model.pause(1_000_000)
    times = [script.reserve(requests=requests, ticket=ticket)[0] for ticket in model.waiting()]
    script.client.close()

    assert [model.time_of(ticket) for ticket in model.waiting()] == times
    assert model.most_within_a_window(HOLD) <= requests


def test_six_leave_at_once_and_the_others_in_turns(script: Script) -> None:
    """Free slots are given at once; slots with waiters are far enough apart that all processes take turns."""
    times = [script.reserve()[0] - script.now for _ in range(13)]

    assert [0] * 6 == times[:6]
    assert [HOLD + APART * number for number in range(6)] == times[6:12]
    assert 2 * HOLD == times[12]


def test_a_slot_that_is_given_back_is_given_to_the_next_waiter(script: Script) -> None:
    """It is given at once, and also while another is reserved."""
    for _ in range(6):
        script.reserve()
    at, name = script.reserve()

    at_again, name = script.reserve(back=name)

    assert at_again == at

    script.run("settle", name, 0, 0)

    assert at == script.reserve()[0]
    assert 7 == script.run("reserve", PER_PROCESS, 100, HOLD, APART, 0, 0, 1)[2] - 1


def test_a_clock_that_is_set_back_delays_no_call(script: Script) -> None:
    """The history is moved back with it."""
    for _ in range(6):
        script.reserve()
    script.now -= 3_600_000_000

    assert HOLD == script.reserve()[0] - script.now


def test_lost_history_is_waited_for_once(script: Script) -> None:
    """A process whose last slot is unknown reports that others may have sent as well."""
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


def test_calls_sent_without_the_server_are_counted(script: Script) -> None:
    """All wait for a window, and then for what others have sent meanwhile."""
    at, name = script.reserve(used=-1)

    assert HOLD == at - script.now

    back = script.now
    script.now += HOLD - 100_000
    script.run("settle", name, 0, 0)
    at, name = script.reserve(used=-4)
    times = [at, *(script.reserve()[0] for _ in range(2))]

    assert back + HOLD == times[0]
    assert times[1] < script.now + HOLD
    assert times[2] >= script.now + HOLD


def test_keys_expire_when_they_no_longer_matter(valkey_server: Valkey) -> None:
    """The key of a user expires by itself, also after a refusal."""
    script = Script(valkey_server, SET_BUT_FOR_EXPIRY)
    reserve = ("reserve", PER_PROCESS, 6, HOLD, APART, 0, 0, 1)

    assert 9_000 < script.kept_for(reserve) <= 10_000

    name = PER_PROCESS
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
    """The server paces as `Pace` does, whenever refusals come."""
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
    assert [pace.interval * 1e6] * 2 == pytest.approx(gaps, abs=4)


# Calls that give up.


def test_all_behind_a_call_that_gives_up_move_up_and_are_notified(script: Script) -> None:
    """No call waits behind a slot that is not in use, and its process learns its new time with the server's clock."""
    listener = script.client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("desk:2", "desk:3")
    while script.client.pubsub_numsub("desk:3") != [(b"desk:3", 1)]:
        pass
    for _ in range(6):
        script.reserve()
    gone, one, two = (process * PER_PROCESS for process in (1, 2, 3))
    times = [script.reserve(ticket=ticket)[0] for ticket in (gone, one, two)]
    script.now += 100
    script.run("settle", gone, 0)
    heard = []
    while len(heard) < 2:
        message = listener.get_message(timeout=1)
        if message is not None:
            heard.append((message["channel"], message["data"]))
    listener.close()

    assert [
        (b"desk:2", f"{KEY} {one} {script.now} {times[0] - script.now}".encode()),
        (b"desk:3", f"{KEY} {two} {script.now} {times[1] - script.now}".encode()),
    ] == heard
    assert times[:2] == [script.reserve(ticket=ticket)[0] for ticket in (one, two)]


def test_the_last_of_sixty_leaves_when_all_before_it_have_given_up(script: Script) -> None:
    """Its reservation is where it would be if the others had never come."""
    for _ in range(6):
        script.reserve()
    tickets = [script.reserve()[1] for _ in range(60)]
    for ticket in tickets[:-1]:
        script.run("settle", ticket, 0)

    assert HOLD == script.reserve(ticket=tickets[-1])[0] - script.now


# What else may lie under a key.


@pytest.mark.parametrize("rubbish", [b"rubbish", b"", b"\x81\xa1a\x01", b"\x93\x01\x02\x03", b"\xc1"])
def test_garbage_under_a_key_is_replaced(script: Script, rubbish: bytes) -> None:
    """The history that it replaced is lost, so the first call waits for a window."""
    script.client.set(KEY, rubbish)

    assert HOLD == script.reserve()[0] - script.now

    script.now += HOLD
    assert script.now == script.reserve()[0]


def test_a_key_of_another_type_is_replaced(script: Script) -> None:
    """The script does not fail on it."""
    script.client.rpush(KEY, "a list")

    assert HOLD == script.reserve()[0] - script.now


def test_a_reply_says_how_many_processes_use_the_bucket(script: Script) -> None:
    """It also says which of them this one is; processes that have not called lately do not count."""
    for process in (7, 3, 5):
        script.reserve(ticket=process * PER_PROCESS)
    reserve = ("reserve", 5 * PER_PROCESS + 1, 6, HOLD, APART, 0, 0, 1)

    assert [3, 1] == script.run(*reserve)[3:5]

    script.now += 11_000_000
    assert [1, 0] == script.run(*reserve)[3:5]


def test_a_process_that_waits_for_longer_counts_too(script: Script) -> None:
    """Its turn may come later than the time for which a process is remembered."""
    first = 7 * PER_PROCESS
    for number in range(6 * 12 + 1):
        script.reserve(ticket=first + number * PER_PROCESS)
    script.now += 11_000_000

    waiting = script.run("reserve", first, 6, HOLD, APART, 0, 0, 1)[3]
    assert 6 < waiting < 6 * 12


def test_the_background_leaves_after_all_calls_that_wait_in_a_process(script: Script) -> None:
    """While a process has asked for one of several calls, a call in the background of another has no free slot."""
    script.reserve(waits=2)
    assert script.now < script.reserve(waits=0)[0]
    # The last of the calls has none behind it.
    script.now += 50_000
    script.reserve(waits=1)
    script.now += 50_000
    assert script.now == script.reserve(waits=0)[0]
