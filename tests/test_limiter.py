import asyncio
import gc
import weakref

import pytest

from okx_sol_async import BucketKey, ConfigurationError, LocalLimiter, RateLimit, Scope
from okx_sol_async.ratelimit import SWEEP_EVERY
from tests.virtual_time import VirtualLoop, run

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
    limiter._buckets[key("a")]._cooling = [0.0]
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

        assert 5 == len(new._cooling)

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
    limiter._buckets[key("theirs")]._cooling = []
    run(main())

    assert 0 == len(limiter)
