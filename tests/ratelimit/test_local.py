import asyncio
import gc
import weakref

import pytest

from okx_sol_async import BucketKey, ConfigurationError, LocalLimiter, RateLimit, Scope
from okx_sol_async.ratelimit.registry import SWEEP_EVERY
from tests.support.buckets import granted
from tests.support.virtual_time import VirtualLoop, run

SIX = RateLimit(6, 1.0, Scope.USER)


def key(owner: str) -> BucketKey:
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


def test_one_key_has_one_bucket() -> None:
    """Whoever asks for a key finds the bucket that another has used."""
    limiter = LocalLimiter()

    assert limiter.bucket(key("a"), SIX) is limiter.bucket(key("a"), SIX)
    assert limiter.bucket(key("a"), SIX) is not limiter.bucket(key("b"), SIX)


def test_two_limits_for_one_key_are_refused() -> None:
    """The second would break the first, or the other way round."""
    limiter = LocalLimiter()
    limiter.bucket(key("a"), SIX)

    with pytest.raises(ConfigurationError, match="already limited"):
        limiter.bucket(key("a"), RateLimit(3, 1.0, Scope.USER))


def test_history_outlives_the_event_loop() -> None:
    """A second `asyncio.run` finds the bucket as the first one left it."""
    limiter = LocalLimiter()

    async def spend() -> None:
        for _ in range(6):
            (await limiter.bucket(key("a"), SIX).acquire()).answered()

    async def wait_for_one() -> float:
        began = asyncio.get_running_loop().time()
        await limiter.bucket(key("a"), SIX).acquire()
        return asyncio.get_running_loop().time() - began

    run(spend())

    assert run(wait_for_one()) > 0.99


def test_buckets_whose_history_matters_stay_and_idle_ones_go() -> None:
    """A bucket is kept for as long as a new one would not do the same."""
    limiter = LocalLimiter()

    async def main() -> None:
        for number in range(2000):
            (await limiter.bucket(key(f"once {number}"), SIX).acquire()).answered()
        in_flight = await limiter.bucket(key("in flight"), SIX).acquire()
        (await limiter.bucket(key("refused"), SIX).acquire()).refused()
        (await limiter.bucket(key("abandoned"), SIX).acquire()).abandoned()
        await asyncio.sleep(0.9)

        assert 2003 == len(limiter)

        await asyncio.sleep(0.2 + SWEEP_EVERY)

        assert 3 == len(limiter)

        in_flight.answered()
        await asyncio.sleep(1.1 + SWEEP_EVERY)

        assert 1 == len(limiter)

        await asyncio.sleep(60)

        assert 0 == len(limiter)

    run(main())


def test_buckets_of_an_event_loop_that_is_gone_go_too() -> None:
    """What was in flight when a loop ended is not waited for for ever."""
    limiter = LocalLimiter()

    async def leave_in_flight() -> None:
        await limiter.bucket(key("a"), SIX).acquire()

    async def wait() -> None:
        limiter.bucket(key("b"), SIX)
        await asyncio.sleep(3)

    asyncio.run(leave_in_flight())
    run(wait())
    # The clock of the loop that is gone is the real one.
    limiter._buckets[key("a")].state.window.releases = (0.0,)
    run(wait())

    assert 0 == len(limiter)


def test_whoever_still_holds_a_bucket_that_was_let_go_shares_the_new_one() -> None:
    """There are never two buckets at work for one key."""
    limiter = LocalLimiter()

    async def main() -> None:
        held = limiter.bucket(key("a"), SIX)
        lease = await held.acquire()
        place = lease.abandoned()
        await asyncio.sleep(3)

        assert 0 == len(limiter)

        new = limiter.bucket(key("a"), SIX)
        for bucket in (held, new, held, new):
            (await bucket.acquire()).answered()
        (await place.acquire(None)).answered()

        assert 5 == len(new.state.window.releases)

        await asyncio.sleep(3)
        (await held.acquire()).answered()

        assert 1 == len(limiter)

    run(main())


def test_a_held_bucket_comes_back_when_it_is_the_only_one() -> None:
    """Using a bucket that was let go puts it back in its place."""
    limiter = LocalLimiter()

    async def main() -> None:
        held = limiter.bucket(key("a"), SIX)
        await asyncio.sleep(3)
        (await held.acquire()).answered()

        assert limiter.bucket(key("a"), SIX) is held

    run(main())


