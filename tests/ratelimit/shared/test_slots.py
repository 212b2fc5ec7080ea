"""What a process does with its reservations, on a virtual clock."""

import asyncio

import pytest

from okx_sol_async import ConfigurationError, RateLimit, Scope, Timeout
from okx_sol_async.ratelimit._latency import LEAST_LATENCY
from okx_sol_async.ratelimit._merging import is_idle
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from tests.support.buckets import granted, wakes_at
from tests.support.fake_server import FakeServer, bucket_of, slots_of, store_of, warm_up
from tests.support.virtual_time import now, run

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("virtual_outages")]


async def test_a_process_holds_one_reservation_at_a_time() -> None:
    """However many calls wait, a process holds one slot ahead."""
    server = FakeServer(wait=0.5)
    bucket = bucket_of(server)
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(50)]
    await asyncio.sleep(0.4)

    assert 1 == len(server.commands)

    await asyncio.sleep(0.2)

    assert 2 == len(server.commands)
    assert 49 == bucket.queue
    for task in waiting:
        task.cancel()


async def test_a_call_leaves_at_its_slot() -> None:
    """The wait is the one in the reply, counted from when the reply came."""
    server = FakeServer(wait=0.5, takes=0.01)
    bucket = bucket_of(server)
    began = now()
    await bucket.acquire()

    assert 0.51 == pytest.approx(now() - began, abs=1e-3)


async def test_the_slot_of_a_cancelled_call_is_given_back() -> None:
    """A cancelled call uses no token."""
    server = FakeServer(wait=0.5)
    bucket = bucket_of(server)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0.1)

    assert [("settle", server.drawn(0), 0)] == server.named("settle")
    assert is_idle(bucket.state, asyncio.get_running_loop())


async def test_a_reservation_that_comes_after_the_cancellation_is_given_back() -> None:
    """It is given back also if the reply was still outstanding when the call was cancelled."""
    server = FakeServer(wait=0.5, takes=0.2)
    bucket = bucket_of(server)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.sleep(0.05)

    # No call waits, and it cannot be evicted yet.
    assert not is_idle(bucket.state, asyncio.get_running_loop())

    await asyncio.sleep(0.5)

    assert [("settle", server.drawn(0), 0)] == server.named("settle")


@pytest.mark.parametrize("others", [0, 1])
async def test_a_call_that_is_cancelled_as_its_slot_comes_uses_none(others: int) -> None:
    """The slot is given back, whether further calls wait or not."""
    server = FakeServer(takes=0.0)
    bucket = bucket_of(server)
    cancelled, *waiting = [asyncio.create_task(bucket.acquire()) for _ in range(1 + others)]
    while bucket.state.queue is None or not bucket.state.queue.granted:  # noqa: ASYNC110 - there is no notification
        await asyncio.sleep(0)
    cancelled.cancel()
    for lease in await asyncio.gather(*waiting):
        lease.answered()
    await asyncio.sleep(0.1)

    assert cancelled.cancelled()
    assert ("settle", server.drawn(0), 0) in server.named("settle")
    assert 0 == bucket.state.window.in_flight


@pytest.mark.usefixtures("virtual_outages")
async def test_a_process_that_has_used_no_slot_takes_its_turn_when_the_server_goes() -> None:
    """It waits for two rounds that the others may have reserved, and a window. Within 2.6 s from then on it has a turn."""
    server = FakeServer(wait=60.0, processes=12)
    bucket = bucket_of(server)
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    server.fails = True
    slots_of(bucket)._store.outages.begin(StoreUnavailable("it is gone"))
    slots_of(bucket).reserver.look_again()
    began = now()
    (await waiting).answered()

    assert 3.0 < now() - began < 3.2 + 2.6


async def test_a_call_whose_slot_is_beyond_its_deadline_fails_at_once() -> None:
    """It fails as soon as the slot is known, and the next call in the queue takes the slot."""
    server = FakeServer(wait=0.5)
    bucket = bucket_of(server)
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
    assert 1 == len(server.commands)


async def test_a_new_call_fails_at_once_when_the_known_slot_is_too_late() -> None:
    """The wait for a slot that is known is a lower bound, so no command is needed."""
    server = FakeServer(wait=0.5)
    bucket = bucket_of(server)
    task = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    assert 0.4 == pytest.approx(bucket.wait, abs=0.01)

    with pytest.raises(Timeout, match="at least"):
        await bucket.acquire(now() + 0.3)

    task.cancel()


async def test_a_slot_whose_reply_came_late_is_not_used() -> None:
    """It is given back and another one reserved; if the server is always slow, the slot is used."""
    server = FakeServer()
    bucket = bucket_of(server)
    await warm_up(bucket)
    server.commands.clear()
    server.takes = 0.2
    asyncio.get_running_loop().call_later(0.1, setattr, server, "takes", 0.001)
    await bucket.acquire()

    assert [0, server.drawn(0)] == [command[5] for command in server.named("reserve")]

    server.commands.clear()
    server.takes = 0.2
    await bucket.acquire()

    assert 3 == len(server.named("reserve"))

    server.commands.clear()
    server.in_use = 3
    await bucket.acquire()

    assert 1 == len(server.named("reserve"))


async def test_the_first_slots_of_a_process_are_in_use_for_longer() -> None:
    """Until there is a response, the time for connecting is added, and given back after it."""
    server = FakeServer()
    bucket = bucket_of(server)
    window = round(1e6 * (1 + CLOCK_DRIFT))
    lease = await bucket.acquire()
    await asyncio.sleep(0.3)
    lease.answered()
    await asyncio.sleep(0.1)
    (await bucket.acquire()).answered()
    await asyncio.sleep(0.1)

    assert [round(window + 1e6 * (0.05 + LEAST_LATENCY)), window + 50_000] == [
        command[3] for command in server.named("reserve")
    ]
    assert [("settle", server.drawn(0), window, 0)] == server.named("settle")


