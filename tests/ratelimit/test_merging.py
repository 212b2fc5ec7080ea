"""Two keys that turn out to be one user, and the buckets of both."""

import asyncio
from itertools import pairwise

import pytest

from okx_sol_async import ConfigurationError, LocalLimiter, PushBack, TokenBucket
from tests.support.buckets import SIX, TICKS, granted, key
from tests.support.virtual_time import VirtualLoop, now, run


@pytest.mark.parametrize("into_is_older", [True, False])
def test_a_merge_keeps_history_and_order(into_is_older: bool) -> None:  # noqa: FBT001
    """What was in flight, cooling and waiting in both counts in one, and all waiters leave in the order in which they came."""
    limiter = LocalLimiter()
    left: list[tuple[int, float]] = []

    async def call(number: int, owner: str) -> None:
        lease = await limiter.bucket(key(owner), SIX).acquire()
        left.append((number, asyncio.get_running_loop().time()))
        await asyncio.sleep(0.2)
        lease.answered()

    async def main() -> None:
        tasks = []
        for number in range(40):
            tasks.append(asyncio.create_task(call(number, "ab"[number % 2])))
            await asyncio.sleep(0)
        limiter.merge(*("ab" if into_is_older else "ba"))
        tasks.append(asyncio.create_task(call(40, "a")))
        tasks.append(asyncio.create_task(call(41, "b")))
        await asyncio.gather(*tasks)

        assert 1 == len(limiter)
        [bucket] = limiter._buckets.values()
        assert (0, 0, 0) == (bucket.state.window.in_flight, granted(bucket), bucket.queue)

    run(main())

    assert sorted(left) == left
    # Twelve had left before anybody knew; from then on there are six in a period.
    later = [at for _, at in left[12:]]
    assert all(seventh - first > 1 for first, seventh in zip(later, later[6:], strict=False))
    assert later[0] - left[0][1] > 1.19


def test_after_a_merge_both_keys_have_one_bucket() -> None:
    """This holds over several merges, and for a handle of an old bucket."""
    limiter = LocalLimiter()
    held = limiter.bucket(key("a"), SIX)
    limiter.merge("a", "b")
    limiter.merge("b", "c")
    limiter.merge("c", "a")

    assert limiter.bucket(key("a"), SIX) is limiter.bucket(key("b"), SIX) is limiter.bucket(key("c"), SIX)

    async def main() -> None:
        (await held.acquire()).answered()
        assert 5 == limiter.bucket(key("c"), SIX).free

    run(main())


def test_an_identified_key_never_has_a_bucket_of_its_own_again() -> None:
    """It shares its user's bucket however long it was idle, and though every bucket was evicted meanwhile."""
    limiter = LocalLimiter()

    async def main() -> None:
        (await limiter.bucket(key("a"), SIX).acquire()).answered()
        limiter.merge("a", "b")
        await asyncio.sleep(100_000)

        assert 0 == len(limiter)
        assert limiter.bucket(key("a"), SIX) is limiter.bucket(key("b"), SIX)

        limiter.bucket(key("c"), SIX)
        limiter.merge("b", "c")
        limiter.merge("d", "a")

        assert [key("c")] == list(limiter._buckets)
        assert all(limiter.bucket(key(owner), SIX) is limiter.bucket(key("c"), SIX) for owner in "abd")
        assert 1 == len(limiter)

    run(main())


def test_all_buckets_of_a_user_are_merged_or_none() -> None:
    """A merge that is impossible changes nothing, also where a part of it was possible."""
    limiter = LocalLimiter()
    paths = [f"/api/v5/{number}" for number in range(5)]
    other = VirtualLoop()

    async def main() -> None:
        for path in paths:
            await limiter.bucket(key("ours")._replace(path=path), SIX).acquire()
        with pytest.raises(ConfigurationError, match="another event loop"):
            limiter.merge("theirs", "ours")

        assert 10 == len(limiter)
        for path in paths:
            assert 5 == limiter.bucket(key("ours")._replace(path=path), SIX).free

    try:
        for path in paths:
            bucket = limiter.bucket(key("theirs")._replace(path=path), SIX)
            if path == paths[2]:
                other.run_until_complete(bucket.acquire())
        run(main())
    finally:
        other.close()


