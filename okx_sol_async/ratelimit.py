"""The limit that OKX sets, and the bucket that keeps it.

A bucket has as many slots as the limit has requests. A call takes a slot when it leaves, and the slot is free again
one period after the call was *answered*. The exchange has counted a call before it answers it, so no window of that
period, at any phase, ever sees more calls than the limit, however long they were on their way.
"""

from __future__ import annotations

import asyncio
import enum
import math
import threading
from bisect import insort
from collections import OrderedDict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

import attrs
from aiolimiter import AsyncLimiter

from okx_sol_async.errors import ConfigurationError, Timeout

if TYPE_CHECKING:
    from collections.abc import Hashable
    from types import TracebackType

#: Clocks of two machines run at different speeds while they are being corrected: by 0.5 ms in a second each.
CLOCK_DRIFT: Final = 0.001
#: What a call that was given up is at least taken to travel, in seconds.
SHORTEST_TRAVEL: Final = 0.5
#: For how long the longest answer time is remembered: between one and two of these, in seconds.
MEMORY: Final = 30.0
#: After so many seconds without a refusal the pace becomes faster.
CLEAN_TIME: Final = 30.0
#: By what factor the pace becomes slower after a refusal, and faster after clean time.
PACE_STEP: Final = 1.2
#: How much slower than its first step the pace becomes at most.
PACE_CAP: Final = 2.0
#: Idle buckets are looked for so often, in seconds.
SWEEP_EVERY: Final = 0.25
#: So many buckets are looked at in one go, so that the event loop is never held up.
SWEEP_SIZE: Final = 512


class Scope(enum.Enum):
    """Whose calls OKX counts together."""

    #: The calls of one user, over all keys and machines. A sub-account is a user of its own.
    USER = "user"
    #: The calls from one IP address, whoever makes them.
    IP = "ip"


@attrs.frozen
class RateLimit:
    """So many requests in so many seconds, counted for a user or for an IP address.

    Raises:
        ConfigurationError: ``requests`` is not a whole number from 1 on, or ``seconds`` not a finite number above 0.

    """

    #: How many requests are allowed.
    requests: int
    #: Within so many seconds.
    seconds: float
    #: Who is counted.
    scope: Scope

    def __attrs_post_init__(self) -> None:
        if type(self.requests) is not int or self.requests < 1:
            message = f"requests must be a whole number from 1 on, not {self.requests!r}"
            raise ConfigurationError(message)
        if type(self.seconds) not in {int, float} or not 0 < self.seconds < math.inf:
            message = f"seconds must be a finite number above 0, not {self.seconds!r}"
            raise ConfigurationError(message)
        if type(self.scope) is not Scope:
            message = f"scope must be Scope.USER or Scope.IP, not {self.scope!r}"
            raise ConfigurationError(message)


class BucketKey(NamedTuple):
    """What makes two calls share a bucket."""

    origin: str
    demo: bool
    #: `Credentials.owner`, or `None` where OKX counts by IP address.
    owner: str | None
    method: str
    path: str


class Lease(Protocol):
    """The right to send one call, once.

    Exactly one of the three methods ends it; after ``answered``, ``refused`` may follow when the answer turns out to
    be a refusal. ``abandoned`` and ``refused`` may return a `Bucket` from which the same call, if it is sent again,
    takes its next lease at the place in the queue that it had.
    """

    def answered(self) -> None:
        """The head of an answer has come."""

    def abandoned(self) -> Bucket | None:
        """The call failed, timed out or was cancelled, and may still be on its way."""

    def refused(self) -> Bucket | None:
        """OKX refused the call because it counted too many."""


class Bucket(Protocol):
    """Hands out leases for one user and endpoint, first come, first served."""

    async def acquire(self, deadline: float | None) -> Lease:
        """Wait for the next lease.

        Args:
            deadline: the event loop's time (seconds) at which to give up, `None` for never.

        Raises:
            Timeout: the lease did not come, or cannot come, before the deadline.

        """


class Limiter(Protocol):
    """Finds the bucket of a key. `LocalLimiter` does so within one process."""

    def bucket(self, key: BucketKey, limit: RateLimit) -> Bucket:
        """Return the one bucket of ``key``, made for ``limit`` if there is none yet."""


