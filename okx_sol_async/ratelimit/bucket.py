"""The bucket that keeps a rate limit.

A bucket has as many slots as the limit has requests. A call takes a slot when it leaves, and the slot is free again
one period after the call was *answered*. The exchange has counted a call before it answers it, so no window of that
period, at any phase, ever sees more calls than the limit, however long they were on their way.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from okx_sol_async.errors import ConfigurationError, QueueTimeout
from okx_sol_async.ratelimit.latency import LongestAnswer, ShortestAnswer
from okx_sol_async.ratelimit.pacing import DEFAULT, Pace, PushBack

if TYPE_CHECKING:
    from collections.abc import Hashable
    from types import TracebackType

    from okx_sol_async.ratelimit.limit import Lease, RateLimit

#: By how much clocks of two machines may differ in speed while they are being corrected: 500 ppm each.
CLOCK_DRIFT: Final = 0.001
#: So far behind may be the clock of an event loop that does not tell its resolution, in seconds. That of uvloop shows
#: whole milliseconds, of a clock that may itself go in steps of one.
COARSE_CLOCK: Final = 0.002
#: Numbers calls in the order in which they come, over all buckets.
NUMBERS: Final = itertools.count()


class _Process:
    """What the buckets of a process have in common, and a child process begins anew."""

    def __init__(self) -> None:
        # Two loops that want one bucket may run in two threads, and a third may be letting go of it. Whoever needs
        # the lock of a limiter too takes that first.
        self.moving = threading.RLock()
        #: How many forks lie between the first process and this one.
        self.forks = 0

    def begin_in_child(self) -> None:
        # Another thread of the parent may have held the lock, and is not here to let go of it.
        self.moving = threading.RLock()
        self.forks += 1


PROCESS: Final = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.begin_in_child)


class _Keeper(Protocol):
    """The limiter that a bucket belongs to."""

    def _take_back(self, key: Hashable, bucket: TokenBucket) -> TokenBucket: ...


class _Lease:
    __slots__ = ("_bucket", "_loop", "_number", "_open", "_since")

    def __init__(self, bucket: TokenBucket, loop: asyncio.AbstractEventLoop, number: int, since: float) -> None:
        self._bucket = bucket
        self._loop = loop
        self._number = number
        self._since = since
        self._open = True

    def answered(self) -> _Lease:
        bucket = self._end()
        if bucket is not None:
            bucket._answered(self._since)
        return self

    def abandoned(self) -> _Lease:
        bucket = self._end()
        if bucket is not None:
            bucket._abandoned()
        return self

    def refused(self) -> _Lease:
        # The answer may have been read so long after its head that the bucket was let go meanwhile.
        bucket = self._bucket._current()
        if bucket._loop is None:
            with suppress(ConfigurationError):
                bucket = bucket._on(self._loop)
        if bucket._loop is self._loop:
            bucket._refused()
        return self.answered()

    async def acquire(self, deadline: float | None) -> Lease:
        """Acquire for the same call again: ahead of all that came after it."""
        loop = asyncio.get_running_loop()
        return await self._bucket._on(loop)._wait(loop, self._number, deadline, returning=True)

    def _end(self) -> TokenBucket | None:
        """Return the bucket that still counts this lease, if any does, and end the lease."""
        was_open, self._open = self._open, False
        if not was_open:
            return None
        bucket = self._bucket._current()
        # A lease that outlives its event loop was given up for lost when the bucket moved on to the next loop.
        return bucket if bucket._loop is self._loop else None


class TokenBucket:
    """A rate limit that holds at the exchange, not only at the sender.

    Usable around any call, also without the rest of this package::

        bucket = TokenBucket(RateLimit(6, 1.0, Scope.USER))

        async with bucket:
            ...  # send the call and read its answer here

    Leaving the block normally counts as answered; leaving it with an exception means that the call may still be on
    its way. Those who wait are served in the order in which they came. One that is cancelled leaves the queue at once.

    A bucket keeps its history when one event loop ends and another begins.

    Args:
        limit: what the exchange allows.
        lead: seconds by which a slot is free earlier than one period after the answer. 0 is proven to draw no
            refusal; a positive lead is safe only up to the shortest time that a call and its answer ever travel.
            ``"adaptive"`` learns one from the answer times: more calls, and a few refusals in 100,000.
        push_back: what a refusal does.

    Raises:
        ConfigurationError: ``lead`` is not ``"adaptive"`` and not from 0 on and below the period; or, when acquiring,
            another event loop that is still alive uses this bucket.

    """

    __slots__ = (
        "_cooling",
        "_entered",
        "_forks",
        "_hold",
        "_in_flight",
        "_least_hold",
        "_let_go_by",
        "_longest",
        "_loop",
        "_pace",
        "_policy",
        "_returning",
        "_shortest",
        "_timer",
        "_timer_at",
        "_waiting",
        "_waking",
        "limit",
    )

    def __init__(
        self,
        limit: RateLimit,
        *,
        lead: float | Literal["adaptive"] = 0.0,
        push_back: PushBack = DEFAULT,
        _longest: LongestAnswer | None = None,
    ) -> None:
        check_lead(lead)
        if lead != "adaptive" and lead >= limit.seconds:
            message = f"lead must be below the period of {limit.seconds} s, not {lead!r}"
            raise ConfigurationError(message)
        #: What the exchange allows.
        self.limit = limit
        # For how long a slot is taken after its answer: at least, and by the clock of the loop.
        self._least_hold = limit.seconds * (1 + CLOCK_DRIFT) - (0.0 if lead == "adaptive" else lead)
        self._hold = self._least_hold
        self._policy = push_back
        self._shortest = ShortestAnswer() if lead == "adaptive" else None
        self._longest = LongestAnswer() if _longest is None else _longest
        self._loop: asyncio.AbstractEventLoop | None = None
        # How many forks there had been when the bucket came to the loop: after another one, it stays with the parent.
        self._forks = 0
        self._in_flight = 0
        # When each slot that is neither free nor in flight becomes free, in order, by the loop's clock. Tuples of
        # numbers are nothing to the garbage collector, so that it has one object to look at for each bucket.
        self._cooling: tuple[float, ...] = ()
        # Those who wait, by the number that tells their order; None until somebody does.
        self._waiting: OrderedDict[int, asyncio.Future[bool]] | None = None
        # Numbers of those who wait and had a lease before: they come first.
        self._returning: tuple[int, ...] = ()
        # How many were given a slot and have not run since.
        self._waking = 0
        self._timer: asyncio.Handle | None = None
        self._timer_at: float | None = None
        self._pace: Pace | None = None
        # The leases of `async with` blocks, by the task that entered; None until one does.
        self._entered: dict[asyncio.Task[Any] | None, list[Lease]] | None = None
        # The limiter that has let this bucket go because it was idle, and the key it had there.
        self._let_go_by: tuple[_Keeper, Hashable] | None = None

    def __repr__(self) -> str:
        limit = self.limit
        return (
            f"<TokenBucket {limit.requests} per {limit.seconds} s by {limit.scope.value}:"
            f" {self._in_flight} in flight, {len(self._cooling)} cooling, {len(self._waiting or ())} waiting>"
        )

    @property
    def free(self) -> int:
        """How many calls could leave at this moment without waiting."""
        if self._loop is None:
            return self.limit.requests
        self._give_up_lost()
        now = self._loop.time()
        pace = self._ease(now)
        if self._waiting or (pace is not None and max(pace.paused_until, pace.next_at) > now):
            return 0
        self._has_room(now)
        room = max(self.limit.requests - self._in_flight - len(self._cooling), 0)
        return room if pace is None else min(room, 1)

    @property
    def queue(self) -> int:
        """How many calls wait for their turn."""
        self._give_up_lost()
        return len(self._waiting or ())

    @property
    def wait(self) -> float:
        """The seconds that a call made now would wait at least."""
        return 0.0 if self._loop is None else self._least_wait(self.queue, self._loop.time())

    async def acquire(self, deadline: float | None = None) -> Lease:
        """Wait for the next lease, first come, first served.

        Args:
            deadline: the event loop's time (seconds) at which to give up, `None` for never.

        Raises:
            Timeout: the lease did not come before the deadline; or, at once, it cannot come before it.
            ConfigurationError: another event loop that is still alive uses this bucket.

        """
        loop = asyncio.get_running_loop()
        if self._let_go_by is not None or loop is not self._loop:
            bucket = self._on(loop)
            if bucket is not self:
                return await bucket.acquire(deadline)
        number = next(NUMBERS)
        # Whoever was given a slot and has not run yet goes first, so a newcomer stands behind them.
        if not self._waiting and not self._waking and self._pace is None:
            now = loop.time()
            if self._has_room(now):
                self._in_flight += 1
                return _Lease(self, loop, number, now)
        return await self._wait(loop, number, deadline)

    async def __aenter__(self) -> Self:
        """Wait for a lease."""
        lease = await self.acquire()
        bucket = self._current()
        if bucket._entered is None:
            bucket._entered = {}
        bucket._entered.setdefault(asyncio.current_task(), []).append(lease)
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
            # The event loop of this block is gone, and the bucket has given the call up for lost.
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
        bucket = self._current()
        entered = bucket._entered
        if entered is None:
            return None
        if task not in entered:
            # Another task closes what this one has entered: an asynchronous generator that was not exhausted.
            task = next(iter(entered), None)
        leases = entered.get(task)
        if not leases:
            return None
        lease = leases.pop()
        if not leases:
            del entered[task]
        if not entered:
            bucket._entered = None
        return lease

    # What the leases report.

    def _answered(self, since: float) -> None:
        now = self._time()
        self._longest.note(now - since, now)
        lead = 0.0
        if self._shortest is not None:
            self._shortest.note(now - since, now)
            lead = self._shortest.lead()
        self._cool(now + self._hold - lead)

    def _abandoned(self) -> None:
        now = self._time()
        self._cool(now + self._hold + self._longest.seconds(now))

    def _refused(self) -> None:
        now = self._time()
        if self._pace is None:
            self._pace = Pace(self._policy, self.limit.requests, self.limit.seconds, now)
        else:
            self._pace.refused(now)

    def _cool(self, free_at: float) -> None:
        self._in_flight -= 1
        cooling = self._cooling
        more = (*cooling, free_at)
        self._cooling = more if not cooling or cooling[-1] <= free_at else tuple(sorted(more))
        if self._waiting:
            self._hand_over()

    # The queue.

    async def _wait(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        deadline: float | None,
        *,
        returning: bool = False,
    ) -> Lease:
        if deadline is not None:
            self._refuse_hopeless(loop, number, deadline, returning=returning)
        while True:
            # A bucket may be merged into another one while a call waits in it.
            await self._current()._turn(loop, number, deadline, returning=returning)
            if await self._current()._may_leave(loop, deadline):
                return _Lease(self._current(), loop, number, loop.time())
            # A refusal came while this call was about to leave. Those that were refused go first.
            returning = True

    async def _turn(
        self, loop: asyncio.AbstractEventLoop, number: int, deadline: float | None, *, returning: bool
    ) -> None:
        """Stand in the queue until a slot is handed over."""
        turn = self._queue(loop, number, returning=returning)
        if not self._waking:
            # Else a slot given here would be used before those that were given earlier; they hand over when they run.
            self._hand_over()
        alarm = loop.call_at(deadline, _give_up, turn) if deadline is not None and not turn.done() else None
        try:
            has_slot = await turn
        except BaseException:
            self._current()._leave(number, turn)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        if not has_slot:
            bucket = self._current()
            bucket._leave(number, turn)
            raise _no_turn(bucket.queue)

    async def _may_leave(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> bool:
        """Wait for the pace with a slot in hand. If there is a pause, give the slot back and tell `False`."""
        may_leave = False
        try:
            may_leave = await self._keep_pace(loop, deadline)
        finally:
            bucket = self._current()
            # On a loop that is gone, the bucket has forgotten those who waited.
            if bucket._loop is loop:
                bucket._waking -= 1
                bucket._in_flight -= not may_leave
                bucket._hand_over()
        return may_leave

    async def _keep_pace(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> bool:
        pace = self._pace
        if pace is None:
            return True
        if pace.paused_until > loop.time():
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await pace.keep()
        except TimeoutError:
            raise _no_turn(self.queue) from None
        return pace.paused_until <= loop.time()

    def _queue(self, loop: asyncio.AbstractEventLoop, number: int, *, returning: bool) -> asyncio.Future[bool]:
        if self._waiting is None:
            self._waiting = OrderedDict()
        turn = self._waiting[number] = loop.create_future()
        if returning:
            self._returning = tuple(sorted((*self._returning, number)))
        return turn

    def _leave(self, number: int, turn: asyncio.Future[bool]) -> None:
        """Take a waiter that was cancelled or has given up out of the queue."""
        if self._loop is not turn.get_loop():
            return
        if self._waiting is not None and self._waiting.get(number) is turn:
            del self._waiting[number]
            if number in self._returning:
                self._returning = tuple(other for other in self._returning if other != number)
        elif turn.done() and not turn.cancelled() and turn.result():
            # The slot came at the moment of the cancellation: it was not used, so the next one has it.
            self._in_flight -= 1
            self._waking -= 1
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the free slots to those who wait, in order, and set the timer for the next slot."""
        waiting = self._waiting
        loop = self._loop
        if not waiting:
            if waiting is not None:
                self._waiting = None
            self._set_timer(None)
            return
        if loop is None or loop.is_closed():
            return
        now = loop.time()
        pace = self._ease(now)
        while waiting:
            if pace is not None and self._waking:
                # One at a time may wait for the pace, or they would overtake each other there.
                self._set_timer(None)
                return
            at = self._next_free(now, pace)
            if at is None or at > now:
                self._set_timer(at)
                return
            if self._returning:
                number, *others = self._returning
                self._returning = tuple(others)
            else:
                number = next(iter(waiting))
            turn = waiting.pop(number)
            if not turn.done():
                self._in_flight += 1
                self._waking += 1
                turn.set_result(True)

    def _next_free(self, now: float, pace: Pace | None) -> float | None:
        """Return when the head of the queue may go, `None` when that depends on an answer."""
        if self._has_room(now):
            at = now
        elif self._cooling:
            at = self._cooling[0]
        else:
            return None
        return at if pace is None else max(at, pace.paused_until)

    def _has_room(self, now: float) -> bool:
        cooling = self._cooling
        if cooling and cooling[0] <= now:
            self._cooling = cooling = cooling[bisect_right(cooling, now) :]
        return self._in_flight + len(cooling) < self.limit.requests

    def _set_timer(self, at: float | None) -> None:
        if self._timer is not None:
            if self._timer_at == at:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None and self._loop is not None:
            self._timer = self._loop.call_at(at, self._on_timer)
            self._timer_at = at

    def _on_timer(self) -> None:
        self._timer = None
        self._hand_over()

    def _ease(self, now: float) -> Pace | None:
        """Return what the last refusals still ask for, if anything."""
        if self._pace is not None and self._pace.ease(now):
            self._pace = None
        return self._pace

    def _refuse_hopeless(
        self, loop: asyncio.AbstractEventLoop, number: int, deadline: float, *, returning: bool
    ) -> None:
        now = loop.time()
        ahead = sum(other < number for other in self._returning) if returning else self.queue
        wait = self._least_wait(ahead, now)
        if now + wait > deadline:
            message = (
                f"{ahead} calls of this user wait for their turn before this one, which would wait at least"
                f" {wait:.3f} s and may wait {max(deadline - now, 0.0):.3f} s (max_wait)"
            )
            raise QueueTimeout(message, hint="Call less often, or allow a longer max_wait.")

    def _least_wait(self, ahead: int, now: float) -> float:
        """Return the seconds that a call waits at least when ``ahead`` others go before it."""
        requests = self.limit.requests
        pace = self._ease(now)
        # A call in flight is answered now at the earliest, and so is each one that is still to leave.
        slots = [max(at, now) for at in self._cooling] + [now + self._hold] * self._in_flight
        slots = sorted(slots + [now] * (requests - len(slots)))
        rounds, slot = divmod(ahead, requests)
        at = slots[slot]
        if pace is not None:
            at = max(at, pace.paused_until, pace.next_at)
        return at + rounds * self._hold - now

    # The event loop.

    def _time(self) -> float:
        assert self._loop is not None  # noqa: S101 - a lease exists, so a loop was entered
        return self._loop.time()

    def _on(self, loop: asyncio.AbstractEventLoop) -> TokenBucket:
        """Return the bucket that is at work for the key of this one, on the loop that runs in this thread."""
        while True:
            bucket = self._current()
            if bucket._loop is loop:
                return bucket
            with PROCESS.moving:
                # Another thread may have let go of it just now.
                if bucket._let_go_by is None:
                    bucket._move_to(loop)
                    return bucket

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        before = self._loop
        if before is not None:
            if self._loop_lives() and (before.is_running() or self._in_flight or self._waiting):
                raise _at_work_elsewhere()
            self._bury_calls()
            # The clock of the new loop may be behind, the one before as well, and both are read once for this.
            ahead = loop.time() - before.time() + _resolution(loop)
            self._cooling = tuple(at + ahead for at in self._cooling)
            if self._pace is not None:
                self._pace.shift(ahead)
        self._settle_on(loop, PROCESS.forks)

    def _settle_on(self, loop: asyncio.AbstractEventLoop, forks: int) -> None:
        self._loop = loop
        self._forks = forks
        # An answer that was noted at a reading of the clock came up to one resolution later than that.
        self._hold = self._least_hold + _resolution(loop)

    def _loop_lives(self) -> bool:
        loop = self._loop
        if loop is None or loop.is_closed():
            return False
        # A loop that rested during a fork may go on in the child.
        return self._forks == PROCESS.forks or _running_loop() is loop

    def _give_up_lost(self) -> None:
        """Forget those who waited on a loop that is gone."""
        if (self._in_flight or self._waiting) and not self._loop_lives():
            with PROCESS.moving:
                self._bury_calls()

    def _bury_calls(self) -> None:
        """Forget those who waited on a loop that is gone; what was in flight there may still be on its way."""
        now = self._time()
        free_at = now + self._hold + self._longest.seconds(now)
        self._cooling = tuple(sorted(self._cooling + (free_at,) * (self._in_flight - self._waking)))
        self._in_flight = self._waking = 0
        self._waiting = self._timer = self._entered = None
        self._returning = ()

    def _current(self) -> TokenBucket:
        """Return the bucket that is at work for the key of this one: itself, unless it was let go and replaced."""
        let_go_by = self._let_go_by
        if let_go_by is None:
            return self
        limiter, key = let_go_by
        return limiter._take_back(key, self)

    def _absorb(self, other: TokenBucket) -> None:
        """Take over all that ``other`` knows: its history, its calls in flight, and its queue, in the order of coming."""
        if other._loop is None:
            return
        self._share_loop_with(other)
        self._cooling = tuple(sorted(self._cooling + other._cooling))
        self._in_flight += other._in_flight
        self._waking += other._waking
        for task, leases in (other._entered or {}).items():
            self._entered = self._entered or {}
            self._entered.setdefault(task, []).extend(leases)
        if other._waiting:
            self._waiting = OrderedDict(sorted([*(self._waiting or {}).items(), *other._waiting.items()]))
            self._returning = tuple(sorted(self._returning + other._returning))
        self._pace = self._pace or other._pace
        other._set_timer(None)
        other._in_flight = other._waking = 0
        other._cooling = other._returning = ()
        other._waiting = other._pace = other._entered = None
        self._hand_over()

    def _share_loop_with(self, other: TokenBucket) -> None:
        """Bring both buckets to one event loop, if one of them rests."""
        for bucket in (self, other):
            bucket._give_up_lost()
            loop = bucket._loop
            if loop is not None and bucket._loop_lives() and loop.is_running() and loop is not _running_loop():
                # Another thread may be inside it.
                raise _at_work_elsewhere()
        if other._loop is None or other._loop is self._loop:
            return
        if self._loop is None:
            self._settle_on(other._loop, other._forks)
        elif other._loop.is_running():
            self._move_to(other._loop)
        else:
            other._move_to(self._loop)

    def _idle_in(self) -> float | None:
        """Return the seconds after which a new bucket would do the same as this one, `None` while it is at work.

        Calls on an event loop that is gone are given up for lost first.
        """
        if self._loop is None:
            return 0.0
        self._give_up_lost()
        now = self._loop.time()
        if self._in_flight or self._waiting or self._ease(now) is not None:
            return None
        return self._cooling[-1] - now if self._cooling else 0.0


def check_lead(lead: object) -> None:
    """Refuse what is neither ``"adaptive"`` nor a number of seconds."""
    if lead != "adaptive" and (type(lead) not in {int, float} or not 0 <= lead < math.inf):  # type: ignore[operator]
        message = f"lead must be 'adaptive' or a finite number of seconds from 0 on, not {lead!r}"
        raise ConfigurationError(message)


def _resolution(loop: asyncio.AbstractEventLoop) -> float:
    """Return by how many seconds the clock of ``loop`` may be behind."""
    resolution: float = getattr(loop, "_clock_resolution", COARSE_CLOCK)
    return resolution


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _at_work_elsewhere() -> ConfigurationError:
    message = "calls of the same limit are made on another event loop that is still alive"
    hint = "Use one event loop for all calls of one user, and for all public ones, or asyncio.run_coroutine_threadsafe."
    return ConfigurationError(message, hint=hint)


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


def _no_turn(queue: int) -> QueueTimeout:
    message = f"no turn within max_wait: {queue} other calls of this user wait"
    return QueueTimeout(message, hint="Call less often, or allow a longer max_wait.")