def test_what_is_let_go_is_freed() -> None:
    """Nothing holds an idle bucket back."""
    limiter = LocalLimiter()
    freed: list[str] = []

    class Owner(str):
        """A string that can be watched."""

        __slots__ = ("__weakref__",)

    async def main() -> None:
        owner = Owner("a")
        weakref.finalize(owner, freed.append, "a")
        (await limiter.bucket(key(owner), SIX).acquire()).answered()
        del owner
        await asyncio.sleep(3)

    run(main())
    gc.collect()

    assert ["a"] == freed


def test_asked_for_outside_a_loop_a_bucket_is_let_go_later() -> None:
    """A bucket may be made before there is an event loop."""
    limiter = LocalLimiter()
    limiter.bucket(key("a"), SIX)

    async def main() -> None:
        limiter.bucket(key("b"), SIX)
        await asyncio.sleep(2)

    run(main())

    assert "<LocalLimiter of 0 buckets>" == repr(limiter)


def test_a_call_that_was_given_up_does_not_hold_the_others_back() -> None:
    """A bucket that is not idle for long lets the idle ones behind it go."""
    limiter = LocalLimiter()

    async def main() -> None:
        slow = await limiter.bucket(key("slow"), SIX).acquire()
        await asyncio.sleep(20)
        slow.answered()
        (await limiter.bucket(key("given up"), SIX).acquire()).abandoned()
        for number in range(2000):
            (await limiter.bucket(key(f"once {number}"), SIX).acquire()).answered()
        await asyncio.sleep(2)

        assert 1 == len(limiter)

    run(main())


def test_a_refusal_that_is_read_late_is_heeded_all_the_same() -> None:
    """The bucket may have been let go and made anew between the head of an answer and its end."""
    limiter = LocalLimiter()

    async def main() -> None:
        lease = await limiter.bucket(key("a"), SIX).acquire()
        lease.answered()
        await asyncio.sleep(3)
        assert 0 == len(limiter)
        limiter.bucket(key("a"), SIX)
        place = lease.refused()
        began = asyncio.get_running_loop().time()
        await place.acquire(None)

        assert asyncio.get_running_loop().time() - began > 0.99

    run(main())


def test_one_loop_does_not_let_go_what_another_may_be_using() -> None:
    """Another thread may be inside a bucket at any moment."""
    limiter = LocalLimiter()
    other = VirtualLoop()
    try:
        other.run_until_complete(limiter.bucket(key("theirs"), SIX).acquire()).answered()

        async def main() -> None:
            limiter.bucket(key("ours"), SIX)
            await asyncio.sleep(5)

        run(main())

        assert [key("theirs")] == list(limiter._buckets)
    finally:
        other.close()
    # A virtual clock stands still when its loop is closed.
    limiter._buckets[key("theirs")].state.window.releases = ()
    run(main())

    assert 0 == len(limiter)


# Two keys that turn out to be one user.


@pytest.mark.parametrize("into_is_older", [True, False])
def test_merging_loses_neither_history_nor_order(into_is_older: bool) -> None:  # noqa: FBT001
    """What was in flight, cooling and waiting in both counts in one, and all wait in the order in which they came."""
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


def test_after_a_merge_both_names_are_one() -> None:
    """Also over several steps, and for whoever holds an old bucket."""
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
    """However long nobody calls, and though every bucket was let go meanwhile."""
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
    """A merge that cannot be done changes nothing, also where a part of it could be."""
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


def test_a_bucket_that_was_merged_may_still_be_entered() -> None:
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
    """A call that was in flight when the buckets were merged ends in the one that is left."""
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


def test_cancelling_those_who_wait_in_a_merged_bucket_costs_nobody_anything() -> None:
    """They leave the queue they were moved to."""
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


def test_two_users_at_work_on_two_loops_are_not_merged() -> None:
    """It is said, and both go on as before."""
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


# What part of the quota a process may spend.


@pytest.mark.parametrize(("share", "requests"), [(1.0, 6), (0.5, 3), (0.99, 5), (0.01, 1)])
def test_a_share_leaves_room_for_others(share: float, requests: int) -> None:
    """The limit of each bucket is that part of OKX's, and one at least."""
    bucket = LocalLimiter(share=share).bucket(key("a"), SIX)

    assert (requests, requests, 0, 0.0) == (bucket.limit.requests, bucket.free, bucket.queue, bucket.wait)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"lead": -1}, "lead"),
        ({"lead": "some"}, "lead"),
        ({"lead": float("inf")}, "lead"),
    ],
)
def test_a_limiter_checks_what_it_is_given(arguments: dict[str, object], field: str) -> None:
    """A setting that means nothing is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"{field} must"):
        LocalLimiter(**arguments)  # type: ignore[arg-type]