class LongestAnswer:
    """The longest time from sending a call to its answer, over the last 30 to 60 seconds."""

    __slots__ = ("_before", "_now", "_turned_at")

    def __init__(self) -> None:
        self._now = 0.0
        self._before = 0.0
        self._turned_at = -math.inf

    def note(self, seconds: float, now: float) -> None:
        """Count an answer that took ``seconds``."""
        self._turn(now)
        self._now = max(self._now, seconds)

    def seconds(self, now: float) -> float:
        """Return the longest answer time, and at least half a second."""
        self._turn(now)
        return max(self._now, self._before, SHORTEST_TRAVEL)

    def _turn(self, now: float) -> None:
        elapsed = now - self._turned_at
        if 0 <= elapsed < MEMORY:
            return
        recent = 0 <= elapsed < 2 * MEMORY
        self._before = self._now if recent else 0.0
        self._now = 0.0
        self._turned_at = self._turned_at + MEMORY if recent else now


class _PushBack:
    """What a bucket does after a refusal: first a pause, then a pace that gets slower with each further refusal.

    A refusal shows that something else spends the same quota, or that the exchange counts in another way than the
    window provides for. Evenly spaced calls get along with both.
    """

    __slots__ = ("_fastest", "_limit", "clean_since", "interval", "limiter", "paused_until")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        even = limit.seconds / limit.requests
        self._fastest = limit.seconds / (limit.requests - 1) if limit.requests > 1 else even * PACE_STEP
        self.paused_until = now + limit.seconds
        self.clean_since = now
        self._set_interval(self._fastest)

    def _set_interval(self, interval: float) -> None:
        self.interval = interval
        self.limiter = AsyncLimiter(1, interval)

    def refused(self, now: float) -> None:
        if now - self.clean_since >= self._limit.seconds:
            self._set_interval(min(self.interval * PACE_STEP, self._fastest * PACE_CAP))
            self.clean_since = now
        self.paused_until = max(self.paused_until, now + self._limit.seconds)

    def is_over(self, now: float) -> bool:
        """Speed up once for each stretch of clean time, and tell whether bursts are allowed again."""
        while now - self.clean_since >= CLEAN_TIME:
            self.clean_since += CLEAN_TIME
            self._set_interval(self.interval / PACE_STEP)
            if self.interval * self._limit.requests <= self._limit.seconds * (1 + 1e-9):
                return True
        return False

    def shift(self, seconds: float) -> None:
        """Follow the bucket to an event loop whose clock is ahead by ``seconds``."""
        self.paused_until += seconds
        self.clean_since += seconds
        self._set_interval(self.interval)


class _Lease:
    __slots__ = ("_bucket", "_loop", "_open", "_place", "_since")

    def __init__(self, bucket: TokenBucket, loop: asyncio.AbstractEventLoop, place: int, since: float) -> None:
        self._bucket = bucket
        self._loop = loop
        self._place = place
        self._since = since
        self._open = True

    def answered(self) -> None:
        if self._end():
            self._bucket._answered(self._since)

    def abandoned(self) -> _Place:
        if self._end():
            self._bucket._abandoned()
        return _Place(self._bucket, self._place)

    def refused(self) -> _Place:
        self.answered()
        if self._bucket._loop is self._loop:
            self._bucket._refused()
        return _Place(self._bucket, self._place)

    def _end(self) -> bool:
        was_open, self._open = self._open, False
        # A lease that outlives its event loop was given up for lost when the bucket moved on to the next loop.
        return was_open and self._bucket._loop is self._loop


