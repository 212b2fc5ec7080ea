"""The latencies of late: how long an abandoned call may still be in flight, and the adaptive lead."""

import asyncio

import pytest

from okx_sol_async import RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit._latency import LEAST_LATENCY, MaxLatency
from tests.support.buckets import HOLD, SIX, TICKS
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock


async def test_the_slot_of_an_abandoned_call_stays_in_use_longer() -> None:
    """It stays in use for the maximum latency of late, and at least half a second, more."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    (await bucket.acquire()).abandoned()
    began = now()
    lease = await bucket.acquire()

    assert HOLD + LEAST_LATENCY == pytest.approx(now() - began, abs=TICKS)

    await asyncio.sleep(2)
    lease.answered()
    (await bucket.acquire()).abandoned()
    began = now()
    await bucket.acquire()

    assert HOLD + 2 == pytest.approx(now() - began, abs=TICKS)


def test_the_maximum_latency_is_that_of_the_last_minute() -> None:
    """A slow response of long ago is forgotten, and a recent one is not."""
    longest = MaxLatency()
    longest.note(5.0, 0.0)

    assert 5.0 == longest.seconds(29.0)

    longest.note(2.0, 59.0)

    assert 5.0 == longest.seconds(59.5)
    assert 2.0 == longest.seconds(70.0)
    assert LEAST_LATENCY == longest.seconds(200.0)


async def test_an_adaptive_lead_follows_the_minimum_latency() -> None:
    """After twenty responses a slot is free earlier, by less than the fastest of them took."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER), lead="adaptive")
    gaps = []
    for _ in range(30):
        lease = await bucket.acquire()
        await asyncio.sleep(0.2)
        lease.answered()
        answered_at = now()
        gaps.append(bucket.state.window.releases[0] - answered_at)

    assert HOLD == pytest.approx(gaps[0], abs=TICKS)
    assert HOLD - 0.195 == pytest.approx(gaps[-1], abs=2 * TICKS)


async def test_blocks_that_end_in_another_order_are_timed_one_by_one() -> None:
    """A long block among short ones is the maximum latency."""
    bucket = TokenBucket(SIX)

    async def block(seconds: float) -> None:
        async with bucket:
            await asyncio.sleep(seconds)

    long = asyncio.create_task(block(3.0))
    for _ in range(20):
        await block(0.1)
    await long

    assert 3.0 == pytest.approx(bucket.state.rules.max_latency.seconds(now()), abs=TICKS)
