"""Idle buckets are evicted, and what their history matters to is kept."""

import asyncio
import gc
import weakref

import pytest

from okx_sol_async import LocalLimiter
from okx_sol_async.ratelimit._registry import SWEEP_EVERY
from tests.support.buckets import SIX, key
from tests.support.virtual_time import VirtualLoop, run


def test_idle_buckets_are_evicted_and_others_are_kept() -> None:
    """A bucket is kept for as long as a new one would behave differently."""
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


def test_buckets_of_a_loop_that_is_gone_are_evicted_too() -> None:
    """A call that was in flight when its loop ended does not keep its bucket for ever."""
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


@pytest.mark.parametrize("held_first", [True, False])
def test_a_handle_of_an_evicted_bucket_shares_the_new_one(*, held_first: bool) -> None:
    """There are never two buckets in use for one key."""
    limiter = LocalLimiter()

    async def main() -> None:
        held = limiter.bucket(key("a"), SIX)
        lease = await held.acquire()
        place = lease.abandoned()
        await asyncio.sleep(3)

        assert 0 == len(limiter)

        new = limiter.bucket(key("a"), SIX)
        for bucket in (held, new) * 2 if held_first else (new, held) * 2:
            (await bucket.acquire()).answered()
        (await place.acquire(None)).answered()

        assert 5 == len(new.state.window.releases)

        await asyncio.sleep(3)
        (await held.acquire()).answered()

        assert 1 == len(limiter)

    run(main())


def test_a_handle_of_an_evicted_bucket_registers_it_again() -> None:
    """Using a bucket that was evicted puts it back in its place."""
    limiter = LocalLimiter()

    async def main() -> None:
        held = limiter.bucket(key("a"), SIX)
        await asyncio.sleep(3)
        (await held.acquire()).answered()

        assert limiter.bucket(key("a"), SIX) is held

    run(main())


def test_an_evicted_bucket_is_freed() -> None:
    """No reference holds an idle bucket."""
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


def test_a_bucket_made_outside_a_loop_is_evicted_later() -> None:
    """A bucket may be made before there is an event loop."""
    limiter = LocalLimiter()
    limiter.bucket(key("a"), SIX)

    async def main() -> None:
        limiter.bucket(key("b"), SIX)
        await asyncio.sleep(2)

    run(main())

    assert "<LocalLimiter of 0 buckets>" == repr(limiter)
    # Nor is anything else left that grows with the exchanges of a long test run.
    assert not limiter._routes


def test_one_busy_bucket_does_not_keep_idle_ones() -> None:
    """A bucket that is idle later than others does not delay their eviction."""
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


def test_a_refusal_after_the_eviction_counts() -> None:
    """The bucket may be evicted and made anew between the head of a response and its end."""
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


def test_a_loop_that_was_closed_is_forgotten() -> None:
    """A program that runs one loop after another keeps none of them but the last."""
    limiter = LocalLimiter()
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        limiter.bucket(key("a"), SIX)
        loops.append(weakref.ref(asyncio.get_running_loop()))

    for _ in range(3):
        run(main())
    gc.collect()

    assert [None, None] == [loop() for loop in loops[:2]]


def test_one_loop_does_not_evict_the_buckets_of_another() -> None:
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