class _Place:
    """Where a call that is sent again acquires: ahead of all that came after it."""

    __slots__ = ("_bucket", "_number")

    def __init__(self, bucket: TokenBucket, number: int) -> None:
        self._bucket = bucket
        self._number = number

    async def acquire(self, deadline: float | None = None) -> Lease:
        bucket = self._bucket
        if bucket._let_go_by is not None:
            # By now nobody is left who could be overtaken.
            return await bucket.acquire(deadline)
        return await bucket._wait(bucket._enter(), self._number, deadline)


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
            refusal; a positive lead is safe only up to the shortest time that an answer ever takes.

    Raises:
        ConfigurationError: ``lead`` is not from 0 on and below the period; or, when acquiring, another event loop
            that is still alive uses this bucket.

    """

    __slots__ = (
        "_cooling",
        "_entered",
        "_hold",
        "_in_flight",
        "_let_go_by",
        "_longest",
        "_loop",
        "_next_number",
        "_push_back",
        "_returning",
        "_timer",
        "_waiting",
        "_waking",
        "limit",
    )

    def __init__(self, limit: RateLimit, *, lead: float = 0.0, _longest: LongestAnswer | None = None) -> None:
        if not 0 <= lead < limit.seconds:
            message = f"lead must be from 0 on and below {limit.seconds} s, not {lead!r}"
            raise ConfigurationError(message)
        #: What the exchange allows.
        self.limit = limit
        self._hold = limit.seconds + CLOCK_DRIFT - lead
        self._longest = LongestAnswer() if _longest is None else _longest
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_flight = 0
        # When each slot that is neither free nor in flight becomes free: a heap of the loop's times.
        self._cooling: list[float] = []
        # Those who wait, by the number that tells their order; None until somebody does.
        self._waiting: OrderedDict[int, asyncio.Future[bool]] | None = None
        # Numbers of those who wait and had a lease before: they come first.
        self._returning: list[int] = []
        # How many were given a slot and have not run since.
        self._waking = 0
        self._next_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._push_back: _PushBack | None = None
        self._entered: dict[asyncio.Task[object] | None, list[_Lease]] | None = None
        # The limiter that has let this bucket go because it was idle, and the key it had there.
        self._let_go_by: tuple[LocalLimiter, Hashable] | None = None

    def __repr__(self) -> str:
        limit = self.limit
        return (
            f"<TokenBucket {limit.requests} per {limit.seconds} s by {limit.scope.value}:"
            f" {self._in_flight} in flight, {len(self._cooling)} cooling, {len(self._waiting or ())} waiting>"
        )

    async def acquire(self, deadline: float | None = None) -> Lease:
        """Wait for the next lease, first come, first served.

        Args:
            deadline: the event loop's time (seconds) at which to give up, `None` for never.

        Raises:
            Timeout: the lease did not come before the deadline; or, at once, it cannot come before it.
            ConfigurationError: another event loop that is still alive uses this bucket.

        """
        if self._let_go_by is not None:
            bucket = self._come_back(*self._let_go_by)
            if bucket is not self:
                return await bucket.acquire(deadline)
        loop = self._enter()
        number = self._next_number
        self._next_number = number + 1
        # Whoever was given a slot and has not run yet goes first, so a newcomer stands behind them.
        if not self._waiting and not self._waking and self._push_back is None:
            now = loop.time()
            cooling = self._cooling
            while cooling and cooling[0] <= now:
                heappop(cooling)
            if self._in_flight + len(cooling) < self.limit.requests:
                self._in_flight += 1
                return _Lease(self, loop, number, now)
        return await self._wait(loop, number, deadline)

    async def __aenter__(self) -> Self:
        """Wait for a lease."""
        lease = await self.acquire()
        if self._entered is None:
            self._entered = {}
        self._entered.setdefault(asyncio.current_task(), []).append(lease)  # type: ignore[arg-type]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the lease of this block."""
        task = asyncio.current_task()
        leases = (self._entered or {}).get(task)
        if not leases:
            # The event loop of this block is gone, and the bucket has given the call up for lost.
            return
        lease = leases.pop()
        if not leases and self._entered is not None:
            del self._entered[task]
        if error is None:
            lease.answered()
        else:
            lease.abandoned()

    # What the leases report.

    def _answered(self, since: float) -> None:
        now = self._time()
        self._longest.note(now - since, now)
        self._cool(now + self._hold)

    def _abandoned(self) -> None:
        now = self._time()
        self._cool(now + self._hold + self._longest.seconds(now))

    def _refused(self) -> None:
        now = self._time()
        if self._push_back is None:
            self._push_back = _PushBack(self.limit, now)
        else:
            self._push_back.refused(now)

    def _cool(self, free_at: float) -> None:
        self._in_flight -= 1
        heappush(self._cooling, free_at)
        if self._waiting:
            self._hand_over()

    # The queue.

    async def _wait(self, loop: asyncio.AbstractEventLoop, number: int, deadline: float | None) -> _Lease:
        if deadline is not None:
            self._refuse_hopeless(loop, number, deadline)
        turn = self._queue(loop, number)
        if not self._waking:
            # Else a slot given here would be used before those that were given earlier; they hand over when they run.
            self._hand_over()
        alarm = loop.call_at(deadline, _give_up, turn) if deadline is not None and not turn.done() else None
        try:
            has_slot = await turn
        except BaseException:
            self._leave(number, turn)
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
        if not has_slot:
            ahead = self._ahead(number)
            self._leave(number, turn)
            raise _no_turn(ahead)
        try:
            await self._keep_pace(deadline)
        except BaseException:
            self._in_flight -= 1
            raise
        finally:
            self._waking -= 1
            self._hand_over()
        return _Lease(self, loop, number, loop.time())

    def _queue(self, loop: asyncio.AbstractEventLoop, number: int) -> asyncio.Future[bool]:
        if self._waiting is None:
            self._waiting = OrderedDict()
        turn = self._waiting[number] = loop.create_future()
        if number != self._next_number - 1:
            insort(self._returning, number)
        return turn

    def _leave(self, number: int, turn: asyncio.Future[bool]) -> None:
        if self._waiting is not None and self._waiting.get(number) is turn:
            del self._waiting[number]
            if number in self._returning:
                self._returning.remove(number)
        elif not turn.cancelled() and turn.result():
            # The slot came at the moment of the cancellation: it was not used, so the next one has it.
            self._in_flight -= 1
            self._waking -= 1
        self._hand_over()

    def _ahead(self, number: int) -> int:
        if number in self._returning:
            return self._returning.index(number)
        return sum(1 for other in self._waiting or () if other < number)

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
        push_back = self._current_push_back(now)
        while waiting:
            if push_back is not None and self._waking:
                # One at a time may wait for the pace, or they would overtake each other there.
                self._set_timer(None)
                return
            at = self._next_free(now, push_back)
            if at is None or at > now:
                self._set_timer(at)
                return
            number = self._returning.pop(0) if self._returning else next(iter(waiting))
            turn = waiting.pop(number)
            if not turn.done():
                self._in_flight += 1
                self._waking += 1
                turn.set_result(True)

    def _next_free(self, now: float, push_back: _PushBack | None) -> float | None:
        """Return when the head of the queue may go, `None` when that depends on an answer."""
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            heappop(cooling)
        if self._in_flight + len(cooling) < self.limit.requests:
            at = now
        elif cooling:
            at = cooling[0]
        else:
            return None
        return at if push_back is None else max(at, push_back.paused_until)

    def _set_timer(self, at: float | None) -> None:
        timer = self._timer
        if timer is not None:
            if timer.when() == at:
                return
            timer.cancel()
            self._timer = None
        if at is not None and self._loop is not None:
            self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._hand_over()

    async def _keep_pace(self, deadline: float | None) -> None:
        push_back = self._push_back
        if push_back is None:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await push_back.limiter.acquire()
        except TimeoutError:
            raise _no_turn(0) from None

    def _current_push_back(self, now: float) -> _PushBack | None:
        if self._push_back is not None and self._push_back.is_over(now):
            self._push_back = None
        return self._push_back

    def _refuse_hopeless(self, loop: asyncio.AbstractEventLoop, number: int, deadline: float) -> None:
        now = loop.time()
        ahead = self._ahead_of_new(number)
        wait = self._least_wait(ahead, now)
        if now + wait > deadline:
            message = (
                f"{ahead} calls of this user wait for their turn before this one, which would wait at least"
                f" {wait:.3f} s and may wait {max(deadline - now, 0.0):.3f} s (max_wait)"
            )
            raise Timeout(message, hint="Call less often, or allow a longer max_wait.")

    def _ahead_of_new(self, number: int) -> int:
        if number == self._next_number - 1:
            return len(self._waiting or ())
        return sum(1 for other in self._returning if other < number)

    def _least_wait(self, ahead: int, now: float) -> float:
        """Return the seconds that a call waits at least when ``ahead`` others go before it."""
        requests = self.limit.requests
        push_back = self._current_push_back(now)
        # A call in flight is answered now at the earliest, and so is each one that is still to leave.
        slots = [max(at, now) for at in self._cooling] + [now + self._hold] * self._in_flight
        slots = sorted(slots + [now] * (requests - len(slots)))
        rounds, slot = divmod(ahead, requests)
        at = slots[slot]
        if push_back is not None:
            at = max(at, push_back.paused_until)
        return at + rounds * self._hold - now

    # The event loop.

    def _time(self) -> float:
        assert self._loop is not None  # noqa: S101 - a lease exists, so a loop was entered
        return self._loop.time()

    def _enter(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        return loop

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        before = self._loop
        if before is not None:
            if not before.is_closed() and (before.is_running() or self._in_flight or self._waiting):
                message = "this user's calls are already limited on another event loop that is still alive"
                hint = "Use one event loop for all calls of one user, or asyncio.run_coroutine_threadsafe."
                raise ConfigurationError(message, hint=hint)
            self._bury_calls()
            ahead = loop.time() - before.time()
            self._cooling = [at + ahead for at in self._cooling]
            if self._push_back is not None:
                self._push_back.shift(ahead)
        self._loop = loop

    def _bury_calls(self) -> None:
        """Forget those who waited on a loop that is gone; what was in flight there may still be on its way."""
        now = self._time()
        free_at = now + self._hold + self._longest.seconds(now)
        for _ in range(self._in_flight - self._waking):
            heappush(self._cooling, free_at)
        self._in_flight = self._waking = 0
        self._waiting = self._timer = self._entered = None
        self._returning = []

    def _come_back(self, limiter: LocalLimiter, key: Hashable) -> TokenBucket:
        """Return the bucket that the limiter has for the key now: this one, if it has no newer one."""
        bucket = limiter._take_back(key, self)
        if bucket is self:
            self._let_go_by = None
        return bucket

    def _idle_in(self) -> float | None:
        """Return the seconds after which a new bucket would do the same as this one, `None` while it is at work."""
        if self._loop is None:
            return 0.0
        if self._loop.is_closed() and (self._in_flight or self._waiting):
            self._bury_calls()
        now = self._loop.time()
        if self._in_flight or self._waiting or self._current_push_back(now) is not None:
            return None
        return max(self._cooling, default=now) - now


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


def _no_turn(ahead: int) -> Timeout:
    message = f"no turn within max_wait: {ahead} calls of this user still wait before this one"
    return Timeout(message, hint="Call less often, or allow a longer max_wait.")


class LocalLimiter:
    """The buckets of one process.

    A bucket is kept for as long as its history matters and then let go, so a service may see any number of users.
    Whoever still holds one that was let go is led to the one of its key. A limiter may be used from several event
    loops as long as each user is on one of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The one that was asked for longest ago first.
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        self._longest = LongestAnswer()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<LocalLimiter of {len(self)} buckets>"

    def __len__(self) -> int:
        """How many buckets are alive."""
        return len(self._buckets)

    def bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:
        """Return the one bucket of ``key``, made for ``limit`` if there is none yet.

        Raises:
            ConfigurationError: the bucket of this key was made for another limit.

        """
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = TokenBucket(limit, _longest=self._longest)
            else:
                self._buckets.move_to_end(key)
        if bucket.limit is not limit and bucket.limit != limit:
            message = f"these calls are already limited to {bucket.limit}, so they cannot be to {limit} as well"
            raise ConfigurationError(message, hint="Give one user and endpoint the same RateLimit everywhere.")
        if self._timer is None or self._timer_loop is None or self._timer_loop.is_closed():
            self._sweep_later(SWEEP_EVERY)
        return bucket

    def _sweep_later(self, delay: float) -> None:
        try:
            self._timer_loop = asyncio.get_running_loop()
        except RuntimeError:
            # Asked for outside a loop; the next call that is made inside one sees to it.
            return
        self._timer = self._timer_loop.call_later(delay, self._sweep)

    def _sweep(self) -> None:
        """Let go of idle buckets, a few at a time."""
        with self._lock:
            more = self._drop_idle()
            self._timer = None
            if not self._buckets:
                # A dict that has held many keys keeps their room until it goes.
                self._buckets = OrderedDict()
                return
        self._sweep_later(0 if more else SWEEP_EVERY)

    def _drop_idle(self) -> bool:
        """Look at the buckets that were asked for longest ago, and tell whether it is worth to go on at once."""
        dropped = False
        for _ in range(min(SWEEP_SIZE, len(self._buckets))):
            key, bucket = next(iter(self._buckets.items()))
            idle_in = bucket._idle_in()
            if idle_in is None:
                self._buckets.move_to_end(key)
            elif idle_in > 0:
                # Those behind it were asked for later, so they are hardly idle yet.
                return False
            else:
                del self._buckets[key]
                bucket._let_go_by = (self, key)
                dropped = True
        return dropped

    def _take_back(self, key: Hashable, bucket: TokenBucket) -> TokenBucket:
        with self._lock:
            return self._buckets.setdefault(key, bucket)


#: The limiter of every `Session` that is given no other: so a new client finds the bucket that the last one left.
PROCESS_LIMITER: Final = LocalLimiter()
