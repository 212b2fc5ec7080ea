"""Threads that use one limiter at the same moment."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from okx_sol_async import (
    ConfigurationError,
    LocalLimiter,
    TokenBucket,
)
from okx_sol_async.ratelimit._loops import PROCESS
from okx_sol_async.ratelimit._merging import evict
from tests.support.buckets import SIX
from tests.support.threads import KEY, PATIENCE, LoopWithBarrier, in_threads
from tests.support.virtual_time import VirtualLoop, run


def test_one_of_two_threads_takes_over_a_bucket() -> None:
    """Of two new loops only one gets the bucket of a loop that is gone; the other gets an error."""
    bucket = TokenBucket(SIX)
    gone = LoopWithBarrier()
    gone.run_until_complete(bucket.acquire()).answered()
    gone.close()
    gone.barrier = threading.Barrier(2)
    both_tried = threading.Barrier(2)

    async def take_over() -> float:
        try:
            lease = await bucket.acquire()
        finally:
            await asyncio.to_thread(both_tried.wait, PATIENCE)
        lease.answered()
        return 0.0

    outcomes = in_threads(take_over, take_over)

    assert 1 == sum(isinstance(outcome, ConfigurationError) for outcome in outcomes)
    assert 1 == outcomes.count(0.0)
    assert 0 == bucket.state.window.in_flight
    assert 2 == len(bucket.state.window.releases)


class _Interrupted:
    """A lock before which something else happens once, as if another thread had been quicker."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = [happens]
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if self._happens:
            self._happens.pop()()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("before", ["made", "left by a loop that is gone", "evicted"])
def test_a_bucket_that_another_thread_evicts_at_that_moment(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """Between the check and the first lease it may be evicted, and there are still never two buckets in use for one key."""
    limiter = LocalLimiter()
    other = VirtualLoop()
    bucket = limiter.bucket(KEY, SIX)
    if before == "left by a loop that is gone":
        gone = VirtualLoop(-1000.0)
        gone.run_until_complete(bucket.acquire()).answered()
        bucket.state.window.releases = ()
        gone.close()
    if before == "evicted":
        limiter._evict_idle(other)

    async def main() -> None:
        monkeypatch.setattr(PROCESS, "moving", _Interrupted(lambda: limiter._evict_idle(other)))
        lease = await bucket.acquire()

        assert limiter.bucket(KEY, SIX) is bucket
        lease.answered()
        assert 5 == limiter.bucket(KEY, SIX).free

    run(main())
    other.close()


def test_two_loops_that_begin_to_evict_at_the_same_moment() -> None:
    """Both are remembered, or the eviction would begin again with each call."""
    limiter = LocalLimiter()
    gone = LoopWithBarrier()
    gone.run_until_complete(call_for(limiter, "a"))
    gone.close()
    gone.barrier = threading.Barrier(2)

    both_began = threading.Barrier(2)

    async def begin(owner: str) -> asyncio.AbstractEventLoop:
        await call_for(limiter, owner)
        await asyncio.to_thread(both_began.wait, PATIENCE)
        return asyncio.get_running_loop()

    loops = in_threads(lambda: begin("b"), lambda: begin("c"))

    assert limiter._sweeping >= set(loops)  # type: ignore[arg-type]


async def call_for(limiter: LocalLimiter, owner: str) -> None:
    (await limiter.bucket(KEY._replace(owner=owner), SIX).acquire()).answered()


def test_a_lease_may_end_while_its_thread_is_inside_the_limiter() -> None:
    """The garbage collector may run there and end an abandoned call, and nothing deadlocks."""
    limiter = LocalLimiter()

    async def main() -> None:
        bucket = limiter.bucket(KEY, SIX)
        lease = await bucket.acquire()
        lease.answered()
        evict(limiter._buckets.pop(tuple(KEY)), limiter, KEY)
        with limiter._lock:
            lease.refused()
        assert limiter.bucket(KEY, SIX) is bucket

    in_threads(main)
