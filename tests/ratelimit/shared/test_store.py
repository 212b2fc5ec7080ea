"""What a process reports to the store: refusals, and calls that left while it was unavailable."""

import asyncio
from itertools import pairwise

import pytest

from okx_sol_async import PushBack, RateLimit, Scope
from okx_sol_async.ratelimit._bucket import make_bucket
from okx_sol_async.ratelimit.shared._fallback import DELAY, PUNCTUALITY
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from okx_sol_async.ratelimit.shared._store import UNKNOWN, Place
from tests.support.buckets import SIX
from tests.support.fake_server import FakeServer, bucket_of, slots_of, store_of, warm_up
from tests.support.virtual_time import now

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("virtual_outages")]


async def test_a_refusal_is_reported_before_the_next_reservation() -> None:
    """A slot that was reserved before it keeps its place."""
    server = FakeServer()
    bucket = bucket_of(server)
    lease = await bucket.acquire()
    server.wait = 0.5
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    ticket = server.drawn(-1)
    server.commands.clear()
    place = lease.refused()
    assert place is not None
    again = asyncio.create_task(place.acquire(None))
    await again

    kinds = [command[0] for command in server.commands if command[0] != "settle"]
    assert ["refused", "reserve"] == kinds[:2]
    assert ticket == server.drawn(0)
    assert ("refused", 1_000_000, 1_000_000, 200_000, 400_000, 1.2, 30_000_000, 166_667) == server.named("refused")[0]
    assert not waiting.done()
    waiting.cancel()


async def test_a_refusal_is_reported_also_when_no_call_waits() -> None:
    """It is reported also if a command is outstanding, and if the store is unavailable the process pauses by itself."""
    server = FakeServer(takes=0.2)
    bucket = bucket_of(server)
    lease = await bucket.acquire()
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    lease.refused()
    waiting.cancel()
    await asyncio.sleep(1)

    assert 1 == len(server.named("refused"))

    server.fails = True
    lease.refused()
    await asyncio.sleep(0.5)
    began = now()
    (await bucket.acquire()).answered()

    assert now() - began > 0.5


async def test_a_slot_is_given_back_whose_call_gives_up_while_a_refusal_is_reported() -> None:
    """No call waits for it any more when the report has arrived."""
    server = FakeServer()
    bucket = bucket_of(server)
    lease = await bucket.acquire()
    server.wait = 5.0
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    server.takes = 0.2
    lease.refused()
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.sleep(1)

    assert ("settle", server.drawn(-1), 0) in server.named("settle")


async def test_calls_sent_without_the_store_are_reported_once() -> None:
    """When the store is back, one window without calls makes them unimportant."""
    server = FakeServer(fails=True)
    bucket = bucket_of(server, RateLimit(6, 5.0, Scope.USER))
    (await bucket.acquire()).answered()
    slots_of(bucket)._store.outages._try_at[""] = 0.0
    server.fails = False
    for _ in range(3):
        (await bucket.acquire()).answered()

    # Then each question names the slot that was used last.
    assert [0, -1, server.drawn(1)] == [command[6] for command in server.named("reserve")][:3]


async def test_calls_that_leave_while_the_store_comes_back_are_reported() -> None:
    """A call that leaves by itself in the moment in which the store is found to be back is reported."""
    server = FakeServer(fails=True, takes=0.2, processes=2)
    bucket = bucket_of(server, local_share=0.5)
    (await bucket.acquire()).answered()
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(9)]
    await asyncio.sleep(0.01)
    server.commands.clear()
    await asyncio.sleep(0.1)
    # Its slot is free while the server is asked, a window after the slot of the first call.
    waiting[0].result().answered()
    slots_of(bucket)._store.outages._try_at[""] = 0.0
    server.fails = False
    await asyncio.sleep(1.6)
    reported = [command[6] for command in server.named("reserve")]

    assert [-3, -3] == reported[:2]
    assert -3 not in reported[2:]
    for task in waiting:
        task.cancel()


