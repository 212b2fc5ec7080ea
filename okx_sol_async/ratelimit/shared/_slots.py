"""The slots of one bucket that other processes share: a process holds one reservation of it at a time.

So no process books ahead of the others, and one that dies wastes no more than that. A reservation moves up when a call
ahead of it gives up, in this process or in another one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from okx_sol_async.errors import ConfigurationError, TransportError
from okx_sol_async.ratelimit._loops import running_loop
from okx_sol_async.ratelimit.shared._fallback import Fallback
from okx_sol_async.ratelimit.shared._reserver import Reserver, fail_all, waits_in_background
from okx_sol_async.ratelimit.shared._store import Reservation, SlotStore

if TYPE_CHECKING:
    import asyncio

    from okx_sol_async.ratelimit._limit import RateLimit
    from okx_sol_async.ratelimit._state import BucketState

#: How many times in a row a slot that came too late is given back for another one. Then it is used.
GIVEN_BACK: Final = 2


class SharedSlots:
    """The `SlotSource` of a bucket."""

    def __init__(self, limit: RateLimit, store: SlotStore, name: str) -> None:
        self.name = name
        self._limit = limit
        self._store = store
        #: What happens while the store is unavailable.
        self.fallback: Fallback = Fallback(limit, store)
        #: What keeps a slot reserved.
        self.reserver: Reserver = Reserver(name, limit, store, self.fallback)
        # How many were given back in a row because they came too late.
        self._given_back = 0
        #: When this process reported a refusal, by the clock of the event loop.
        self.refused_at: float = -math.inf

    @property
    def is_busy(self) -> bool:
        return self.reserver.is_asking or self.reserver.reservation is not None

    def next_departure(self, state: BucketState, now: float) -> float | None:
        self.reserver.state = state
        part = self._store.commands.unavailable_part(self.name)
        if part is not None:
            return self._departure_alone(state, now, part)
        at = state.own_departure(now)
        return at if at is None or at > now else self._shared_departure(now)

    def _departure_alone(self, state: BucketState, now: float, part: str) -> float | None:
        """Return when the first waiter may leave while the store is unavailable, and try it from time to time."""
        reserver = self.reserver
        if self._store.outages.may_try(part):
            reserver.ask()
        if not self._store.goes_on_alone:
            if not reserver.is_asking:
                fail_all(state, _unreachable())
            return None
        away_for = self._store.outages.lasted(part)
        return self.fallback.departure(state, now, reserver.place, reserver.used, away_for)

    def _shared_departure(self, now: float) -> float | None:
        """Return when the slot of the first waiter is free, and ask for one if there is none."""
        reserver = self.reserver
        reservation = reserver.reservation
        if reservation is None or not reserver.refusals_reported or now < self.fallback.counts_until:
            is_known = now < reserver.look_at < math.inf and reserver.refusals_reported
            if is_known and waits_in_background(reserver.state):
                return reserver.look_at
            reserver.ask()
            return None
        if reservation.at > now:
            if reserver.look_at > now:
                return min(reservation.at, reserver.look_at)
            reserver.ask()
            return None
        if self._given_back < GIVEN_BACK and self._store.is_late(reservation, now):
            self._given_back += 1
            reserver.ask()
            return None
        return reservation.at

    def take(self, now: float) -> Reservation | None:
        """Return the reserved slot, for a call that leaves; `None` if the process is by itself."""
        reserver = self.reserver
        reservation = reserver.drop()
        if reservation is not None:
            reserver.used = reservation
            self._given_back = 0
        else:
            self.fallback.left(now)
        return reservation

    def put_back(self, slot: Reservation) -> None:
        if not self.is_busy and slot.bucket == self.name:
            self.reserver.reservation = slot
        else:
            self._store.give_back(slot)

    def not_needed(self) -> None:
        self.reserver.return_reservation()

    def earliest(self, ahead: int, now: float) -> float:
        reservation = self.reserver.reservation
        if reservation is None or self._store.commands.unavailable_part(self.name) is not None:
            return now
        return reservation.at + ahead // self._limit.requests * self._limit.seconds

    def answered(self, slot: Reservation, now: float) -> None:
        self._store.answered(self.name, self._limit, slot, now)

    def abandoned(self, slot: Reservation, latency: float) -> None:
        self._store.abandoned(self.name, self._limit, slot, latency)

    def refused(self, state: BucketState) -> bool:
        self.reserver.state = state
        if self._store.commands.unavailable_part(self.name) is not None:
            return False
        self.refused_at = state.time()
        self.reserver.refusals_reported = False
        self.reserver.ask()
        return True

    def merge(self, other: SharedSlots, state: BucketState) -> None:
        other.not_needed()
        # It serves no bucket any more, and gives back a slot that is asked for.
        other.reserver.state = None
        self.fallback.counts_until = max(self.fallback.counts_until, other.fallback.counts_until)
        push_back = state.rules.push_back
        slow_for = max(push_back.pause * self._limit.seconds, push_back.clean_time if push_back.paced else 0.0)
        # The store keeps a pause and a pace under the other name, so they begin anew under this one.
        is_slow = state.time() - other.refused_at < slow_for
        is_here = state.binding is not None and state.binding.loop is running_loop()
        if is_slow and not (is_here and self.refused(state)):
            state.slow_down()

    def orphan(self) -> None:
        self.reserver.orphan()
        self.fallback.counts_until = self.refused_at = -math.inf

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail all waiters of an event loop, because the limiter is closed."""
        state = self.reserver.state
        if state is not None and state.is_bound_to(loop):
            fail_all(state, is_closed())


def is_closed() -> ConfigurationError:
    message = "this limiter is closed"
    return ConfigurationError(message, hint="Make a new one; the shared limits of its users carry over.")


def _unreachable() -> TransportError:
    message = "the shared rate limit cannot be reached, so nothing was sent"
    return TransportError(message, hint="See to Redis, or let calls go on with on_failure='local'.")
