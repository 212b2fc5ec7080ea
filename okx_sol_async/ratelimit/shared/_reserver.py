"""The one reservation of a bucket: asking the store for it, and following it when it moves."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import attrs

from okx_sol_async.errors import OKXError
from okx_sol_async.ratelimit._loops import running_loop
from okx_sol_async.ratelimit._waiters import BACKGROUND, FOREGROUND
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from okx_sol_async.ratelimit.shared._store import Place, Reservation, SlotStore

if TYPE_CHECKING:
    from okx_sol_async.ratelimit._limit import RateLimit
    from okx_sol_async.ratelimit._state import BucketState
    from okx_sol_async.ratelimit.shared._fallback import Fallback


@attrs.frozen
class _Move:
    """A notification that a slot is at another time."""

    #: The server's clock, and the wait from then on, in seconds.
    server_time: float
    wait: float
    #: When the slot is, by the clock of the event loop.
    at: float


class Reserver:
    """Keeps a slot reserved for the first waiter of a bucket."""

    def __init__(self, name: str, limit: RateLimit, store: SlotStore, fallback: Fallback) -> None:
        self._name = name
        self._limit = limit
        self._store = store
        self._fallback = fallback
        #: The bucket, `None` before its first call and after it was merged into another one.
        self.state: BucketState | None = None
        #: The slot for the first waiter.
        self.reservation: Reservation | None = None
        #: The one that was used last.
        self.used: Reservation | None = None
        #: This process among all that use the bucket, as of the last reply.
        self.place: Place | None = None
        #: When to ask again, for a call in the background or without notifications.
        self.look_at: float = math.inf
        #: Whether the store knows of each refusal.
        self.refusals_reported: bool = True
        self._asking: asyncio.Task[None] | None = None
        # The ticket of which notifications are awaited, 0 for none.
        self._ticket = 0
        # The last notification that came while the store was asked.
        self._move: _Move | None = None

    @property
    def is_asking(self) -> bool:
        return self._asking is not None

    def ask(self) -> None:
        """Report refusals, and have a slot for the first waiter or look when it is by now."""
        state = self.state
        if self._asking is None and state is not None and state.binding is not None:
            loop = state.binding.loop
            self._asking = loop.create_task(self._ask(state, loop))

    def drop(self) -> Reservation | None:
        reservation, self.reservation = self.reservation, None
        if reservation is not None:
            self._await_moves_of(0)
        return reservation

    def return_reservation(self) -> None:
        """Give the reservation back, because no call waits for it."""
        reservation = self.drop()
        if reservation is not None:
            self._store.give_back(reservation)

    def orphan(self) -> None:
        self._await_moves_of(0)
        self.reservation = self.used = self._asking = None
        self.look_at = math.inf

    # Notifications.

    def moved(self, ticket: int, server_time: float, wait: float) -> None:
        """Another process gave up, or reported a refusal: the reserved slot is at another time now."""
        state = _used_here(self.state)
        if state is None or ticket != self._ticket:
            return
        self._move = _Move(server_time, wait, state.time() + wait)
        if self._asking is None:
            self._follow_move()
            _fail_hopeless(state, self.reservation)
            state.serve()

    def look_again(self) -> None:
        state = _used_here(self.state)
        if state is not None:
            self.look_at = -math.inf
            state.serve()

    def _follow_move(self) -> None:
        """Go by the last notification, unless the last reply is newer."""
        move, reservation, place = self._move, self.reservation, self.place
        self._move = None
        if move is None or not self._ticket or reservation is None or place is None:
            return
        if move.server_time >= place.server_time:
            server_at = move.server_time + move.wait
            since = server_at + place.least_offset
            self.reservation = attrs.evolve(reservation, at=move.at, since=since, server_at=server_at)

    def _await_moves_of(self, ticket: int) -> None:
        if self._ticket not in {0, ticket}:
            self._store.notifications.end(self._ticket)
        self._ticket = ticket
        if ticket:
            self._store.notifications.begin(ticket, self)

    # Asking.

    async def _ask(self, state: BucketState, loop: asyncio.AbstractEventLoop) -> None:
        # Notifications of it are still awaited: the slot may move before the reply is read.
        dropped, self.reservation = self.reservation, None
        self._move = None
        found: Reservation | None = None
        counts_until = self._fallback.counts_until
        try:
            if not self.refusals_reported:
                await self._report_refusals(state)
            if state.queue:
                found = await self._reserve(state, dropped, loop.time())
            elif self._store.commands.unavailable_part(self._name) is not None:
                await self._store.look(self._name, self._limit)
            elif dropped is not None:
                self._store.give_back(dropped)
        except StoreUnavailable:
            pass
        except OKXError as error:
            fail_all(state, error)
        finally:
            # Bound to another loop by now, the bucket has forgotten what was asked on this one.
            if state.is_bound_to(loop):
                self._asking = None
        if state.is_bound_to(loop):
            if found is not None:
                self._fallback.reported(counts_until)
            self._receive(found)

    async def _report_refusals(self, state: BucketState) -> None:
        # Another refusal may come meanwhile.
        self.refusals_reported = True
        try:
            await self._store.refused(self._name, self._limit)
        except StoreUnavailable:
            # Then this process slows down by itself.
            state.slow_down()
            raise

    async def _reserve(self, state: BucketState, dropped: Reservation | None, now: float) -> Reservation | None:
        store, waits = self._store, not waits_in_background(state)
        used = self._just_used(now)
        ticket = store.draw()
        if dropped is not None and dropped.at > now:
            # It keeps its place.
            ticket, dropped = dropped.ticket, None
        self._await_moves_of(ticket)
        # From here on, a subscription that begins asks for another look.
        self.look_at = math.inf
        more = state.queue is not None and state.queue.ahead_of(0, FOREGROUND) > 1
        reservation, self.place = await store.reserve(
            self._name, self._limit, ticket, dropped, used, waits=waits, more=more
        )
        if reservation.at > reservation.received:
            if not waits:
                # Only foreground calls wait with a reservation.
                self.look_at = reservation.at
                return None
            if not store.commands.listen():
                self.look_at = min(self.look_at, reservation.received + self._limit.seconds)
        return reservation

    def _just_used(self, now: float) -> int:
        """Return the ticket of a slot that this process used a moment ago, 0 for none.

        It is in use for half a period more, so if the store does not know it, the history was lost. Below 0 it is how
        many calls this process may have sent by itself, and the others as well.
        """
        store = self._store
        is_away = store.commands.unavailable_part(self._name) is not None
        if now < self._fallback.counts_until or (is_away and store.goes_on_alone):
            return -self._fallback.sent(self.place)
        used = self.used
        return used.ticket if used is not None and now - used.at < self._limit.seconds / 2 else 0

    def _receive(self, found: Reservation | None) -> None:
        if found is None or found.at <= found.received:
            self._await_moves_of(0)
        state = self.state
        if state is None:
            # The bucket was merged into another one meanwhile.
            self._await_moves_of(0)
            if found is not None:
                self._store.give_back(found)
            return
        self.reservation = found
        # The slot may have moved since the reply left.
        self._follow_move()
        if self.look_at > -math.inf:
            _fail_hopeless(state, self.reservation)
        if not self.refusals_reported:
            self.ask()
        if state.queue:
            state.serve()
        else:
            self.return_reservation()


def _used_here(state: BucketState | None) -> BucketState | None:
    """Return a bucket if it is used on the running event loop."""
    here = state is not None and state.binding is not None and state.binding.loop is running_loop()
    return state if here else None


def _fail_hopeless(state: BucketState, reservation: Reservation | None) -> None:
    """Fail the first waiters that cannot have their turn in time any more."""
    if reservation is not None:
        for waiter in state.queue or ():
            if waiter.deadline is None or waiter.deadline >= reservation.at:
                return
            waiter.fail()


def waits_in_background(state: BucketState | None) -> bool:
    """Return whether the first waiter of a bucket is in the background."""
    queue = None if state is None else state.queue
    return bool(queue) and queue is not None and queue.first().rank == BACKGROUND


def fail_all(state: BucketState, error: OKXError) -> None:
    """Fail all waiters of a bucket, each with an error of its own."""
    for waiter in state.queue or ():
        waiter.fail(type(error)(error.message, hint=error.hint))