def test_a_merged_bucket_may_still_be_entered() -> None:
    """A block around a call ends its lease where it was taken."""
    limiter = LocalLimiter()

    async def main() -> None:
        held = limiter.bucket(key("a"), SIX)
        left = limiter.bucket(key("b"), SIX)
        limiter.merge("a", "b")
        async with held:
            assert 1 == left.state.window.in_flight
            async with held:
                assert 2 == left.state.window.in_flight

        assert (0, 2) == (left.state.window.in_flight, len(left.state.window.releases))

    run(main())


def test_leases_and_refusals_of_a_merged_bucket_count() -> None:
    """A call that was in flight during the merge ends in the bucket that remains."""
    limiter = LocalLimiter()

    async def main() -> None:
        leases = [await limiter.bucket(key("a"), SIX).acquire() for _ in range(3)]
        limiter.bucket(key("b"), SIX)
        limiter.merge("a", "b")
        bucket = limiter.bucket(key("b"), SIX)
        assert 3 == bucket.free

        leases[0].answered()
        leases[1].abandoned()
        place = leases[2].refused()
        assert 0 == bucket.state.window.in_flight
        assert place is not None
        began = asyncio.get_running_loop().time()
        (await place.acquire(None)).answered()
        assert asyncio.get_running_loop().time() - began > 0.99

    run(main())


def test_cancelled_waiters_of_a_merged_bucket_lose_no_slot() -> None:
    """They leave the queue that they were moved to."""
    limiter = LocalLimiter()

    async def main() -> None:
        for owner in "ab":
            for _ in range(6):
                (await limiter.bucket(key(owner), SIX).acquire()).answered()
        waiting = [asyncio.create_task(limiter.bucket(key(owner), SIX).acquire()) for owner in "abab"]
        await asyncio.sleep(0)
        limiter.merge("a", "b")
        for task in waiting[:2]:
            task.cancel()
        leases = await asyncio.gather(*waiting[2:])
        for lease in leases:
            lease.answered()
        bucket = limiter.bucket(key("a"), SIX)

        assert (0, 0) == (bucket.state.window.in_flight, bucket.queue)

    run(main())


def test_users_in_use_on_two_running_loops_are_not_merged() -> None:
    """The merge raises an error, and both go on as before."""
    limiter = LocalLimiter()
    other = VirtualLoop()

    async def main() -> None:
        await limiter.bucket(key("ours"), SIX).acquire()
        with pytest.raises(ConfigurationError, match="another event loop"):
            limiter.merge("theirs", "ours")
        assert 2 == len(limiter)

    try:
        other.run_until_complete(limiter.bucket(key("theirs"), SIX).acquire())
        run(main())
    finally:
        other.close()


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


@pytest.mark.parametrize(("owner", "into"), [("a", "b"), ("b", "a")])
def test_a_pace_counts_a_call_of_the_bucket_that_had_none(owner: str, into: str) -> None:
    """It left just before the merge, so the next one leaves an interval later."""

    async def main() -> None:
        limiter = LocalLimiter()
        paced, free = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
        (await paced.acquire()).refused()
        await asyncio.sleep(1.5)
        (await free.acquire()).answered()
        began = now()
        limiter.merge(owner, into)
        (await free.acquire()).answered()

        assert 0.2 == pytest.approx(now() - began, abs=TICKS)

    run(main())


def test_waiters_of_a_merged_bucket_keep_their_places() -> None:
    """A merged handle serves the same queue, and its leases end in the same window."""
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


def test_a_merge_after_the_loop_has_ended() -> None:
    """What was in flight there is given up from then on."""
    limiter = LocalLimiter()

    async def leave_in_flight() -> None:
        for owner in "ab":
            await limiter.bucket(key(owner), SIX).acquire()

    run(leave_in_flight())
    limiter.merge("a", "b")
    [bucket] = limiter._buckets.values()

    assert (0, 2) == (bucket.state.window.in_flight, len(bucket.state.window.releases))
