"""Other event loops than asyncio's own, and eager tasks."""

import asyncio
import sys
import time
from collections.abc import Awaitable

import pytest

from okx_sol_async import (
    LocalLimiter,
    RateLimit,
    Scope,
    Session,
    SolStaking,
    TokenBucket,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.ratelimit._loops import COARSE_CLOCK
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from tests.support.buckets import SIX
from tests.support.threads import KEY, PATIENCE, R, burst
from tests.support.windows import SHORT


@pytest.mark.usefixtures("short_windows")
def test_uvloop_keeps_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under uvloop a burst of eight draws no refusal, a cancelled waiter loses no slot, and history outlives the loop."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    limiter = LocalLimiter()

    def run_under_uvloop(main: Awaitable[R]) -> R:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)  # type: ignore[arg-type]

    async def eight(exchange: Emulator) -> None:
        assert type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"
        await burst(exchange.url, exchange.credentials, 8, limiter)

    async def serve_eight() -> Emulator:
        async with Emulator(latency=0.01, jitter=0.02, seed=1) as exchange:
            await eight(exchange)
        return exchange

    exchange = run_under_uvloop(serve_eight())
    assert (8, 8) == (exchange.tally().received, exchange.tally().accepted)

    async def queue_and_cancel(exchange: Emulator) -> None:
        async with Session(base_url=exchange.url, limiter=limiter, timeout=PATIENCE) as session:
            staking = SolStaking(exchange.credentials, session)
            calls = [asyncio.create_task(staking.balance()) for _ in range(10)]
            # Each takes its place in the queue; at most six have left.
            await asyncio.sleep(0)
            for call in calls[6:8]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    with Emulator() as exchange:
        # uvloop, then asyncio, then uvloop again: each finds the history of the one before.
        run_under_uvloop(burst(exchange.url, exchange.credentials, 4, limiter))
        asyncio.run(burst(exchange.url, exchange.credentials, 4, limiter))
        run_under_uvloop(queue_and_cancel(exchange))
        assert (16, 16) == (exchange.tally().received, exchange.tally().accepted)
        assert exchange.most_within(SHORT) <= 6


def test_every_waiter_gets_its_turn_under_uvloop() -> None:
    """This holds also when a slot is free within the half millisecond for which uvloop sets no timer, and when it rounds."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    left: list[int] = []

    async def main() -> None:
        bucket = TokenBucket(RateLimit(5, 0.01, Scope.USER))

        async def take(number: int) -> None:
            lease = await bucket.acquire()
            left.append(number)
            await asyncio.sleep(number % 7 / 10_000)
            lease.answered()

        await asyncio.gather(*(take(number) for number in range(500)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

    assert list(range(500)) == left


def test_a_clock_without_a_resolution_may_be_behind() -> None:
    """Uvloop's clock is up to two milliseconds late, and a slot is in use for that much longer there."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    bucket = TokenBucket(SIX)
    holds = []

    for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop, asyncio.new_event_loop):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(bucket.acquire()).answered()
            holds.append(bucket.state.cooldown - (1 + CLOCK_DRIFT))

    own = time.get_clock_info("monotonic").resolution
    assert [own, COARSE_CLOCK, own] == pytest.approx(holds)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are eager from 3.12 on")
@pytest.mark.usefixtures("short_windows")
def test_eager_tasks_keep_the_order_and_the_limit(background_exchange: Emulator) -> None:
    """A task that runs as soon as it is made takes its place in the queue as any other."""
    exchange = background_exchange
    limiter = LocalLimiter()
    left: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        bucket = limiter.bucket(KEY, SIX)

        async def take(number: int) -> None:
            lease = await bucket.acquire()
            left.append(number)
            lease.answered()

        await asyncio.gather(*(take(number) for number in range(8)), burst(exchange.url, exchange.credentials, 8))

    asyncio.run(main())

    assert list(range(8)) == left
    assert (8, 8) == (exchange.tally().received, exchange.tally().accepted)
