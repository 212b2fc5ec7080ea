"""Buckets whose slots are reserved somewhere else, where several processes share them.

In front stands a `TokenBucket`: it queues the calls of this process and keeps the window over them, counted from the
answer. Whoever is first in its queue also needs a slot that all processes share. A process holds one reservation of a
bucket at a time, so that no process books ahead of the others, and one that dies wastes no more than that.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

import attrs

from okx_sol_async.errors import ConfigurationError, OKXError, Timeout, TransportError
from okx_sol_async.ratelimit.bucket import CLOCK_DRIFT, NUMBERS, TokenBucket
from okx_sol_async.ratelimit.latency import MEMORY, SHORTEST_TRAVEL, ShortestAnswer

if TYPE_CHECKING:
    from okx_sol_async.ratelimit.latency import LongestAnswer
    from okx_sol_async.ratelimit.limit import Bucket, Lease, RateLimit
    from okx_sol_async.ratelimit.pacing import Pace, PushBack

logger: Final = logging.getLogger("okx_sol_async")

#: While the shared limit is away, it is tried again so often, in seconds.
TRY_EVERY: Final = 1.0
#: Slots that somebody waits for are so much apart: a period, over the requests, over this.
APART: Final = 16
#: So often in a row a slot that came too late is given back for another one. Then it is used.
GIVEN_BACK: Final = 2

#: The name of a slot that nobody ever had.
UNKNOWN: Final = 1

#: Runs one command on one bucket as a whole, and returns what the script returns.
Run = Callable[[str, tuple[float | str, ...]], Awaitable[list[int]]]


class Unreachable(Exception):
    """The place where the slots are kept did not answer, or could not do what it was told."""


@attrs.frozen
class Reservation:
    """A slot that this process may use. All times are the event loop's."""

    #: The bucket's name where the slots are kept.
    bucket: str
    #: The slot's name there.
    slot: int
    #: It may be used from then on.
    at: float
    #: The earliest time for which it can have been reserved, since nobody knows how long the answer was on its way.
    since: float
    #: For how many seconds from then on it is in use.
    hold: float
    #: Whether nothing was known of how long calls take when it was reserved.
    blind: bool
    #: Whether more than half of the slots are in use with it. Else nobody has reserved ahead, and being late is harmless.
    crowded: bool


