"""A bucket and the event loops that use it, one after the other."""

import asyncio
import threading

import pytest

from okx_sol_async import ConfigurationError, RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit._latency import LEAST_LATENCY
from tests.support.buckets import HOLD, SIX, TICKS, granted
from tests.support.virtual_time import VirtualLoop, now, run

#: Seconds after which a test gives up on a thread.
PATIENCE = 60.0


async def spend(bucket: TokenBucket) -> None:
    for _ in range(6):
        (await bucket.acquire()).answered()


async def wait_for_one(bucket: TokenBucket) -> float:
    began = now()
    await bucket.acquire()
    return now() - began


def test_history_survives_an_event_loop() -> None:
    """A second loop does not refill the bucket, also if its clock begins anew."""
    bucket = TokenBucket(SIX)

    run(spend(bucket), start=5000.0)
    waited = run(wait_for_one(bucket), start=10.0)

    assert HOLD == pytest.approx(waited, abs=TICKS)


def test_history_is_no_shorter_for_clocks_that_are_late() -> None:
    """Each response may have come one resolution later than the first clock said, and the second one may be behind."""

    class CoarseLoop(VirtualLoop):
        def __init__(self) -> None:
            super().__init__()
            self._clock_resolution = 0.05

    bucket = TokenBucket(SIX)

    with asyncio.Runner(loop_factory=CoarseLoop) as runner:
        runner.run(spend(bucket))
    with asyncio.Runner(loop_factory=CoarseLoop) as runner:
        waited = runner.run(wait_for_one(bucket))

    assert HOLD + 0.1 == pytest.approx(waited, abs=TICKS)


def test_calls_in_flight_when_a_loop_ends_count_as_abandoned() -> None:
    """Their slots stay in use as those of abandoned calls do."""
    bucket = TokenBucket(SIX)
    leases = []

    async def leave_in_flight() -> None:
        leases.extend([await bucket.acquire() for _ in range(6)])

    async def wait_for_one() -> float:
        began = now()
        await bucket.acquire()
        return now() - began

    run(leave_in_flight())
    waited = run(wait_for_one())

    assert HOLD + LEAST_LATENCY == pytest.approx(waited, abs=TICKS)
    # What the old loop's calls report later is of no consequence.
    leases[0].answered()
    assert 1 == bucket.state.window.in_flight


def test_waiters_of_a_loop_that_is_gone_are_dropped() -> None:
    """The next loop's calls do not stand behind them."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))

    async def queue_up() -> None:
        (await bucket.acquire()).answered()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(bucket.acquire() for _ in range(3))), 0.5)

    async def wait_for_one() -> None:
        await bucket.acquire(now() + 1.1)

    run(queue_up())
    run(wait_for_one())


def test_a_second_running_loop_is_refused() -> None:
    """A bucket serves one running loop at a time, and raises for another one."""
    bucket = TokenBucket(SIX)
    inside, done = threading.Event(), threading.Event()

    async def stay() -> None:
        async with bucket:
            inside.set()
            await asyncio.to_thread(done.wait)

    async def intrude() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await bucket.acquire()

    thread = threading.Thread(target=asyncio.run, args=(stay(),))
    thread.start()
    try:
        assert inside.wait(PATIENCE)
        asyncio.run(intrude())
    finally:
        done.set()
        thread.join()
    asyncio.run(bucket.acquire())


def test_a_loop_that_does_not_run_gives_its_bucket_away() -> None:
    """Several loops may use one bucket in turn, without being closed."""
    bucket = TokenBucket(SIX)
    loops = [VirtualLoop(), VirtualLoop()]
    try:
        for loop in loops * 3:
            lease = loop.run_until_complete(bucket.acquire())
            lease.answered()

        assert 6 == len(bucket.state.window.releases)
    finally:
        for loop in loops:
            loop.close()


def test_waiters_of_a_closed_loop_change_nothing_later() -> None:
    """Their end, when they are garbage collected, is not counted in the next loop."""
    bucket = TokenBucket(SIX)
    loop = VirtualLoop()

    async def use_up() -> None:
        for _ in range(6):
            (await bucket.acquire()).answered()

    loop.run_until_complete(use_up())
    waiting = [bucket.acquire() for _ in range(3)]
    for coroutine in waiting:
        # As far as the wait for the turn, as a task would have run it.
        loop.call_soon(coroutine.send, None)
    loop.run_until_complete(asyncio.sleep(0))
    assert 3 == len(bucket.state.queue or ())
    loop.close()

    async def take_one() -> None:
        (await bucket.acquire()).answered()

    run(take_one())
    for coroutine in waiting:
        coroutine.close()

    assert (0, 0) == (bucket.state.window.in_flight, granted(bucket))
    run(take_one())


def test_a_pace_moves_to_another_loop() -> None:
    """The pause and the interval since the last call hold there, also if its clock begins anew."""
    bucket = TokenBucket(SIX)

    async def be_refused() -> None:
        (await bucket.acquire()).refused()

    async def leave_times(count: int) -> list[float]:
        began, times = now(), []
        for _ in range(count):
            lease = await bucket.acquire()
            times.append(now() - began)
            lease.answered()
        return times

    run(be_refused(), start=5000.0)
    first = run(leave_times(2), start=10.0)
    second = run(leave_times(2), start=90_000.0)

    assert [1.0, 1.2] == pytest.approx(first, abs=0.05)
    assert [0.2, 0.4] == pytest.approx(second, abs=0.05)
