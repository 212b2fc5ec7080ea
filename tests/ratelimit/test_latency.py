"""The latencies of late: how long an abandoned call may still be in flight, and the adaptive lead."""

import asyncio

import pytest

from okx_sol_async import RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit._latency import LEAST_LATENCY, MaxLatency, MinLatency
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


@pytest.mark.parametrize("between", [(), (10.0,), (29.999, 30.0), (31.0, 45.0)])
def test_the_maximum_latency_is_remembered_for_half_a_minute_to_a_minute(between: tuple[float, ...]) -> None:
    """However often it is asked for in between."""
    longest = MaxLatency()
    assert 0.5 == longest.seconds(0.0)
    longest.note(2.0, 100.0)
    # At the same time, and soon after.
    for at, seconds in ((100.0, 1.0), (100.5, 1.0), (101.0, 0.6)):
        longest.note(seconds, at)
        assert 2.0 == longest.seconds(at)
    for at in between:
        assert 2.0 == longest.seconds(100 + at)

    assert 2.0 == longest.seconds(159.999 if between else 129.999)
    assert 0.5 == longest.seconds(160.0)


def test_no_maximum_latency_is_forgotten_in_less_than_half_a_minute() -> None:
    """Also where a half minute has just begun; a clock that goes back begins anew."""
    longest = MaxLatency()
    longest.note(2.0, 100.0)
    longest.note(3.0, 130.0)

    assert 3.0 == longest.seconds(160.0)
    assert 0.5 == longest.seconds(50.0)


def test_the_minimum_latency_is_remembered_for_one_to_two_minutes() -> None:
    """Until then a faster response than those of late may come again."""
    shortest = MinLatency()
    for at, seconds in ((0.0, 0.1), (0.0, 0.2), (0.0, 0.4), (0.5, 0.2), (0.9, 0.2), (59.9, 0.2), (60.0, 0.3)):
        shortest.note(seconds, at)
        assert 0.1 == shortest.shortest()
    shortest.note(0.5, 119.9)
    assert 0.1 == shortest.shortest()
    shortest.note(0.6, 120.0)
    assert 0.3 == shortest.shortest()


def test_the_mean_distance_from_the_minimum_latency() -> None:
    """It follows the last twenty responses or so."""
    shortest = MinLatency()
    assert 0 == shortest.spread()
    shortest.note(0.1, 0.0)
    assert 0 == shortest.spread()
    shortest.note(0.3, 0.0)
    assert 0.2 / 20 == pytest.approx(shortest.spread())


@pytest.mark.parametrize(
    ("latency", "lead"), [([0.1], 0.095), ([0.008], 0.004), ([0.1, 0.12], 0.09), ([0.1, 0.5], 0.05)]
)
def test_an_adaptive_lead_leaves_a_guard(latency: list[float], lead: float) -> None:
    """The mean distance from the minimum latency: at least 5 ms, at most half of it. Without twenty responses no lead."""
    shortest = MinLatency()
    for number in range(19):
        shortest.note(latency[number % len(latency)], 0.0)
        assert 0 == shortest.early_release()
    shortest.note(latency[-1], 0.0)
    for number in range(400):
        shortest.note(latency[number % len(latency)], 0.0)

    assert lead == pytest.approx(shortest.early_release(), rel=0.03)


def test_an_adaptive_lead_begins_with_the_twentieth_response() -> None:
    """Fewer may all have been slow."""
    shortest = MinLatency()
    for _ in range(20):
        assert 0 == shortest.early_release()
        shortest.note(0.1, 0.0)

    assert 0.095 == shortest.early_release()


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
