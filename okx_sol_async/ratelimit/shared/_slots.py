"""The slots of one bucket that other processes share: a process holds one reservation of it at a time.

So no process books ahead of the others, and one that dies wastes no more than that. A reservation moves up when a call
ahead of it gives up, in this process or in another one.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async.errors import ConfigurationError, OKXError, TransportError
from okx_sol_async.ratelimit._loops import running_loop
from okx_sol_async.ratelimit._waiters import BACKGROUND, FOREGROUND
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from okx_sol_async.ratelimit.shared._store import Place, Reservation, SlotStore, window_of

if TYPE_CHECKING:
    from okx_sol_async.ratelimit._limit import RateLimit
    from okx_sol_async.ratelimit._state import BucketState, SlotSource

#: How many times in a row a slot that came too late is given back for another one. Then it is used.
GIVEN_BACK: Final = 2
#: How late a call may leave that has a time of its own, in seconds, while the store is unavailable.
PUNCTUALITY: Final = 0.02


class SharedSlots:
    """The `SlotSource` of a bucket."""

    def __init__(self, limit: RateLimit, store: SlotStore, name: str) -> None:
        self.name = name
        self._limit = limit
        self._store = store
        self._state: BucketState | None = None
        self._asking: asyncio.Task[None] | None = None
        # The slot for the first waiter.
        self._reservation: Reservation | None = None
        # The one that was used last.
        self._used: Reservation | None = None
        # How many were given back in a row because they came too late.
        self._given_back = 0
        self._refusals_reported = True
        # When to ask again, for a call in the background or without notifications.
        self._look_at = math.inf
        # Until then, calls count that processes have sent by themselves: this one a window ago, or others since.
        self._alone_until = -math.inf
        self._place: Place | None = None

    # What a `SlotSource` offers.

    @property
    def is_busy(self) -> bool:
        """Whether a slot is reserved or asked for."""
        return self._asking is not None or self._reservation is not None

    def next_departure(self, state: BucketState, now: float) -> float | None:
        """Return when the first waiter may leave, `None` if that is not known yet."""
        self._state = state
        part = self._store.commands.unavailable_part(self.name)
        if part is not None:
            return self._next_alone(state, now, part)
        at = state.own_departure(now)
        return at if at is None or at > now else self._shared_departure(now)

    def _shared_departure(self, now: float) -> float | None:
        """Return when the slot of the first waiter is free, and ask for one if there is none."""
        reservation = self._reservation
        if reservation is None or not self._refusals_reported or now < self._alone_until:
            if now < self._look_at < math.inf and self._refusals_reported and self._waits_in_background():
                return self._look_at
            self._ask()
            return None
        if reservation.at > now:
            if self._look_at > now:
                return min(reservation.at, self._look_at)
            self._ask()
            return None
        if self._given_back < GIVEN_BACK and self._store.is_late(reservation, now):
            self._given_back += 1
            self._ask()
            return None
        return reservation.at

    def take(self) -> Reservation | None:
        """Return the reserved slot, for a call that leaves; `None` if the process is by itself."""
        reservation = self._drop()
        if reservation is not None:
            self._used = reservation
            self._given_back = 0
        elif self._state is not None:
            self._alone_until = self._state.time() + 2 * window_of(self._limit)
        return reservation

    def put_back(self, slot: object) -> None:
        """Take back a slot whose call did not leave."""
        if isinstance(slot, Reservation):
            if self._reservation is None and self._asking is None and slot.bucket == self.name:
                self._reservation = slot
            else:
                self._store.give_back(slot)

    def not_needed(self) -> None:
        """Return a reserved slot, because the queue is empty."""
        reservation = self._drop()
        if reservation is not None:
            self._store.give_back(reservation)

    def earliest(self, ahead: int, now: float) -> float:
        """Return the earliest departure of a call that ``ahead`` others precede, as far as it is known."""
        reservation = self._reservation
        if reservation is None or self._store.commands.unavailable_part(self.name) is not None:
            return now
        return reservation.at + ahead // self._limit.requests * self._limit.seconds

    def answered(self, slot: object, now: float) -> None:
        """The call of a slot was answered."""
        if isinstance(slot, Reservation):
            self._store.answered(self.name, self._limit, slot, now)

    def abandoned(self, slot: object, latency: float) -> None:
        """The call of a slot may be on its way for another ``latency`` seconds."""
        if isinstance(slot, Reservation):
            self._store.abandoned(self.name, self._limit, slot, latency)

    def refused(self, state: BucketState) -> bool:
        """Report a refusal to all processes; `False` if this one has to pause by itself."""
        self._state = state
        if self._store.commands.unavailable_part(self.name) is not None:
            return False
        self._refusals_reported = False
        self._ask()
        return True

    def merge(self, other: SlotSource) -> None:
        """Take over what the source of a merged bucket knows."""
        if isinstance(other, SharedSlots):
            other.not_needed()
            self._alone_until = max(self._alone_until, other.detach())

    def detach(self) -> float:
        """Serve no bucket any more: a slot that is asked for is given back. Return until when calls count anew."""
        self._state = None
        return self._alone_until

    def orphan(self) -> None:
        """Forget what was reserved on an event loop that is gone."""
        self._drop()
        self._used = self._asking = None
        self._alone_until, self._look_at = -math.inf, math.inf

    def moved(self, ticket: int, server_time: float, wait: float) -> None:
        """Another process gave up, or reported a refusal: the reserved slot is at another time now."""
        state, reservation, place = self._state, self._reservation, self._place
        if state is None or place is None or reservation is None or reservation.ticket != ticket:
            return
        if state.binding is None or state.binding.loop is not running_loop():
            return
        since = server_time + place.least_offset + wait
        self._reservation = attrs.evolve(reservation, at=state.time() + wait, since=since)
        self._fail_hopeless(state)
        state.serve()

    def look_again(self) -> None:
        """Ask for the time of the reservation, because notifications may have been missed."""
        state = self._state
        if state is not None and state.binding is not None and state.binding.loop is running_loop():
            self._look_at = -math.inf
            state.serve()

    def _drop(self) -> Reservation | None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._store.notifications.end(reservation.ticket)
        return reservation

    # While the store is unavailable.

    def _next_alone(self, state: BucketState, now: float, part: str) -> float | None:
        """Return when the first waiter may leave while the store is unavailable."""
        store, place = self._store, self._place
        if store.outages.may_try(part):
            self._ask()
        if not store.goes_on_alone:
            if self._asking is None:
                self.fail_all(_unreachable())
            return None
        processes = place.processes if place is not None else 0
        at = state.own_departure(now, store.alone(self._limit, processes))
        if at is None or place is None or processes <= self._limit.requests:
            return at
        # There are more processes than requests: each has times of its own, all equally far apart.
        spacing = store.spacing(self._limit)
        period, phase = processes * spacing, place.offset + place.rank * spacing
        # The others may still use what they reserved before, for one turn of all and a window.
        turn_over = -math.inf if self._used is None else self._used.at + period + self._limit.requests * spacing
        at = max(at, now, turn_over)
        late = (at - phase) % period
        return at if late < PUNCTUALITY else at - late + period

    # Reserving.

    def _waits_in_background(self) -> bool:
        queue = None if self._state is None else self._state.queue
        return bool(queue) and queue is not None and queue.first().rank == BACKGROUND

    def _ask(self) -> None:
        state = self._state
        if self._asking is None and state is not None and state.binding is not None:
            loop = state.binding.loop
            self._asking = loop.create_task(self._reserve(state, loop))

    async def _reserve(self, state: BucketState, loop: asyncio.AbstractEventLoop) -> None:
        """Have a slot for the first waiter, after reporting refusals."""
        dropped = self._drop()
        found: Reservation | None = None
        alone_until = self._alone_until
        try:
            if not self._refusals_reported:
                await self._report_refusals(state)
            if state.queue:
                found = await self._reserve_one(dropped, loop.time())
            elif self._store.commands.unavailable_part(self.name) is not None:
                await self._store.look(self.name, self._limit)
            elif dropped is not None:
                self._store.give_back(dropped)
        except StoreUnavailable:
            pass
        except OKXError as error:
            self.fail_all(error)
        finally:
            # Bound to another loop by now, the bucket has forgotten what was asked on this one.
            if state.is_bound_to(loop):
                self._asking = None
        if state.is_bound_to(loop):
            if found is not None and alone_until == self._alone_until:
                # The store knows of it, and nothing was sent since.
                self._alone_until = -math.inf
            self._receive(found)

    def _more_wait(self) -> bool:
        """Return whether more calls wait than one, not counting those in the background."""
        queue = None if self._state is None else self._state.queue
        return queue is not None and queue.ahead_of(0, FOREGROUND) > 1

    async def _reserve_one(self, dropped: Reservation | None, now: float) -> Reservation | None:
        store, waits = self._store, not self._waits_in_background()
        used = self._just_used(now)
        ticket = store.draw()
        if dropped is not None and dropped.bucket == self.name and dropped.at > now:
            # It keeps its place.
            ticket, dropped = dropped.ticket, None
        reservation, self._place = await store.reserve(
            self.name, self._limit, ticket, dropped, used, waits=waits, more=self._more_wait()
        )
        self._look_at = math.inf
        if reservation.at <= reservation.received:
            return reservation
        if not waits:
            # Only foreground calls wait with a reservation.
            self._look_at = reservation.at
            return None
        store.notifications.begin(ticket, self)
        if not store.commands.listen():
            self._look_at = reservation.received + self._limit.seconds
        return reservation

    async def _report_refusals(self, state: BucketState) -> None:
        # Another refusal may come meanwhile.
        self._refusals_reported = True
        try:
            await self._store.refused(self.name, self._limit)
        except StoreUnavailable:
            # Then this process slows down by itself.
            state.slow_down()
            raise

    def _receive(self, found: Reservation | None) -> None:
        state = self._state
        if state is None:
            # The bucket was merged into another one meanwhile.
            if found is not None:
                self._store.give_back(found)
            return
        self._reservation = found
        self._fail_hopeless(state)
        if not self._refusals_reported:
            self._ask()
        if state.queue:
            state.serve()
        else:
            self.not_needed()

    def _just_used(self, now: float) -> int:
        """Return the ticket of a slot that this process used a moment ago, 0 for none.

        It is in use for half a period more, so if the store does not know it, the history was lost. Below 0 it is how
        many calls this process may have sent by itself, and the others as well.
        """
        store = self._store
        if now < self._alone_until or (store.commands.unavailable_part(self.name) is not None and store.goes_on_alone):
            return -store.alone(self._limit, 0 if self._place is None else self._place.processes)
        used = self._used
        recent = used is not None and used.bucket == self.name and now - used.at < self._limit.seconds / 2
        return used.ticket if used is not None and recent else 0

    def _fail_hopeless(self, state: BucketState) -> None:
        """Fail the first waiters that cannot have their turn in time any more."""
        reservation = self._reservation
        if reservation is not None:
            for waiter in state.queue or ():
                if waiter.deadline is None or waiter.deadline >= reservation.at:
                    return
                waiter.fail()

    def fail_all(self, error: OKXError) -> None:
        """Fail all waiters, each with an error of its own."""
        state = self._state
        if state is not None:
            for waiter in state.queue or ():
                waiter.fail(type(error)(error.message, hint=error.hint))

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail all waiters of an event loop, because the limiter is closed."""
        if self._state is not None and self._state.is_bound_to(loop):
            self.fail_all(is_closed())


def is_closed() -> ConfigurationError:
    """Return the error of a call that uses a limiter that was closed."""
    message = "this limiter is closed"
    return ConfigurationError(message, hint="Make a new one; the shared limits of its users carry over.")


def _unreachable() -> TransportError:
    message = "the shared rate limit cannot be reached, so nothing was sent"
    return TransportError(message, hint="See to Redis, or let calls go on with on_failure='local'.")
