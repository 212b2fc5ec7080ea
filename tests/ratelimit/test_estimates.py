"""What a call can know of its turn before it comes."""

import asyncio
import re
from types import SimpleNamespace
from typing import cast

import pytest

from okx_sol_async import PushBack, QueueTimeout
from okx_sol_async.ratelimit._estimates import free_slots, no_turn, refuse_hopeless
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._loops import Binding
from okx_sol_async.ratelimit._pacing import Pace
from okx_sol_async.ratelimit._state import BucketState, make_rules
from okx_sol_async.ratelimit._waiters import BACKGROUND, FOREGROUND, RETURNING, Waiter, Waiters
from tests.support.buckets import SIX


def state_at(now: float, *releases: float, waiting: int = 0) -> BucketState:
    """Return a bucket at a time of a loop whose clock is exact, with slots in use until the given times."""
    clock = SimpleNamespace(time=lambda: now, is_closed=lambda: False, create_future=lambda: None)
    loop = cast("asyncio.AbstractEventLoop", clock)
    state = BucketState(make_rules(SIX, lead=0.0, push_back=PushBack(), max_latency=MaxLatency()))
    state.binding = Binding(loop)
    state.window.releases = releases
    if waiting:
        state.queue = Waiters()
        for number in range(waiting):
            state.queue.join(Waiter(loop, number, FOREGROUND, None))
    return state


@pytest.mark.parametrize(("at", "free"), [(100.0, 0), (100.999, 0), (101.0, 1), (101.5, 1)])
def test_free_slots_after_a_refusal(at: float, free: int) -> None:
    """None until the pause is over, and then one at a time."""
    state = state_at(at)
    state.pace = Pace(PushBack(), 6, 1.0, 100.0)

    assert free == free_slots(state, at)


def test_a_queue_has_all_free_slots() -> None:
    """A call that comes now waits behind it."""
    assert (6, 0) == (free_slots(state_at(100.0), 100.0), free_slots(state_at(100.0, waiting=1), 100.0))


@pytest.mark.parametrize(("deadline", "hopeless"), [(100.999, True), (101.0, False)])
def test_a_call_that_can_leave_at_its_deadline_may_wait(*, deadline: float, hopeless: bool) -> None:
    """One that cannot is refused at once, with the time for which it would have to wait."""
    state = state_at(100.0, *[101.0] * 6)
    if not hopeless:
        refuse_hopeless(state, 0, FOREGROUND, deadline)
        return
    with pytest.raises(QueueTimeout) as caught:
        refuse_hopeless(state, 0, FOREGROUND, deadline)

    assert 1.0 == caught.value.retry_after


@pytest.mark.parametrize(("deadline", "patience"), [(100.25, "0.250"), (99.5, "0.000")])
def test_the_error_of_a_hopeless_call(deadline: float, patience: str) -> None:
    """It says how many calls wait before this one, how long it would wait, and how long it may."""
    state = state_at(100.0, *[100.5] * 6, waiting=2)
    text = f"2 calls of this user wait for their turn before this one, which would wait at least 0.500 s and may wait {patience} s"
    with pytest.raises(QueueTimeout, match=re.escape(text)):
        refuse_hopeless(state, 5, FOREGROUND, deadline)


@pytest.mark.parametrize(("waiting", "others"), [(0, 0), (1, 0), (3, 2)])
def test_the_error_of_a_turn_that_did_not_come(waiting: int, others: int) -> None:
    """It counts the other calls that wait, and says when to try again."""
    error = no_turn(state_at(100.0, *range(101, 107), waiting=waiting))

    assert f"no turn within max_wait: {others} other calls of this user wait" in str(error)
    assert 1.0 == error.retry_after


@pytest.mark.parametrize(("rank", "ahead"), [(RETURNING, 1), (FOREGROUND, 3), (BACKGROUND, 6)])
def test_who_is_ahead_of_a_call(rank: int, ahead: int) -> None:
    """A resend waits for earlier resends, a call for both, and one in the background for all."""
    state = state_at(100.0, waiting=2)
    assert state.queue is not None
    loop = cast("asyncio.AbstractEventLoop", SimpleNamespace(create_future=lambda: None))
    for number, other in ((2, RETURNING), (3, BACKGROUND), (4, BACKGROUND), (5, BACKGROUND)):
        state.queue.join(Waiter(loop, number, other, None))

    assert ahead == state.queue.ahead_of(6, rank)
    assert 0 == state.queue.ahead_of(1, RETURNING)


def test_the_error_while_slots_are_free() -> None:
    """There is nothing to wait for."""
    assert 0.0 == no_turn(state_at(100.0)).retry_after