@attrs.define
class Outage:
    """Whether the shared limit is away. It is said once when it goes and once when it comes back."""

    #: What a process does meanwhile, for the log.
    meanwhile: str
    _since: float | None = None
    _try_at: float = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the last attempt failed."""
        return self._since is not None

    def may_try(self) -> bool:
        """Tell whether to try now; during an outage one of all who ask is told so, once in a while."""
        if self._since is None:
            return True
        now = time.monotonic()
        if now < self._try_at:
            return False
        self._try_at = now + TRY_EVERY
        return True

    def begin(self, reason: Unreachable) -> None:
        """Take note of a failure."""
        now = time.monotonic()
        self._try_at = now + TRY_EVERY
        if self._since is None:
            self._since = now
            logger.warning("The shared rate limit is away: %s. %s", reason, self.meanwhile)

    def end(self) -> None:
        """Take note of a success."""
        if self._since is not None:
            away = time.monotonic() - self._since
            self._since = None
            logger.info("The shared rate limit is back after %.1f s", away)


class Ledger:
    """Reserves slots, and knows what the buckets of a process have in common."""

    def __init__(
        self,
        run: Run,
        *,
        margin: float,
        push_back: PushBack,
        on_failure: Literal["local", "raise"],
        local_share: float,
    ) -> None:
        self._run = run
        self._margin = margin
        self._push_back = push_back
        self._local_share = local_share
        #: Whether calls go on by themselves while the shared limit is away.
        self.goes_on_alone = on_failure == "local"
        self.outage = Outage(
            f"Until it is back, this process spends {local_share:.0%} of each limit by itself, at least one request"
            if self.goes_on_alone
            else "Until it is back, calls fail"
        )
        #: When each call that waits gives up, and why it failed, by its number.
        self.deadlines: dict[int, float] = {}
        self.failures: dict[int, OKXError] = {}
        #: The reservations that were taken and have no lease yet, by the number of the call.
        self.taken: dict[int, Reservation] = {}
        # How long answers take, from the slot on, and reservations.
        self._answers = ShortestAnswer()
        self._trips = ShortestAnswer()
        self._answered_at: float | None = None
        #: Whether the limiter is closed, so that nothing is reserved any more.
        self.closed = False
        self._telling: set[asyncio.Future[list[int]]] = set()

    def alone(self, limit: RateLimit) -> int:
        """Return how many requests this process may spend by itself."""
        return max(int(limit.requests * self._local_share + 1e-9), 1)

    async def reserve(
        self, bucket: str, limit: RateLimit, given_back: Reservation | None, just_used: int
    ) -> Reservation:
        """Reserve the next slot.

        Args:
            bucket: its name.
            limit: what the exchange allows.
            given_back: a reservation of before that was not used.
            just_used: a slot that is known there unless the history was lost, or 0 for none; below 0, as many calls as
                this process may have sent by itself.

        Raises:
            Unreachable: it could not be done.

        """
        loop = asyncio.get_running_loop()
        sent = loop.time()
        blind = self._answered_at is None or not 0 <= sent - self._answered_at < 2 * MEMORY
        hold = _window(limit) + max(self._margin, self._answers.spread()) + (SHORTEST_TRAVEL if blind else 0.0)
        back = 0
        if given_back is not None and given_back.bucket == bucket:
            back = given_back.slot
        elif given_back is not None:
            self.give_back(given_back)
        apart = limit.seconds / limit.requests / APART
        wait, slot, in_use = await self._do(bucket, "reserve", limit.requests, _us(hold), _us(apart), back, just_used)
        # Other commands may be done by a server that is full.
        self.outage.end()
        now = loop.time()
        self._trips.note(now - sent, now)
        crowded = 2 * in_use > limit.requests
        return Reservation(bucket, slot, now + wait / 1e6, sent + wait / 1e6, hold, blind, crowded)

    async def refused(self, bucket: str, limit: RateLimit) -> None:
        """Tell everybody of a refusal: what a bucket does then, all do together.

        Raises:
            Unreachable: it could not be done.

        """
        policy = self._push_back
        arguments: list[float] = [_us(policy.pause * limit.seconds), _us(limit.seconds)]
        if policy.paced:
            first, longest, even = policy.intervals(limit.requests, limit.seconds)
            arguments += [_us(first), _us(longest), policy.step, _us(policy.clean_time), _us(even)]
        await self._do(bucket, "refused", *arguments)

    async def look(self, bucket: str, limit: RateLimit) -> None:
        """See whether the shared limit is there again, and count there what this process has sent by itself.

        Raises:
            Unreachable: it is not.

        """
        await self._do(bucket, "settle", UNKNOWN, _us(_window(limit)), 1)
        self.outage.end()

    def give_back(self, reservation: Reservation) -> None:
        """Let others have a slot that is not needed."""
        self._tell(reservation.bucket, "settle", reservation.slot, 0)

    def answered(self, bucket: str, limit: RateLimit, reservation: Reservation, now: float) -> None:
        """Count a slot from its answer, if it was not known how long that takes, or if it took too long."""
        took = now - reservation.since
        # A first call opens a connection, and the next ones do not.
        if not reservation.blind:
            self._answers.note(took, now)
        self._answered_at = now
        # The travelling time that is certain is the same for all calls, and only what is beyond counts.
        surplus = took - self._answers.shortest()
        if reservation.blind or surplus > reservation.hold - _window(limit):
            later = took + _window(limit) > reservation.hold
            self._tell(bucket, "settle", reservation.slot, _us(_window(limit)), int(later))

    def abandoned(self, bucket: str, limit: RateLimit, reservation: Reservation, travel: float) -> None:
        """Count a slot for as long as its call may still be on its way."""
        self._tell(bucket, "settle", reservation.slot, _us(_window(limit) + travel), 1)

    def is_late(self, reservation: Reservation, now: float) -> bool:
        """Tell whether a call that leaves now would leave so late that the margin may not cover it."""
        return reservation.crowded and now - reservation.since - self._trips.shortest() > self._margin / 2

    def _tell(self, bucket: str, *command: float | str) -> None:
        if self.outage.lasts or not _in_a_loop():
            return
        told = asyncio.ensure_future(self._do(bucket, *command))
        self._telling.add(told)
        told.add_done_callback(self._told)

    def _told(self, told: asyncio.Future[list[int]]) -> None:
        self._telling.discard(told)
        if not told.cancelled():
            # An outage has been said.
            told.exception()

    async def _do(self, bucket: str, *command: float | str) -> list[int]:
        try:
            return await self._run(bucket, command)
        except Unreachable as reason:
            self.outage.begin(reason)
            raise


class SharedBucket(TokenBucket):
    """A `TokenBucket` whose slots are shared with other processes.

    ``free``, ``queue`` and ``wait`` tell what this process knows: its own calls, and the slot it has reserved.
    """

    __slots__ = (
        "_alone_until",
        "_asking",
        "_given_back",
        "_ledger",
        "_mine",
        "_name",
        "_reservation",
        "_told_of_refusals",
    )

    def __init__(
        self, limit: RateLimit, ledger: Ledger, name: str, *, push_back: PushBack, longest: LongestAnswer
    ) -> None:
        super().__init__(limit, push_back=push_back, _longest=longest)
        self._ledger = ledger
        self._name = name
        self._asking: asyncio.Task[None] | None = None
        # The slot for whoever is first in the queue.
        self._reservation: Reservation | None = None
        # The one that was used last.
        self._mine: Reservation | None = None
        # How many were given back in a row because they came too late.
        self._given_back = 0
        self._told_of_refusals = True
        # Until then, calls count that processes have sent by themselves: this one a window ago, or others since.
        self._alone_until = -math.inf

    def rename(self, name: str) -> None:
        """Reserve under another name from now on."""
        self._name = name

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let all who wait on an event loop fail, because the limiter is closed."""
        if self._loop is loop:
            self._fail_all(is_closed())

    async def acquire(self, deadline: float | None = None) -> Lease:
        """Wait for the next lease, first come, first served.

        Args:
            deadline: the event loop's time (seconds) at which to give up, `None` for never.

        Raises:
            Timeout: the lease did not come before the deadline; or, as soon as it is known, it cannot come before it.
            TransportError: the shared limit is away, and the limiter is to say so.
            ConfigurationError: another event loop that is still alive uses this bucket, or the limiter is closed.

        """
        loop = asyncio.get_running_loop()
        bucket = self._on(loop)
        if bucket is not self:
            return await bucket.acquire(deadline)
        return await self._wait(loop, next(NUMBERS), deadline)

    # Taking a turn.

    async def _wait(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        deadline: float | None,
        *,
        returning: bool = False,
    ) -> Lease:
        if self._ledger.closed:
            raise is_closed()
        taken = self._ledger.taken
        try:
            lease = await super()._wait(loop, number, deadline, returning=returning)
        except BaseException:
            if number in taken:
                self._ledger.give_back(taken.pop(number))
            raise
        reservation = taken.pop(number, None)
        return lease if reservation is None else _SharedLease(lease, self, loop, reservation)

    async def _turn(
        self, loop: asyncio.AbstractEventLoop, number: int, deadline: float | None, *, returning: bool
    ) -> None:
        ledger = self._ledger
        if deadline is not None:
            ledger.deadlines[number] = deadline
        try:
            await super()._turn(loop, number, deadline, returning=returning)
        except Timeout:
            failure = ledger.failures.get(number)
            if failure is None:
                raise
            raise failure from None
        finally:
            ledger.deadlines.pop(number, None)
            ledger.failures.pop(number, None)
        self._current()._take(number)

    def _take(self, number: int) -> None:
        """Use the reservation for a call that has its turn. Without one, the process is by itself."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._ledger.taken[number] = self._mine = reservation
            self._given_back = 0
        else:
            self._alone_until = self._time() + 2 * _window(self.limit)

    def _hand_over(self) -> None:
        super()._hand_over()
        if self._reservation is not None and not self._waiting and not self._waking:
            self._give_back()

    def _next_free(self, now: float, pace: Pace | None) -> float | None:
        if self._waking:
            # Whoever has just been given a slot takes the reservation with it.
            return None
        if self._ledger.outage.lasts:
            return self._next_alone(now, pace)
        at = super()._next_free(now, pace)
        if at is None or at > now:
            return at
        reservation = self._reservation
        if reservation is None or not self._told_of_refusals or now < self._alone_until:
            self._ask()
            return None
        if reservation.bucket != self._name or self._is_late(reservation, now):
            self._given_back += 1
            self._ask()
            return None
        return reservation.at

    def _is_late(self, reservation: Reservation, now: float) -> bool:
        return self._given_back < GIVEN_BACK and now >= reservation.at and self._ledger.is_late(reservation, now)

    def _next_alone(self, now: float, pace: Pace | None) -> float | None:
        """Return when the head of the queue may go while the shared limit is away."""
        if self._ledger.outage.may_try():
            self._ask()
        if not self._ledger.goes_on_alone:
            if self._asking is None:
                self._fail_all(_away())
            return None
        self._has_room(now)
        surplus = self._in_flight + len(self._cooling) - self._ledger.alone(self.limit)
        if surplus < 0:
            at = now
        elif surplus < len(self._cooling):
            at = sorted(self._cooling)[surplus]
        else:
            return None
        return at if pace is None else max(at, pace.paused_until)

    # Reserving.

    def _ask(self) -> None:
        if self._asking is None and self._loop is not None:
            self._asking = self._loop.create_task(self._reserve(self._loop))

    async def _reserve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a slot for whoever is first in the queue, after telling of refusals."""
        given_back, self._reservation = self._reservation, None
        found: Reservation | None = None
        alone_until = self._alone_until
        try:
            if not self._told_of_refusals:
                await self._tell_of_refusals()
            if self._waiting:
                found = await self._ledger.reserve(self._name, self.limit, given_back, self._just_used(loop.time()))
            elif self._ledger.outage.lasts:
                await self._ledger.look(self._name, self.limit)
            elif given_back is not None:
                self._ledger.give_back(given_back)
        except Unreachable:
            pass
        except OKXError as error:
            self._fail_all(error)
        finally:
            # On another loop by now, the bucket has forgotten what was asked on this one.
            if self._loop is loop:
                self._asking = None
        if self._loop is loop:
            if found is not None and alone_until == self._alone_until:
                # It has been told, and nothing was sent since.
                self._alone_until = -math.inf
            self._receive(found)

    async def _tell_of_refusals(self) -> None:
        # Another refusal may come meanwhile.
        self._told_of_refusals = True
        try:
            await self._ledger.refused(self._name, self.limit)
        except Unreachable:
            # Then this process slows down by itself.
            super()._refused()
            raise

    def _receive(self, found: Reservation | None) -> None:
        bucket = self._current()
        if bucket is self:
            self._reservation = found
            self._give_up_hopeless()
            if not self._told_of_refusals:
                self._ask()
        elif found is not None:
            # The bucket was merged into another one meanwhile.
            self._ledger.give_back(found)
        bucket._hand_over()

    def _just_used(self, now: float) -> int:
        """Return a slot that this process used a moment ago, 0 for none.

        It is in use for half a period more, so if it is not known where the slots are kept, the history was lost.
        Below 0 it is as many calls as this process may have sent by itself, and the others do so too.
        """
        ledger = self._ledger
        if now < self._alone_until or (ledger.outage.lasts and ledger.goes_on_alone):
            return -ledger.alone(self.limit)
        mine = self._mine
        recent = mine is not None and mine.bucket == self._name and now - mine.at < self.limit.seconds / 2
        return mine.slot if mine is not None and recent else 0

    def _give_back(self) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._ledger.give_back(reservation)

    def _give_up_hopeless(self) -> None:
        """Let those at the head of the queue go who cannot have their turn in time any more."""
        reservation = self._reservation
        if reservation is None or not self._waiting:
            return
        deadlines = self._ledger.deadlines
        for number in chain(self._returning, self._waiting):
            if deadlines.get(number, reservation.at) >= reservation.at:
                return
            self._end_turn(number)

    def _fail_all(self, error: OKXError) -> None:
        for number in [*(self._waiting or ())]:
            self._ledger.failures[number] = type(error)(error.message, hint=error.hint)
            self._end_turn(number)

    def _end_turn(self, number: int) -> None:
        turn = None if self._waiting is None else self._waiting.get(number)
        if turn is not None and not turn.done():
            turn.set_result(False)

    # What the leases report.

    def _refused(self) -> None:
        if self._ledger.outage.lasts:
            super()._refused()
            return
        self._told_of_refusals = False
        self._ask()

    # What a `TokenBucket` knows, and the reservation with it.

    def _least_wait(self, ahead: int, now: float) -> float:
        least = super()._least_wait(ahead, now)
        if self._reservation is None or self._ledger.outage.lasts:
            return least
        return max(least, self._reservation.at + ahead // self.limit.requests * self.limit.seconds - now)

    def _idle_in(self) -> float | None:
        if self._loop_lives() and (self._asking is not None or self._reservation is not None):
            return None
        return super()._idle_in()

    def _bury_calls(self) -> None:
        super()._bury_calls()
        self._reservation = self._mine = self._asking = None
        self._alone_until = -math.inf

    def _current(self) -> SharedBucket:
        bucket = super()._current()
        assert isinstance(bucket, SharedBucket)  # noqa: S101 - a limiter has buckets of one kind
        return bucket

    def _absorb(self, other: TokenBucket) -> None:
        if isinstance(other, SharedBucket):
            other._give_back()
            self._alone_until = max(self._alone_until, other._alone_until)
        super()._absorb(other)


class _SharedLease:
    """The lease of a `TokenBucket`, and the slot that it was given for."""

    __slots__ = ("_bucket", "_lease", "_loop", "_reservation")

    def __init__(
        self, lease: Lease, bucket: SharedBucket, loop: asyncio.AbstractEventLoop, reservation: Reservation
    ) -> None:
        self._lease = lease
        self._bucket = bucket
        self._loop = loop
        self._reservation: Reservation | None = reservation

    def answered(self) -> None:
        self._lease.answered()
        bucket, reservation = self._end()
        if reservation is not None:
            bucket._ledger.answered(bucket._name, bucket.limit, reservation, self._loop.time())

    def abandoned(self) -> Bucket | None:
        place = self._lease.abandoned()
        bucket, reservation = self._end()
        if reservation is not None:
            travel = bucket._longest.seconds(self._loop.time())
            bucket._ledger.abandoned(bucket._name, bucket.limit, reservation, travel)
        return place

    def refused(self) -> Bucket | None:
        place = self._lease.refused()
        bucket, reservation = self._end()
        if reservation is not None:
            bucket._ledger.answered(bucket._name, bucket.limit, reservation, self._loop.time())
        return place

    def _end(self) -> tuple[SharedBucket, Reservation | None]:
        """Return the bucket that is at work, and the reservation if it is to be settled now."""
        reservation, self._reservation = self._reservation, None
        bucket = self._bucket._current()
        return bucket, reservation if bucket._loop is self._loop else None


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _window(limit: RateLimit) -> float:
    return limit.seconds * (1 + CLOCK_DRIFT)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def is_closed() -> ConfigurationError:
    """Return the error of who calls on a limiter that was closed."""
    message = "this limiter is closed"
    return ConfigurationError(message, hint="Make a new one; the shared limits of its users carry over.")


def _away() -> TransportError:
    message = "the shared rate limit cannot be reached, so nothing was sent"
    return TransportError(message, hint="See to Redis, or let calls go on with on_failure='local'.")
