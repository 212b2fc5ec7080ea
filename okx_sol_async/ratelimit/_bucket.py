"""The bucket that keeps a rate limit: callers take a lease from it for each call, first come, first served."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from okx_sol_async._checks import seconds, shown, wrong
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit._estimates import earliest_departure, free_slots
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._limit import RateLimit
from okx_sol_async.ratelimit._merging import bind, reap_orphans
from okx_sol_async.ratelimit._pacing import DEFAULT, PushBack
from okx_sol_async.ratelimit._state import BucketState, Handle, Rules, SlotSource, make_rules
from okx_sol_async.ratelimit._turns import wait_for_turn
from okx_sol_async.ratelimit._waiters import BACKGROUND, FOREGROUND, NUMBERS, RETURNING

if TYPE_CHECKING:
    from types import TracebackType

    from okx_sol_async.ratelimit._limit import Lease


class BucketLease:
    """The `Lease` of a `TokenBucket`. It is also the `Bucket` from which the same call takes its next lease."""

    __slots__ = ("_bucket", "_loop", "_number", "_open", "_since", "slot")

    def __init__(self, bucket: TokenBucket, loop: asyncio.AbstractEventLoop, number: int, since: float) -> None:
        self._bucket = bucket
        self._loop = loop
        self._number = number
        self._since = since
        self._open = True
        #: The shared slot of the call, if slots are shared.
        self.slot: object = None

    def answered(self) -> BucketLease:
        """End it: the head of a response came."""
        state = self._end()
        if state is not None:
            state.answered(self._since, self.slot)
        return self

    def abandoned(self) -> BucketLease:
        """End it: the call failed, and may still be on its way."""
        state = self._end()
        if state is not None:
            state.abandoned(self.slot)
        return self

    def refused(self) -> BucketLease:
        """End it, and slow the bucket down: OKX counted too many calls."""
        # The body may be read so long after its head that the bucket was evicted meanwhile.
        if self._bucket.state.binding is None:
            with suppress(ConfigurationError):
                bind(self._bucket, self._loop)
        state = self._bucket.state
        if state.is_bound_to(self._loop) and (state.source is None or not state.source.refused(state)):
            state.slow_down()
        return self.answered()

    async def acquire(self, deadline: float | None = None, *, background: bool = False) -> Lease:
        """Wait for a lease for the same call again, ahead of all that came after it; in the background, of those there."""
        return await self._bucket.wait_again(self._number, deadline, background=background)

    @property
    def wait(self) -> float:
        """The seconds that a call made now would wait at least."""
        return self._bucket.wait

    def _end(self) -> BucketState | None:
        """End it; return the state that still counts the call, if any does."""
        if not self._open:
            return None
        self._open = False
        state = self._bucket.state
        # A lease that outlives its event loop was given up as an orphan when the bucket moved to the next loop.
        return state if state.is_bound_to(self._loop) else None


class TokenBucket(Handle):
    """A rate limit that holds at the exchange, not only at the sender.

    Usable around any call, also without the rest of this package::

        bucket = TokenBucket(RateLimit(6, 1.0, Scope.USER))

        async with bucket:
            ...  # send the call and read its response here

    Leaving the block normally counts as answered; leaving it with an exception means that the call may still be on
    its way. Waiters are served first come, first served. One that is cancelled leaves the queue at once.

    A bucket keeps its history when one event loop ends and another begins.

    Args:
        limit: what the exchange allows.
        lead: seconds by which a slot is released earlier than one period after the response. 0 is proven to draw no
            refusal; a positive lead is safe only up to the shortest time that a call and its response take on the
            network. ``"adaptive"`` learns one from the latencies: more calls, and a few refusals in 100,000.
        push_back: what a refusal does.

    Raises:
        ConfigurationError: ``limit`` is no `RateLimit`; ``lead`` is not ``"adaptive"`` and not from 0 on and below the
            period; or, when acquiring, another event loop that is still alive uses this bucket.

    """

    __slots__ = ()

    def __init__(
        self, limit: RateLimit, *, lead: float | Literal["adaptive"] = 0.0, push_back: PushBack = DEFAULT
    ) -> None:
        if not isinstance(limit, RateLimit):
            raise wrong(limit, "limit", "a RateLimit")
        check_lead(lead)
        self.state: BucketState = BucketState(
            make_rules(limit, lead=lead, push_back=push_back, max_latency=MaxLatency())
        )

    def __repr__(self) -> str:
        limit, window = self.limit, self.state.window
        return (
            f"<TokenBucket {limit.requests} per {limit.seconds} s by {limit.scope.value}:"
            f" {window.in_flight} in flight, {len(window.releases)} cooling, {len(self.state.queue or ())} waiting>"
        )

    @property
    def limit(self) -> RateLimit:
        """What the exchange allows."""
        return self.state.rules.limit

    @property
    def free(self) -> int:
        """How many calls could leave at this moment without waiting."""
        state = self.state
        if state.binding is None:
            return state.window.requests
        reap_orphans(state)
        return free_slots(state, state.time())

    @property
    def queue(self) -> int:
        """How many calls wait for their turn."""
        reap_orphans(self.state)
        return len(self.state.queue or ())

    @property
    def wait(self) -> float:
        """The seconds that a call made now would wait at least."""
        state = self.state
        if state.binding is None:
            return 0.0
        ahead, now = self.queue, state.time()
        return earliest_departure(state, ahead, now) - now

    def take(self) -> Lease | None:
        """Return a lease if a call may leave at once and none waits, else `None`. To be called in an event loop.

        Raises:
            ConfigurationError: another event loop that is still alive uses this bucket.

        """
        state = self.state
        binding = state.binding
        loop = asyncio.get_running_loop()
        if binding is None or binding.loop is not loop:
            state = bind(self, loop)
        if state.queue is not None or state.pace is not None or state.source is not None:
            return None
        now = loop.time()
        window = state.window
        if not window.has_room(now):
            return None
        window.in_flight += 1
        return BucketLease(self, loop, next(NUMBERS), now)

    async def acquire(self, deadline: float | None = None, *, background: bool = False) -> Lease:
        """Wait for the next lease, first come, first served.

        Args:
            deadline: the event loop's time (seconds) at which to give up, `None` for never.
            background: wait behind every call that is not in the background.

        Raises:
            QueueTimeout: the lease did not come before the deadline; or, at once, it cannot come before it.
            TransportError: the limit is shared, cannot be reached, and the limiter is set to raise.
            ConfigurationError: another event loop that is still alive uses this bucket, the limiter is closed, or
                ``deadline`` is no number.

        """
        if deadline is not None and (type(deadline) not in {int, float} or not abs(deadline) <= sys.float_info.max):
            raise wrong(deadline, "deadline", "a time of the event loop in seconds, or None")
        return self.take() or await self._wait(next(NUMBERS), BACKGROUND if background else FOREGROUND, deadline)

    async def wait_again(self, number: int, deadline: float | None, *, background: bool) -> Lease:
        """Wait for another lease for call ``number``, ahead of all that came after it. Internal."""
        bind(self, asyncio.get_running_loop())
        return await self._wait(number, BACKGROUND if background else RETURNING, deadline)

    async def _wait(self, number: int, rank: int, deadline: float | None) -> Lease:
        loop = asyncio.get_running_loop()
        slot = await wait_for_turn(self, loop, number, rank, deadline)
        lease = BucketLease(self, loop, number, loop.time())
        lease.slot = slot
        return lease

    async def __aenter__(self) -> Self:
        """Wait for a lease."""
        lease = await self.acquire()
        state = self.state
        if state.entered is None:
            state.entered = {}
        state.entered.setdefault(asyncio.current_task(), []).append(lease)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the lease of this block."""
        lease = self._leave_block()
        if lease is None:
            # The event loop of this block is gone, and its call was given up as an orphan.
            return
        if error is None:
            lease.answered()
        else:
            lease.abandoned()

    def _leave_block(self) -> Lease | None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return None
        state = self.state
        entered = state.entered
        if entered is None:
            return None
        if task not in entered:
            # Another task closes what this one has entered: an asynchronous generator that was not exhausted.
            task = next(iter(entered))
        leases = entered[task]
        lease = leases.pop()
        if not leases:
            del entered[task]
        if not entered:
            state.entered = None
        return lease


def make_bucket(rules: Rules, source: SlotSource[Any] | None = None) -> TokenBucket:
    """Return a bucket by rules that it shares with others, and with slots from ``source`` if they are shared."""
    bucket = TokenBucket.__new__(TokenBucket)
    bucket.state = BucketState(rules, source)
    return bucket


def check_lead(lead: object) -> None:
    """Refuse what is neither ``"adaptive"`` nor a number of seconds."""
    if not isinstance(lead, str):
        seconds("lead", lead, positive=False)
    elif lead != "adaptive":
        message = f"lead must be 'adaptive' or a finite number of seconds from 0 on, not {shown(lead)}"
        raise ConfigurationError(message, argument="lead")