async def test_each_user_reports_its_calls_without_the_store() -> None:
    """This holds also for a user whose next call finds the store back already."""
    server = FakeServer(fails=True)
    one = bucket_of(server)
    rules, store = one.state.rules, slots_of(one)._store
    two = make_bucket(rules, SharedSlots(SIX, store, "desk:{another}"))
    for bucket in (one, two):
        lease = await bucket.acquire()
        await asyncio.sleep(0.03)
        lease.answered()
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.9)
    store.outages.end("")
    server.fails = False
    server.commands.clear()
    await waiting

    assert [-1] == [command[6] for command in server.named("reserve")]


async def test_an_idle_process_reports_that_others_may_have_sent() -> None:
    """Its first reservation after an outage says so, unless processes do not send during outages."""
    for on_failure, reported in (("local", -1), ("raise", 0)):
        server = FakeServer(fails=True)
        bucket = bucket_of(server, on_failure=on_failure)
        await asyncio.gather(bucket.acquire(), return_exceptions=True)
        await asyncio.sleep(5)
        slots_of(bucket)._store.outages._try_at[""] = 0.0
        server.fails = False
        server.commands.clear()
        await asyncio.gather(bucket.acquire(), bucket.acquire(), return_exceptions=True)
        await asyncio.sleep(1)

        assert reported == server.named("reserve")[0][6]


def test_the_limit_of_a_process_without_the_store() -> None:
    """It is a part of the limit, and at least one request."""
    store = store_of(FakeServer())

    assert [1, 1, 3] == [store.alone(RateLimit(requests, 1.0, Scope.USER), 0) for requests in (1, 6, 20)]
    assert [6, 3, 1, 1] == [store.alone(SIX, processes) for processes in (1, 2, 6, 12)]


async def test_the_most_exact_measurement_of_the_servers_clock_counts() -> None:
    """A slow reply does not replace it, and one that contradicts it does."""
    server = FakeServer()
    store = store_of(server)

    async def offset(*, takes: float, ahead: float = 0.0) -> float:
        server.takes, server.ahead = takes, ahead
        _, place = await store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)
        return place.offset

    # The server of this test reads its clock at the end.
    assert await offset(takes=1.0) == pytest.approx(-0.5, abs=0.01)
    assert await offset(takes=0.002) == pytest.approx(-0.001, abs=0.0005)
    assert await offset(takes=1.0) == pytest.approx(-0.001, abs=0.0005)
    assert await offset(takes=1.0, ahead=-60.0) == pytest.approx(59.5, abs=0.01)


async def test_a_more_exact_measurement_that_agrees_counts_too() -> None:
    """It is known better from then on how late a notification may be."""
    server = FakeServer(takes=1.0)
    store = store_of(server)
    for takes, ahead in ((1.0, 0.0), (0.002, 0.5), (1.0, 0.5)):
        server.takes, server.ahead = takes, ahead
        _, place = await store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)

    assert -0.502 == pytest.approx(place.least_offset, abs=1e-4)


async def test_when_a_slot_is() -> None:
    """By both clocks, exactly, and for how long it is in use."""
    store = store_of(FakeServer(wait=900.0))
    reservation, place = await store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)

    assert 900.0 == pytest.approx(reservation.at - reservation.received, abs=1e-6)
    assert 900.0 == pytest.approx(reservation.server_at - place.server_time, abs=1e-6)
    assert 0.001 == pytest.approx(reservation.at - reservation.since, abs=1e-4)
    assert 1.051 == pytest.approx(store.hold(SIX))


async def test_a_slow_reply_does_not_make_a_moved_slot_seem_late() -> None:
    """The least that a notification's clock is behind is known from the most exact measurement, too."""
    server = FakeServer(takes=0.002)
    store = store_of(server)
    await store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)
    server.takes = 1.0
    _, place = await store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)

    assert -0.003 < place.least_offset <= place.offset


async def test_what_a_reservation_asks_for() -> None:
    """A slot of six in a second, and waiting calls a sixteenth of a sixth apart."""
    server = FakeServer()
    bucket = bucket_of(server)
    await asyncio.gather(bucket.acquire(), bucket.acquire())
    first, second = server.named("reserve")

    assert (6, 10_417, 0, 0) == (first[2], *first[4:7])
    assert (2, 1) == (first[7], second[7])