async def test_a_response_beyond_the_margin_is_reported() -> None:
    """A call that may have arrived late counts from its response, and one within the margin costs no command."""
    server = FakeServer()
    bucket = bucket_of(server)
    await warm_up(bucket, 5)
    server.commands.clear()
    for took in (0.06, 0.09, 0.15):
        lease = await bucket.acquire()
        await asyncio.sleep(took)
        lease.answered()
        await asyncio.sleep(2)

    assert [("settle", server.drawn(2), round(1e6 * (1 + CLOCK_DRIFT)), 1)] == server.named("settle")


async def test_a_varying_latency_keeps_slots_in_use_for_longer() -> None:
    """What the margin does not cover on average is added to it."""
    server = FakeServer()
    bucket = bucket_of(server)
    await warm_up(bucket)
    for took in (0.05, 0.45) * 30:
        lease = await bucket.acquire()
        await asyncio.sleep(took)
        lease.answered()
        await asyncio.sleep(1)
    hold = server.named("reserve")[-1][3]

    assert 1_001_000 + 150_000 < int(hold) < 1_001_000 + 250_000


async def test_an_abandoned_call_is_reported() -> None:
    """Its slot stays in use for longer, because it may still be in flight."""
    server = FakeServer()
    bucket = bucket_of(server)
    await warm_up(bucket)
    (await bucket.acquire()).abandoned()
    await asyncio.sleep(0.1)

    assert ("settle", server.drawn(-1), round(1e6 * (1 + CLOCK_DRIFT + LEAST_LATENCY)), 1) == server.named("settle")[-1]


async def test_cancelled_calls_leave_nothing_behind() -> None:
    """This holds for calls that fail and for calls that wait for the pace."""
    server = FakeServer(fails=True)
    bucket = bucket_of(server)
    (await bucket.acquire()).refused()
    tasks = [asyncio.create_task(bucket.acquire(now() + 50)) for _ in range(5)]
    await asyncio.sleep(1.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert bucket.state.queue is None
    assert sum(not task.cancelled() for task in tasks) == bucket.state.window.in_flight
    assert not slots_of(bucket)._store.notifications


async def test_a_failure_of_the_store_reaches_each_waiter() -> None:
    """Each has an error of its own."""
    server = FakeServer(fails=True)
    bucket = bucket_of(server, on_failure="raise")
    outcomes = await asyncio.gather(*(bucket.acquire() for _ in range(3)), return_exceptions=True)

    assert 3 == len({id(outcome) for outcome in outcomes})
    assert bucket.state.queue is None


def test_a_bucket_that_moves_to_another_loop_reserves_anew() -> None:
    """A reply to a command of a loop that is gone is not used."""
    server = FakeServer(takes=0.5)
    bucket = bucket_of(server)

    async def leave() -> None:
        task = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0.1)
        task.cancel()

    async def call() -> None:
        (await bucket.acquire()).answered()

    run(leave())
    run(call())

    assert 2 == len(server.named("reserve"))


async def test_the_wait_of_a_call_behind_others_counts_their_periods() -> None:
    """A process holds one slot ahead, so no more than that is known."""
    bucket = bucket_of(FakeServer(wait=0.5), RateLimit(2, 3.0, Scope.USER))
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(5)]
    await asyncio.sleep(0.1)

    assert 0.4 + 2 * 3.0 == pytest.approx(bucket.wait, abs=0.05)
    for task in waiting:
        task.cancel()


async def test_the_slot_of_a_call_that_gave_up_is_for_the_next_one() -> None:
    """Where that has none yet, because calls are paced."""
    server = FakeServer(takes=0.0)
    bucket = bucket_of(server)
    await warm_up(bucket)
    bucket.state.slow_down()
    cancelled, other = [asyncio.create_task(bucket.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(wakes_at(bucket) - now() - 1e-5)
    while not granted(bucket):  # noqa: ASYNC110 - there is no notification
        await asyncio.sleep(0)
    server.commands.clear()
    cancelled.cancel()
    (await other).answered()

    assert [] == server.commands


async def test_two_slots_in_a_row_may_come_too_late() -> None:
    """They are given back, and the third one is used, also for the first call of a user."""
    server = FakeServer()
    store = store_of(server)
    await warm_up(bucket_of(server, store=store))
    server.commands.clear()
    server.takes = 0.2
    await bucket_of(server, store=store).acquire()

    assert 3 == len(server.named("reserve"))


async def test_a_refusal_that_was_reported_does_not_pause_this_process_alone() -> None:
    """The store lets no process go on before the pause is over."""
    server = FakeServer()
    bucket = bucket_of(server)
    (await bucket.acquire()).refused()
    await asyncio.sleep(0.1)

    assert 1 == len(server.named("refused"))
    assert bucket.state.pace is None


async def test_closing_fails_the_calls_of_one_event_loop() -> None:
    """A bucket of another one, and one without a call, have none."""
    bucket = bucket_of(FakeServer(wait=0.5))
    slots_of(bucket).close(asyncio.get_running_loop())
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    other = asyncio.new_event_loop()
    slots_of(bucket).close(other)
    other.close()
    await asyncio.sleep(0.1)
    assert not waiting.done()

    slots_of(bucket).close(asyncio.get_running_loop())
    with pytest.raises(ConfigurationError, match="closed"):
        await waiting
