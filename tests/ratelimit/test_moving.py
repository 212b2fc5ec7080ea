"""A bucket that moves to another loop, is merged while it is used, or has calls in the background."""

import asyncio
from itertools import pairwise

import pytest

from okx_sol_async import BucketKey, LocalLimiter, PushBack, RateLimit, Scope, TokenBucket
from tests.support.virtual_time import now, run

SIX = RateLimit(6, 1.0, Scope.USER)
#: What the virtual clock adds by itself.
TICKS = 1e-3


def key(owner: str) -> BucketKey:
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


def test_a_pace_moves_to_another_loop() -> None:
    """The pause and the interval since the last call hold there, also if its clock began anew."""
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


def test_buckets_are_merged_while_they_are_paced() -> None:
    """The later pause and the slower pace remain, whichever bucket is merged into the other."""
    for owner, into in (("a", "b"), ("b", "a")):
        limiter = LocalLimiter()
        run(_merge_paced(limiter, owner, into))


async def _merge_paced(limiter: LocalLimiter, owner: str, into: str) -> None:
    slow, fast = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
    for _ in range(3):
        (await slow.acquire()).refused()
        await asyncio.sleep(1.1)
    (await fast.acquire()).refused()
    refused_at = now()
    await asyncio.sleep(0.1)
    limiter.merge(owner, into)
    times = []

    async def call(bucket: TokenBucket) -> None:
        lease = await bucket.acquire()
        times.append(now())
        lease.answered()

    await asyncio.gather(*(call(bucket) for bucket in (slow, fast, slow, fast)))

    assert refused_at + 1.0 <= times[0]
    slower = 0.2 * PushBack().step ** 2
    assert all(later - earlier >= slower - TICKS for earlier, later in pairwise(times))


def test_waiters_of_a_bucket_that_is_merged_keep_their_places() -> None:
    """A handle that was merged serves the same queue, and its leases end in the same window."""
    limiter = LocalLimiter()
    left: list[int] = []

    async def call(bucket: TokenBucket, number: int) -> None:
        lease = await bucket.acquire()
        left.append(number)
        lease.answered()

    async def main() -> None:
        one, two = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
        for bucket in (one, two):
            for _ in range(6):
                (await bucket.acquire()).answered()
        tasks = []
        for number in range(12):
            tasks.append(asyncio.create_task(call((one, two)[number % 2], number)))
            await asyncio.sleep(0)
        limiter.merge("a", "b")
        assert one.state is two.state
        assert 12 == one.queue == two.queue
        await asyncio.gather(*tasks)

    run(main())

    assert list(range(12)) == left


@pytest.mark.parametrize(("lead", "early_release"), [(0.3, 0.3), (0.5, 0.5), (0.9, 0.5), (30.0, 0.5)])
def test_a_limiter_caps_the_lead_at_half_of_the_period(lead: float, early_release: float) -> None:
    """A slot is in use for half a period at least, whatever the limiter was given."""
    bucket = LocalLimiter(lead=lead).bucket(key("a"), RateLimit(1, 1.0, Scope.USER))

    async def main() -> float:
        (await bucket.acquire()).answered()
        began = now()
        await bucket.acquire()
        return now() - began

    assert 1.001 - early_release == pytest.approx(run(main()), abs=TICKS)


# What a call may take at once, and what waits behind it.


def test_take_gives_a_lease_only_where_no_call_waits() -> None:
    """It never waits, never passes a waiter, and leaves a pace to `acquire`."""
    bucket = TokenBucket(RateLimit(2, 1.0, Scope.USER))

    async def main() -> None:
        first = bucket.take()
        assert first is not None
        first.answered()
        lease = bucket.take()
        assert lease is not None
        assert bucket.take() is None
        lease.answered()
        waiting = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0)
        assert bucket.take() is None
        await waiting
        await asyncio.sleep(2)
        again = bucket.take()
        assert again is not None
        again.refused()
        await asyncio.sleep(1.5)
        assert bucket.take() is None

    run(main())


def test_calls_in_the_background_leave_behind_all_others() -> None:
    """In order among themselves, and also behind calls that come later."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    left: list[str] = []

    async def call(name: str, *, background: bool) -> None:
        lease = await bucket.acquire(background=background)
        left.append(name)
        lease.answered()

    async def main() -> None:
        (await bucket.acquire()).answered()
        tasks = []
        for number in range(3):
            for name, background in ((f"background {number}", True), (f"foreground {number}", False)):
                tasks.append(asyncio.create_task(call(name, background=background)))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    run(main())

    assert [f"{rank} {number}" for rank in ("foreground", "background") for number in range(3)] == left
