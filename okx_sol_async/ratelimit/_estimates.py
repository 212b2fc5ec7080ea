"""What a call can know of its turn before it comes: free slots, the earliest departure, and the error if it is too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from okx_sol_async.errors import QueueTimeout

if TYPE_CHECKING:
    from okx_sol_async.ratelimit._state import BucketState


def free_slots(state: BucketState, now: float) -> int:
    """Return how many calls could leave at once."""
    pace = state.current_pace(now)
    if state.queue or (pace is not None and max(pace.paused_until, pace.next_at) > now):
        return 0
    free = state.window.free(now)
    return free if pace is None else min(free, 1)


def earliest_departure(state: BucketState, ahead: int, now: float) -> float:
    """Return the earliest departure of a call that ``ahead`` others precede."""
    at = state.window.earliest(ahead, now, state.cooldown)
    pace = state.current_pace(now)
    if pace is not None:
        at = max(at, pace.paused_until, pace.next_at)
    return at if state.source is None else max(at, state.source.earliest(ahead, now))


def refuse_hopeless(state: BucketState, number: int, rank: int, deadline: float) -> None:
    """Raise `QueueTimeout` for a call that cannot leave before its deadline."""
    now = state.time()
    ahead = 0 if state.queue is None else state.queue.ahead_of(number, rank)
    wait = earliest_departure(state, ahead, now) - now
    if now + wait > deadline:
        message = (
            f"{ahead} calls of this user wait for their turn before this one, which would wait at least"
            f" {wait:.3f} s and may wait {max(deadline - now, 0.0):.3f} s (max_wait)"
        )
        raise _queue_timeout(message, wait)


def no_turn(state: BucketState) -> QueueTimeout:
    now = state.time()
    waiting, at = 0, earliest_departure(state, 0, now)
    if state.queue is not None:
        # The one that gives up is still in the queue.
        waiting = max(len(state.queue) - 1, 0)
        at = max(at, state.queue.wakes_at or at)
    message = f"no turn within max_wait: {waiting} other calls of this user wait"
    return _queue_timeout(message, at - now)


def _queue_timeout(message: str, wait: float) -> QueueTimeout:
    return QueueTimeout(message, retry_after=max(wait, 0.0), hint="Call less often, or allow a longer max_wait.")