@pytest.mark.parametrize(("idle", "blind"), [(59.0, False), (61.0, True)])
async def test_what_is_known_of_latencies_is_known_for_a_minute(*, idle: float, blind: bool) -> None:
    """After that a slot is in use for longer again, as the first one is."""
    server = FakeServer()
    bucket = bucket_of(server)
    await warm_up(bucket)
    await asyncio.sleep(idle - 2)
    await bucket.acquire()
    hold = server.named("reserve")[-1][3]

    assert blind == (hold > 1_051_000)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("on_failure", "words"),
    [("local", "this process spends its part of each limit by itself"), ("raise", "calls fail")],
)
async def test_what_is_logged_of_an_outage(on_failure: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """That it began, and what that means until it is over."""
    bucket = bucket_of(FakeServer(fails=True), on_failure=on_failure)
    await asyncio.gather(bucket.acquire(), return_exceptions=True)

    assert [f"Shared rate limiter unreachable: it is gone. Until it is back, {words}"] == caplog.messages


async def test_a_look_at_a_bucket_that_failed_takes_no_slot() -> None:
    """Only a reservation shows whether the bucket can be used again, and that is given back."""
    server = FakeServer()
    store = store_of(server)
    store.outages.begin(StoreUnavailable("wrong type", "desk:{bucket}"))
    await store.look("desk:{bucket}", SIX)
    await asyncio.sleep(0.1)

    assert ["settle", "reserve", "settle"] == [command[0] for command in server.commands]
    assert ("settle", UNKNOWN, 1_001_000, 1) == server.commands[0]
    assert (0, 0) == server.named("reserve")[0][6:8]
    assert ("settle", server.drawn(0), 0) == server.commands[-1]


async def test_more_processes_than_requests_take_turns_without_the_store() -> None:
    """Each has times of its own, a bit more than a sixth of a window apart."""
    bucket = bucket_of(FakeServer())
    assert bucket.take() is None
    apart = (1.051 + PUNCTUALITY + DELAY) / 6

    def departure(rank: int, at: float) -> float:
        place = Place(12, rank, 0.0, 0.0, 0.0)
        found = slots_of(bucket).fallback.departure(bucket.state, at, place, None, 60.0)
        assert found is not None
        return found

    times = sorted(departure(rank, now()) for rank in range(12))

    assert [apart] * 11 == pytest.approx([later - earlier for earlier, later in pairwise(times)])
    assert 12 * apart == pytest.approx(departure(5, departure(5, now()) + 1.0) - departure(5, now()), abs=1e-3)


@pytest.mark.parametrize(
    ("server", "is_believed"),
    [
        (FakeServer(wait=1000.0), True),
        (FakeServer(wait=1000.0005), False),
        (FakeServer(processes=2**20), True),
        (FakeServer(processes=2**20 + 1), False),
    ],
)
async def test_which_replies_are_believed(*, server: FakeServer, is_believed: bool) -> None:
    """A wait of up to a thousand periods, and as many processes as there are tickets for."""
    store = store_of(server)
    reserve = store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)
    outcomes = await asyncio.gather(reserve, return_exceptions=True)

    assert is_believed != isinstance(outcomes[0], StoreUnavailable)


@pytest.mark.parametrize(("late", "is_late"), [(0.02, False), (0.03, True)])
async def test_when_a_slot_has_come_too_late(*, late: float, is_late: bool) -> None:
    """Half of the margin after it."""
    store = store_of(FakeServer())
    reservation, _ = await store.reserve("desk:{bucket}", SIX, store.draw(), None, 0, waits=True)

    assert is_late == store.is_late(reservation, reservation.received + late)


async def test_a_pause_is_as_many_periods_as_it_says_in_all_processes() -> None:
    """The store has it in microseconds, as all times."""
    server = FakeServer()
    await store_of(server, push_back=PushBack(pause=1.5)).refused("desk:{bucket}", RateLimit(6, 2.0, Scope.USER))

    assert (3_000_000, 2_000_000) == server.named("refused")[0][1:3]
