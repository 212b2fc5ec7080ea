"""What rarely happens to a bucket: wrong arguments, blocks that end late, merges over loops, and turns that come too late."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Coroutine, Iterable
from itertools import repeat
from types import SimpleNamespace
from typing import cast

import pytest

from okx_sol_async import ConfigurationError, Lease, LocalLimiter, PushBack, QueueTimeout, TokenBucket
from okx_sol_async.ratelimit._bucket import make_bucket
from okx_sol_async.ratelimit._estimates import no_turn
from okx_sol_async.ratelimit._loops import running_loop
from okx_sol_async.ratelimit._pacing import Pace
from okx_sol_async.ratelimit._state import BucketState, SlotSource
from okx_sol_async.ratelimit._turns import _keep_pace
from tests.support.buckets import SIX, granted, key
from tests.support.virtual_time import VirtualLoop, now, run


def test_a_bucket_needs_a_limit() -> None:
    """Anything but a `RateLimit` is refused, with the name of the argument."""
    with pytest.raises(ConfigurationError) as caught:
        TokenBucket(6)  # type: ignore[arg-type]

    assert "limit" == caught.value.argument


@pytest.mark.parametrize("deadline", [float("nan"), float("inf"), 10**400, "soon", True])
async def test_a_deadline_is_a_time(deadline: float) -> None:
    """Anything but a finite number is refused before a lease is taken."""
    bucket = TokenBucket(SIX)

    with pytest.raises(ConfigurationError) as caught:
        await bucket.acquire(deadline)

    assert "deadline" == caught.value.argument
    assert 6 == bucket.free


async def test_a_deadline_may_be_any_finite_time() -> None:
    """Also the last one that there is."""
    assert await TokenBucket(SIX).acquire(sys.float_info.max)


def test_a_call_of_a_loop_that_is_gone_is_over_at_some_time() -> None:
    """Nothing reports its end, and its slot is free when no call could still be on its way."""
    bucket, loop = TokenBucket(SIX), VirtualLoop()
    loop.run_until_complete(bucket.acquire())
    loop.close()
    assert 5 == bucket.free

    loop._polling.clock += 2
    assert 6 == bucket.free


def shared_bucket(*, is_reported: bool = True, departures: Iterable[float | None] = repeat(0.0)) -> TokenBucket:
    """Return a bucket whose slots come from a store that has reserved none, and says when calls may leave."""
    departures = iter(departures)
    source = SimpleNamespace(
        next_departure=lambda *_: next(departures),
        take=lambda _: None,
        not_needed=lambda: None,
        refused=lambda _: is_reported,
    )
    return make_bucket(TokenBucket(SIX).state.rules, cast("SlotSource[object]", source))


@pytest.mark.parametrize("is_reported", [True, False])
async def test_a_refusal_of_a_shared_limit_is_for_all_processes(*, is_reported: bool) -> None:
    """One that cannot be reported to them pauses this one."""
    bucket = shared_bucket(is_reported=is_reported)
    (await bucket.acquire()).refused()

    assert is_reported == (bucket.state.pace is None)


async def test_a_call_without_a_reserved_slot_has_none_to_give_back() -> None:
    """It was cancelled when its turn came."""
    bucket = shared_bucket(departures=[None, 0.0])
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0)
    bucket.state.serve()
    assert 1 == granted(bucket)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert 0 == bucket.state.window.in_flight == granted(bucket)


async def test_a_call_without_a_reserved_slot_may_fail() -> None:
    """Nothing is said of it to the store."""
    bucket = shared_bucket()
    (await bucket.acquire()).abandoned()

    assert 5 == bucket.free


@pytest.mark.virtual_clock
async def test_a_queue_that_has_emptied_leaves_no_timer() -> None:
    """Nothing holds a bucket for which no call waits."""
    bucket = TokenBucket(SIX)
    for _ in range(6):
        (await bucket.acquire()).answered()
    waiting = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0)
    queue = bucket.state.queue
    assert queue is not None
    assert queue.wakes_at is not None
    waiting.cancel()
    await asyncio.wait([waiting])

    assert queue.wakes_at is None


async def test_a_block_has_the_bucket() -> None:
    """`async with` gives the bucket that it was asked for."""
    bucket = TokenBucket(SIX)
    async with bucket as entered:
        assert entered is bucket


@pytest.mark.virtual_clock
async def test_a_block_that_fails_has_used_its_slot() -> None:
    """Whether OKX counted the call is not known, so the seventh waits for a whole window."""
    bucket, began = TokenBucket(SIX), now()
    for _ in range(6):
        with contextlib.suppress(LookupError):
            async with bucket:
                raise LookupError

    async with bucket:
        assert now() - began >= 1


async def test_the_end_of_a_block_that_did_not_begin() -> None:
    """It changes nothing."""
    bucket = TokenBucket(SIX)

    await bucket.__aexit__(None, None, None)

    assert 6 == bucket.free


def test_a_block_that_ends_without_an_event_loop() -> None:
    """The garbage collector may end a generator after its loop: the call is an orphan, and nothing is raised."""
    bucket = TokenBucket(SIX)

    async def main() -> None:
        await bucket.__aenter__()

    run(main())
    with pytest.raises(StopIteration):
        bucket.__aexit__(None, None, None).send(None)

    assert running_loop() is None


@pytest.mark.virtual_clock
async def test_a_block_that_is_open_during_a_merge() -> None:
    """Its lease ends in the bucket that both have become."""
    limiter = LocalLimiter()
    one, other = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
    async with one:
        (await other.acquire()).answered()
        limiter.merge("a", "b")
        assert 1 == other.state.window.in_flight
        await asyncio.sleep(2)

    assert (0, None) == (other.state.window.in_flight, other.state.entered)
    assert other.state is one.state


@pytest.mark.parametrize("into", ["a", "b"])
def test_a_merge_with_a_bucket_of_a_loop_at_rest(into: str) -> None:
    """The merged bucket belongs to the loop that runs, whichever of the two was used there."""
    limiter = LocalLimiter()
    one, other = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)
    at_rest = asyncio.new_event_loop()

    async def use(bucket: TokenBucket) -> None:
        (await bucket.acquire()).answered()

    at_rest.run_until_complete(use(one))

    async def main() -> None:
        await use(other)
        limiter.merge("b" if into == "a" else "a", into)
        assert one.state is other.state
        assert one.state.is_bound_to(asyncio.get_running_loop())

    asyncio.run(main())
    at_rest.close()


def test_a_call_that_ends_after_its_loop_was_closed() -> None:
    """It gives its slot to none of those that waited there: they are gone too."""
    bucket, loop = TokenBucket(SIX), asyncio.new_event_loop()

    async def main() -> tuple[Lease, Coroutine[object, object, Lease]]:
        leases = [await bucket.acquire() for _ in range(6)]
        waiting = bucket.acquire()
        waiting.send(None)
        return leases[0], waiting

    lease, waiting = loop.run_until_complete(main())
    loop.close()
    lease.abandoned()

    assert 0 == bucket.free

    waiting.close()


async def test_a_merge_with_a_bucket_of_another_thread() -> None:
    """It is refused while the loop of that thread runs, and both stay as they were."""
    limiter, ready, done = LocalLimiter(), threading.Event(), threading.Event()
    one, other = limiter.bucket(key("a"), SIX), limiter.bucket(key("b"), SIX)

    async def elsewhere() -> None:
        (await one.acquire()).answered()
        ready.set()
        await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    try:
        await asyncio.to_thread(ready.wait)
        (await other.acquire()).answered()
        with pytest.raises(ConfigurationError):
            limiter.merge("a", "b")
    finally:
        done.set()
        thread.join()

    assert one.state is not other.state


async def test_an_evicted_bucket_of_a_key_of_another_kind() -> None:
    """A key of one's own is restored as it is, once, and a live bucket is left alone."""
    limiter = LocalLimiter()
    bucket = limiter.bucket("mine", SIX)
    limiter._buckets.clear()

    limiter.restore("mine", bucket)
    limiter.restore("mine", bucket)

    assert limiter.bucket("mine", SIX) is bucket
    assert bucket.state.evicted_by is None
    assert not bucket.state.followers


