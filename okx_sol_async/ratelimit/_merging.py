"""How a bucket moves to another event loop, gives up what is lost, is merged into another one, and is evicted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from okx_sol_async.ratelimit._loops import PROCESS, binding_of, running_loop, used_elsewhere
from okx_sol_async.ratelimit._waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Hashable

    from okx_sol_async.ratelimit._state import BucketState, Evictor, Handle


def bind(bucket: Handle, loop: asyncio.AbstractEventLoop) -> BucketState:
    """Return the state of a bucket, bound to ``loop``, which runs in this thread.

    Raises:
        ConfigurationError: another event loop that is still alive uses this bucket.

    """
    while True:
        state = bucket.state
        if state.is_bound_to(loop):
            return state
        with PROCESS.moving:
            # Another thread may have evicted it at this moment.
            evicted_by = state.evicted_by
            if evicted_by is None:
                _bind_loop(state, loop)
                return state
        limiter, key = evicted_by
        limiter.restore(key, bucket)


def _bind_loop(state: BucketState, loop: asyncio.AbstractEventLoop) -> None:
    before, binding = state.binding, binding_of(loop)
    if before is not None:
        if before.is_alive() and (before.loop.is_running() or state.window.in_flight or state.queue):
            raise used_elsewhere()
        _orphan_calls(state)
        # The new clock may be late, the old one as well, and both are read once for this.
        ahead = loop.time() - before.loop.time() + binding.resolution
        state.window.shift(ahead)
        if state.pace is not None:
            state.pace.shift(ahead)
    state.binding = binding


def reap_orphans(state: BucketState) -> None:
    """Give up the calls of an event loop that is gone."""
    binding = state.binding
    if binding is not None and (state.window.in_flight or state.queue) and not binding.is_alive():
        with PROCESS.moving:
            _orphan_calls(state)


def _orphan_calls(state: BucketState) -> None:
    """Drop the waiters of an event loop that is gone; what was in flight there may still be on its way."""
    now = state.time()
    granted = 0 if state.queue is None else state.queue.granted
    state.window.release_all(now + state.cooldown + state.rules.max_latency.seconds(now), granted)
    state.queue = state.entered = None
    if state.source is not None:
        state.source.orphan()


def is_idle(state: BucketState, loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a new bucket would do the same as this one, as far as ``loop`` knows."""
    binding = state.binding
    if binding is None:
        return True
    if binding.loop is not loop:
        if binding.is_alive():
            # It may be in use in another thread at this moment.
            return False
        reap_orphans(state)
    now, window, source = state.time(), state.window, state.source
    if window.in_flight or state.queue or (window.releases and window.releases[-1] > now):
        return False
    return state.current_pace(now) is None and (source is None or binding.loop is not loop or not source.is_busy)


def evict(bucket: Handle, limiter: Evictor, key: Hashable) -> None:
    """Mark an idle bucket as evicted: a handle that is still held asks the limiter when it is used again."""
    state = bucket.state
    state.window.releases = ()
    state.binding = None
    state.evicted_by = limiter, key


def share_loop(one: BucketState, other: BucketState) -> None:
    """Bind two buckets to one event loop, if one of them is at rest."""
    for state in (one, other):
        reap_orphans(state)
        binding = state.binding
        if (
            binding is not None
            and binding.is_alive()
            and binding.loop.is_running()
            and binding.loop is not running_loop()
        ):
            # Another thread may be inside it.
            raise used_elsewhere()
    if other.binding is None or one.is_bound_to(other.binding.loop):
        return
    if one.binding is None:
        one.binding = other.binding
    elif other.binding.loop.is_running():
        _bind_loop(one, other.binding.loop)
    else:
        _bind_loop(other, one.binding.loop)


def merge(bucket: Handle, into: Handle) -> None:
    """Make ``bucket`` a handle on the state of ``into``, which takes over its calls, its queue and its pace."""
    state, other = into.state, bucket.state
    handles = (bucket, *other.followers)
    for handle in handles:
        handle.state = state
    state.followers += handles
    other.followers = ()
    if other.binding is None:
        return
    share_loop(state, other)
    state.window.merge(other.window)
    if other.queue is not None:
        state.queue = state.queue or Waiters()
        state.queue.merge(other.queue)
    if state.pace is not None and other.pace is not None:
        state.pace.merge(other.pace)
    else:
        state.pace = state.pace or other.pace
        if state.pace is not None:
            # A call of the bucket that had no pace may have left just now.
            state.pace.next_at = max(state.pace.next_at, state.time() + state.pace.interval)
    for task, leases in (other.entered or {}).items():
        state.entered = state.entered or {}
        state.entered.setdefault(task, []).extend(leases)
    if state.source is not None and other.source is not None:
        state.source.merge(other.source, state)
    state.serve()
