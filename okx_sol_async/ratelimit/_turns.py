"""How a call waits for its turn: in the queue of its bucket, and then for the pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from okx_sol_async.ratelimit._estimates import no_turn, refuse_hopeless
from okx_sol_async.ratelimit._waiters import Waiter

if TYPE_CHECKING:
    from okx_sol_async.ratelimit._state import BucketState, Handle


async def wait_for_turn(
    bucket: Handle, loop: asyncio.AbstractEventLoop, number: int, rank: int, deadline: float | None
) -> object:
    """Wait in the queue of a bucket; return the shared slot of the call, if slots are shared.

    Raises:
        QueueTimeout: the turn did not come before the deadline; or, at once, it cannot come before it.

    """
    if deadline is not None:
        refuse_hopeless(bucket.state, number, rank, deadline)
    while True:
        waiter = Waiter(loop, number, rank, deadline)
        await _take_turn(bucket, loop, waiter)
        may_leave = False
        try:
            may_leave = await _keep_pace(bucket.state, deadline)
        finally:
            # The bucket may have been merged meanwhile; or its loop is gone, and the call is an orphan.
            state = bucket.state
            if state.is_bound_to(loop):  # pragma: no branch - otherwise it is being closed, and returns nothing
                if may_leave:
                    state.depart()
                else:
                    state.return_slot(waiter)
        if may_leave:
            return waiter.slot
        # A refusal came while this call was about to leave. It keeps its place, behind the calls that were refused.


async def _take_turn(bucket: Handle, loop: asyncio.AbstractEventLoop, waiter: Waiter) -> None:
    """Wait until a slot is given to ``waiter``."""
    bucket.state.join(waiter)
    turn = waiter.turn
    alarm = loop.call_at(waiter.deadline, waiter.fail) if waiter.deadline is not None and not turn.done() else None
    try:
        has_slot = await turn
    except BaseException:
        bucket.state.leave(waiter)
        raise
    finally:
        if alarm is not None:
            alarm.cancel()
    if not has_slot:
        state = bucket.state
        error = waiter.failure or no_turn(state)
        state.leave(waiter)
        raise error


async def _keep_pace(state: BucketState, deadline: float | None) -> bool:
    """Wait for the pace with a slot in hand; return `False` if a pause has begun."""
    pace = state.pace
    if pace is None:
        return True
    if pace.paused_until > state.time():
        return False
    try:
        async with asyncio.timeout_at(deadline):
            await pace.keep()
    except TimeoutError:
        raise no_turn(state) from None
    return pace.paused_until <= state.time()