async def test_a_sweep_passes_over_a_key_that_is_gone() -> None:
    """Between two sweeps a merge may take a bucket away."""
    limiter = LocalLimiter()
    (await limiter.bucket("kept", SIX).acquire()).answered()
    limiter._unchecked = ["gone"]

    assert limiter._evict_idle(asyncio.get_running_loop()) is not None

    assert 1 == len(limiter)


@pytest.mark.virtual_clock
async def test_a_policy_without_a_pace() -> None:
    """After its pause calls leave without an interval."""
    pace, began = Pace(PushBack(paced=False), 6, 1.0, now()), now()

    for _ in range(20):
        await pace.keep()

    assert began == now()


@pytest.mark.virtual_clock
async def test_a_turn_that_comes_too_late_for_the_pace() -> None:
    """A call that has a slot, but would leave after its deadline, fails at the deadline."""
    bucket, began = TokenBucket(SIX), now()
    (await bucket.acquire()).answered()
    slow = SimpleNamespace(paused_until=0.0, next_at=0.0, ease=lambda _: False, keep=lambda: asyncio.sleep(5))
    bucket.state.pace = cast("Pace", slow)

    with pytest.raises(QueueTimeout):
        await _keep_pace(bucket.state, now() + 1)

    assert pytest.approx(1, abs=1e-3) == now() - began


async def test_a_call_leaves_at_the_very_end_of_a_pause() -> None:
    """And not before it, also where the pause began while it waited for the pace."""

    async def leaves(*times: float) -> bool:
        pace = SimpleNamespace(paused_until=1.0, keep=lambda: asyncio.sleep(0))
        state = SimpleNamespace(pace=pace, time=iter(times).__next__)
        return await _keep_pace(cast("BucketState", state), None)

    assert [True, False, False] == [await leaves(1.0, 1.0), await leaves(0.9), await leaves(1.0, 0.9)]


@pytest.mark.virtual_clock
async def test_a_turn_leaves_no_timer() -> None:
    """The alarm of a call that has its turn is stopped, or a busy service would keep one for each."""
    bucket = TokenBucket(SIX)
    for _ in range(7):
        (await bucket.acquire(now() + 1000)).answered()

    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [] == [timer for timer in timers if timer.when() > now() + 100 and not timer.cancelled()]


@pytest.mark.virtual_clock
async def test_a_call_that_is_cancelled_with_a_slot_in_hand_returns_it() -> None:
    """It waited for the pace, and nothing left."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).answered()
    slow = SimpleNamespace(paused_until=0.0, next_at=0.0, ease=lambda _: False, keep=lambda: asyncio.sleep(5))
    bucket.state.pace = cast("Pace", slow)
    call = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(1)
    assert 1 == bucket.state.window.in_flight
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert (0, 0) == (bucket.state.window.in_flight, granted(bucket))


@pytest.mark.virtual_clock
async def test_an_error_without_a_queue() -> None:
    """Nothing waits there, and the error says so."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).answered()

    assert "0 other calls" in str(no_turn(bucket.state))
