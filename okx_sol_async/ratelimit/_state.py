"""What a bucket knows and does: it gives slots to its waiters, in order and at the right time.

A `TokenBucket` is a handle on such a state. Handles of buckets that were merged share one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeVar

import attrs

from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit._latency import MaxLatency, MinLatency
from okx_sol_async.ratelimit._pacing import Pace
from okx_sol_async.ratelimit._waiters import Waiter, Waiters
from okx_sol_async.ratelimit._window import Window

if TYPE_CHECKING:
    from collections.abc import Hashable

    from okx_sol_async.ratelimit._limit import Lease, RateLimit
    from okx_sol_async.ratelimit._loops import Binding
    from okx_sol_async.ratelimit._pacing import PushBack

S = TypeVar("S")

#: By how much the clocks of two machines may differ in speed while they are being corrected: 500 ppm each.
CLOCK_DRIFT: Final = 0.001


@attrs.frozen
class Rules:
    """What all buckets of a limiter for one limit share."""

    #: The limit that the buckets keep.
    limit: RateLimit
    #: The limit that they were asked for, of which this process may spend a part.
    asked: RateLimit
    #: For how long a slot is in use after its call was answered, in seconds, on a clock of perfect resolution.
    cooldown: float
    #: Whether slots are released early by what the latencies allow.
    adaptive: bool
    push_back: PushBack
    max_latency: MaxLatency


def make_rules(
    limit: RateLimit,
    *,
    lead: float | Literal["adaptive"],
    push_back: PushBack,
    max_latency: MaxLatency,
    asked: RateLimit | None = None,
) -> Rules:
    """Return the rules of a limit, which is all or a part of what was ``asked`` for.

    Raises:
        ConfigurationError: ``lead`` is not below the period.

    """
    adaptive = lead == "adaptive"
    early_release = 0.0 if lead == "adaptive" else lead
    if early_release >= limit.seconds:
        message = f"lead must be below the period of {limit.seconds} s, not {lead!r}"
        raise ConfigurationError(message, argument="lead")
    cooldown = limit.seconds * (1 + CLOCK_DRIFT) - early_release
    return Rules(limit, asked or limit, cooldown, adaptive, push_back, max_latency)


class SlotSource(Protocol[S]):
    """Where a bucket gets slots ``S`` that it shares with other processes."""

    @property
    def is_busy(self) -> bool:
        """Whether a slot is reserved or asked for."""

    def next_departure(self, state: BucketState, now: float) -> float | None:
        """Return when the next waiter may leave, `None` if that is not known yet."""

    def take(self, now: float) -> S | None:
        """Return the reserved slot, for a call that leaves; `None` if there is none."""

    def put_back(self, slot: S) -> None:
        """Take back a slot whose call did not leave."""

    def not_needed(self) -> None:
        """Return a reserved slot, because the queue is empty."""

    def earliest(self, ahead: int, now: float) -> float:
        """Return the earliest departure of a call that ``ahead`` others precede, as far as it is known."""

    def answered(self, slot: S, now: float) -> None:
        """The call of a slot was answered."""

    def abandoned(self, slot: S, latency: float) -> None:
        """The call of a slot may be on its way for another ``latency`` seconds."""

    def refused(self, state: BucketState) -> bool:
        """Report a refusal to all processes; `False` if this one has to pause by itself."""

    def merge(self, other: Self, state: BucketState) -> None:
        """Take over what the source of a bucket knows that was merged into ``state``."""

    def orphan(self) -> None:
        """Forget what was reserved on an event loop that is gone."""


class Evictor(Protocol):
    """The limiter that has evicted a bucket."""

    def restore(self, key: Hashable, bucket: Handle) -> None:
        """Make ``bucket`` the bucket of its key again, or a handle on the one that has replaced it."""


class Handle:
    """What refers to the state of a bucket. When buckets are merged, their handles get the same state."""

    __slots__ = ("state",)

    state: BucketState


class BucketState:
    """The slots, the queue and the pace of one bucket. All times are the bound event loop's, in seconds."""

    __slots__ = (
        "binding",
        "entered",
        "evicted_by",
        "followers",
        "min_latency",
        "pace",
        "queue",
        "rules",
        "source",
        "window",
    )

    def __init__(self, rules: Rules, source: SlotSource[Any] | None = None) -> None:
        self.rules: Rules = rules
        self.window: Window = Window(rules.limit.requests)
        #: The event loop it is used on, `None` before the first call.
        self.binding: Binding | None = None
        #: Its waiters, `None` while there are none.
        self.queue: Waiters | None = None
        #: What the last refusals still ask for, if anything.
        self.pace: Pace | None = None
        self.min_latency: MinLatency | None = MinLatency() if rules.adaptive else None
        self.source: SlotSource[Any] | None = source
        #: The limiter that has evicted it because it was idle, and its key there.
        self.evicted_by: tuple[Evictor, Hashable] | None = None
        #: Further handles on this state, of buckets that were merged into it.
        self.followers: tuple[Handle, ...] = ()
        #: The leases of `async with` blocks, by the task that entered; `None` while there are none.
        self.entered: dict[asyncio.Task[Any] | None, list[Lease]] | None = None

    @property
    def cooldown(self) -> float:
        """For how long a slot is in use after its call was answered, in seconds."""
        # A response noted at one reading of the clock came up to one resolution later.
        return self.rules.cooldown + (0.0 if self.binding is None else self.binding.resolution)

    def time(self) -> float:
        """Return the time of the bound event loop."""
        assert self.binding is not None  # noqa: S101 - only called after a loop was bound
        return self.binding.loop.time()

    def is_bound_to(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether it is used on ``loop``."""
        return self.binding is not None and self.binding.loop is loop

    def current_pace(self, now: float) -> Pace | None:
        """Return what the last refusals still ask for, if anything."""
        if self.pace is not None and self.pace.ease(now):
            self.pace = None
        return self.pace

    # How calls end.

    def answered(self, since: float, slot: object) -> None:
        """End a call that left at ``since`` and was answered."""
        now = self.time()
        self.rules.max_latency.note(now - since, now)
        at = now + self.cooldown
        if self.min_latency is not None:
            self.min_latency.note(now - since, now)
            at -= self.min_latency.early_release()
        self.window.release(at)
        if self.source is not None and slot is not None:
            self.source.answered(slot, now)
        if self.queue is not None:
            self.serve()

    def abandoned(self, slot: object) -> None:
        """End a call that may still be on its way."""
        now = self.time()
        latency = self.rules.max_latency.seconds(now)
        self.window.release(now + self.cooldown + latency)
        if self.source is not None and slot is not None:
            self.source.abandoned(slot, latency)
        if self.queue is not None:
            self.serve()

    def slow_down(self) -> None:
        """Pause in this process, and go on at a pace."""
        now = self.time()
        if self.pace is None:
            limit = self.rules.limit
            self.pace = Pace(self.rules.push_back, limit.requests, limit.seconds, now)
        else:
            self.pace.refused(now)

    # The queue.

    def join(self, waiter: Waiter) -> None:
        """Put a call into the queue."""
        if self.queue is None:
            self.queue = Waiters()
        self.queue.join(waiter)
        if not self.queue.granted:
            # Otherwise its slot could be used before those that were given earlier; these serve the queue when they run.
            self.serve()

    def leave(self, waiter: Waiter) -> None:
        """Remove a call that was cancelled or gives up."""
        if self.queue is None or not self.is_bound_to(waiter.turn.get_loop()):
            return
        turn = waiter.turn
        if not self.queue.leave(waiter) and turn.done() and not turn.cancelled() and turn.result():
            # Its slot came at the moment of the cancellation, and was not used.
            self.return_slot(waiter)
        else:
            self.serve()

    def return_slot(self, waiter: Waiter) -> None:
        """Take back the slot of a call that did not leave, for the next one."""
        self.window.in_flight -= 1
        if self.source is not None and waiter.slot is not None:
            self.source.put_back(waiter.slot)
        waiter.slot = None
        self.depart()

    def depart(self) -> None:
        """Go on after a call that was given a slot has run."""
        if self.queue is not None:  # pragma: no branch - there is one as long as a call has been given its slot
            self.queue.granted -= 1
            self.serve()

    def serve(self) -> None:
        """Give the free slots to the waiters in order, and set the timer for the next slot."""
        queue, binding = self.queue, self.binding
        if queue is None or binding is None:
            return
        loop = binding.loop
        if queue and not loop.is_closed():
            now = loop.time()
            while queue:
                at = self._next_departure(now, queue)
                if at is None or at > now:
                    queue.wake_at(at, loop, self.serve)
                    return
                waiter = queue.first()
                queue.leave(waiter)
                if not waiter.turn.done():
                    self.window.in_flight += 1
                    queue.granted += 1
                    queue.one_by_one = self.pace is not None
                    if self.source is not None:
                        waiter.slot = self.source.take(now)
                    waiter.turn.set_result(True)
        if not queue:
            queue.wake_at(None)
            if self.source is not None:
                self.source.not_needed()
            if not queue.granted:
                self.queue = None

    def _next_departure(self, now: float, queue: Waiters) -> float | None:
        """Return when the first waiter may leave, `None` when that depends on something else."""
        pace = self.current_pace(now)
        if queue.granted and (pace is not None or queue.one_by_one):
            # One at a time may wait for the pace, or they would overtake each other there.
            return None
        if self.source is not None:
            return self.source.next_departure(self, now)
        return self.own_departure(now)

    def own_departure(self, now: float, requests: int | None = None) -> float | None:
        """Return when the first waiter may leave as far as this process is concerned.

        Args:
            now: the time.
            requests: how many slots the process has, if fewer than the limit.

        """
        at = self.window.next_free(now, requests)
        pace = self.pace
        return at if at is None or pace is None else max(at, pace.paused_until, pace.next_at)
