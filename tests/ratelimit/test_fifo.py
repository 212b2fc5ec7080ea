"""First come, first served also where a pace ends, a pause is merged, or a refusal comes with a cancellation."""

import asyncio
from itertools import pairwise

import pytest

from okx_sol_async import BucketKey, LocalLimiter, PushBack, RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit._pacing import Pace
from tests.support.buckets import granted
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

SIX = RateLimit(6, 1.0, Scope.USER)


def key(owner: str) -> BucketKey:
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


async def leave(bucket: TokenBucket, name: str, log: list[str]) -> None:
    """Take a lease, and note its turn."""
    lease = await bucket.acquire()
    log.append(name)
    lease.answered()


async def test_a_call_that_waits_for_a_pace_is_not_overtaken_when_the_pace_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next call has to wait for it, though it may leave at once by then."""
    bucket, log = TokenBucket(SIX, push_back=PushBack(clean_time=3.0)), []
    began = now()
    in_flight = await bucket.acquire()
    (await bucket.acquire()).refused()
    await asyncio.sleep(began + 2.9 - now())

    async def keep(pace: Pace) -> None:
        # As long as an interval that has not passed yet.
        await asyncio.sleep(0.4)

    monkeypatch.setattr(Pace, "keep", keep)
    calls = [asyncio.create_task(leave(bucket, name, log)) for name in ("first", "second", "third")]
    await asyncio.sleep(began + 3.1 - now())
    assert [] == log
    # The pace is over, and this serves the queue.
    in_flight.answered()
    await asyncio.gather(*calls)

    assert ["first", "second", "third"] == log
    assert now() - began < 3.4


async def test_a_pace_that_is_merged_away_is_waited_for_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of two buckets, one of which was paced, leave in order of arrival when they are merged and the pace ends."""
    limiter, log = LocalLimiter(push_back=PushBack(clean_time=3.0)), []
    paced, other = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
    began = now()
    in_flight = await other.acquire()
    (await paced.acquire()).refused()
    await asyncio.sleep(began + 2.9 - now())

    async def keep(pace: Pace) -> None:
        await asyncio.sleep(0.4)

    monkeypatch.setattr(Pace, "keep", keep)
    first = asyncio.create_task(leave(paced, "first", log))
    await asyncio.sleep(0.01)
    limiter.merge("a", "b")
    second = asyncio.create_task(leave(other, "second", log))
    await asyncio.sleep(began + 3.1 - now())
    assert [] == log
    in_flight.answered()
    await asyncio.gather(first, second)

    assert ["first", "second"] == log


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_merged_bucket_keeps_the_later_pause_and_the_slower_pace(refused_first: bool) -> None:  # noqa: FBT001
    """Whichever of the two is merged into the other, nothing leaves in either pause or faster than either pace."""
    limiter = LocalLimiter()
    slow, late = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
    for _ in range(3):
        # Refusals a period apart: the pace becomes slower by 1.2 squared.
        (await slow.acquire()).refused()
        await asyncio.sleep(1.1)
    (await late.acquire()).refused()
    paused_until = now() + 1.0
    limiter.merge(*(("a", "b") if refused_first else ("b", "a")))
    times: list[float] = []

    async def note() -> None:
        lease = await late.acquire()
        times.append(now())
        lease.answered()

    await asyncio.gather(*(note() for _ in range(4)))

    assert paused_until == pytest.approx(times[0], abs=0.02)
    for before, after in pairwise(times):
        assert after - before == pytest.approx(0.2 * 1.2**2, abs=0.01)


@pytest.mark.parametrize("refused_first", [True, False])
async def test_a_refusal_beside_a_cancellation_costs_no_turn(refused_first: bool) -> None:  # noqa: FBT001
    """The slot of a call that is cancelled at that moment goes to the refused one, and then to the others in order."""
    bucket, log = TokenBucket(SIX), []
    in_flight = [await bucket.acquire() for _ in range(6)]
    calls = [asyncio.create_task(leave(bucket, str(number), log)) for number in range(4)]
    await asyncio.sleep(0)
    for lease in in_flight[1:]:
        lease.answered()
    await asyncio.sleep(1.0)
    # The first one is given its slot, and has not run since.
    while not granted(bucket):  # noqa: ASYNC110 - a step of the loop at a time
        await asyncio.sleep(0)

    async def again() -> None:
        lease = await place.acquire()
        log.append("refused")
        lease.answered()

    if not refused_first:
        calls[0].cancel()
    place = in_flight[0].refused()
    assert place is not None
    calls[0].cancel()
    await asyncio.gather(again(), *calls, return_exceptions=True)

    assert ["refused", "1", "2", "3"] == log
    assert calls[0].cancelled()
    assert 0 == granted(bucket)
