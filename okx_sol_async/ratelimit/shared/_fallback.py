"""Sharing a limit while the store is unavailable: each process spends its part, and reports it afterwards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from okx_sol_async.ratelimit.shared._store import Place, Reservation, SlotStore, window_of

if TYPE_CHECKING:
    from okx_sol_async.ratelimit._limit import RateLimit
    from okx_sol_async.ratelimit._state import BucketState

#: How late a call may be given a time of its own, in seconds. Otherwise it waits for the next one.
PUNCTUALITY: Final = 0.02
#: How much later it may be sent on a busy machine, in seconds.
DELAY: Final = 0.2


class Fallback:
    """The part of a limit that this process spends by itself.

    Args:
        limit: what the exchange allows.
        store: the store that may be unavailable.

    """

    def __init__(self, limit: RateLimit, store: SlotStore) -> None:
        self._limit = limit
        self._store = store
        #: Until then, calls count that processes have sent by themselves: this one a window ago, or others since.
        self.counts_until: float = -math.inf

    def departure(
        self, state: BucketState, now: float, place: Place | None, used: Reservation | None, away_for: float
    ) -> float | None:
        """Return when the first waiter may leave, `None` if that depends on calls in flight.

        Args:
            state: the bucket.
            now: the time.
            place: this process among the others, `None` if the store never said.
            used: the reservation that was used last, `None` without one.
            away_for: for how many seconds the store is known to be unavailable.

        """
        processes = 0 if place is None else place.processes
        at = state.own_departure(now, self._store.alone(self._limit, processes))
        if at is None or place is None or processes <= self._limit.requests:
            return at
        # There are more processes than requests: each has times of its own, all equally far apart.
        hold = self._store.hold(self._limit)
        spacing = (hold + PUNCTUALITY + DELAY) / self._limit.requests
        period, phase = processes * spacing, place.offset + place.rank * spacing
        # Each of the others may have reserved a slot just before, and not know yet. Then a window must pass.
        longest = hold if used is None else max(used.hold, hold)
        reserved = math.ceil(processes / self._limit.requests) * longest
        at = max(at, now, now - away_for + reserved + window_of(self._limit))
        late = (at - phase) % period
        return at if late < PUNCTUALITY else at - late + period

    def left(self, now: float) -> None:
        """Note that a call left without a slot of the store."""
        self.counts_until = now + 2 * window_of(self._limit)

    def sent(self, place: Place | None) -> int:
        """Return how many calls each process may have sent by itself in a window."""
        return self._store.alone(self._limit, 0 if place is None else place.processes)

    def reported(self, counts_until: float) -> None:
        """Note that the store knows of what was sent, unless a call left after ``counts_until`` was read."""
        if self.counts_until == counts_until:
            self.counts_until = -math.inf
