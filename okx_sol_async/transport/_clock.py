"""OKX's clock, as far as a session knows it.

OKX refuses a timestamp that is more than 30 seconds away from its own clock (50102). The ``Date`` header of each
response has OKX's time to the second, so the difference is measured without asking. A clock that OKX accepts is not
moved: a proxy or a cache may have written that header.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final, NamedTuple

logger: Final = logging.getLogger("okx_sol_async")

#: OKX refuses a timestamp that is further from its clock, in seconds.
TOLERANCE: Final = 30.0
#: A timestamp this far from ``Date`` may have been refused for it: network and rounding take the rest.
_SUSPICIOUS: Final = TOLERANCE - 5.0
#: A clock that OKX accepts follows a ``Date`` no further than this, in seconds.
_NEAR: Final = TOLERANCE / 2
#: A correction of more seconds is worth a line in the log.
_NOTICEABLE: Final = 1.0
#: By how much two clocks may differ in speed while they are being corrected.
_DRIFT: Final = 0.0005
#: OKX writes its time in 13 digits of milliseconds, so it is from 2001 to 2286; in seconds since 1970.
_FIRST: Final = 1e9
_LAST: Final = 1e10


def _steady() -> Callable[[], float]:
    """Return a clock that is never set, and that counts the time for which the machine sleeps if there is one."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # pragma: no branch - Windows has neither
        clock_id = getattr(time, name, None)
        if clock_id is not None:  # pragma: no branch - macOS lacks the first
            return partial(time.clock_gettime, clock_id)
    return time.monotonic  # pragma: no cover - where no clock can be chosen, as on Windows


class RoundTrip(NamedTuple):
    """When a request was signed and when its response came, both by the steady clock, in seconds."""

    sent: float
    came: float

    @property
    def took(self) -> float:
        return self.came - self.sent


class _Bounds(NamedTuple):
    """The least and the most that OKX's time may be ahead of the steady clock, and when that was measured."""

    low: float
    high: float
    at: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    def distance(self, ahead: float) -> float:
        return max(self.low - ahead, ahead - self.high, 0.0)

    def narrowed_by(self, other: _Bounds) -> _Bounds:
        """Return what both allow, or the newer one if they contradict each other."""
        slack = _DRIFT * (other.at - self.at)
        low, high = max(self.low - slack, other.low), min(self.high + slack, other.high)
        return _Bounds(low, high, other.at) if low <= high else other


class ServerClock:
    """OKX's time for all calls of a session.

    It begins as the clock of this machine, and runs on by a clock that is never set, so it neither jumps when the
    machine's clock is set nor stands still while the machine sleeps.

    Args:
        wall: the clock of this machine, in seconds since 1970 (UTC).
        steady: a clock that is never set, in seconds.

    """

    __slots__ = ("_ahead", "_bounds", "_corrected_at", "_wall", "last_date", "steady")

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        self._wall = wall
        #: A clock that is never set, in seconds.
        self.steady: Callable[[], float] = _steady() if steady is None else steady
        # OKX's time less the steady clock, as it is signed with.
        self._ahead = wall() - self.steady()
        self._bounds: _Bounds | None = None
        self._corrected_at = -math.inf
        #: The ``Date`` of the last response. An equal one has nothing new.
        self.last_date: str | None = None

    def now(self) -> float:
        """Return OKX's time, in seconds since 1970 (UTC)."""
        return self.at(self.steady())

    def at(self, steady: float) -> float:
        """Return OKX's time when the steady clock shows ``steady``, in seconds since 1970 (UTC)."""
        return steady + self._ahead

    def estimate(self) -> float:
        """Return OKX's time by its responses, in seconds since 1970 (UTC), also where signatures need not follow them."""
        return self.now() if self._bounds is None else self._bounds.middle + self.steady()

    @property
    def offset(self) -> float | None:
        """By how many seconds OKX's clock is ahead of that of this machine; `None` until a response said."""
        if self._bounds is None:
            return None
        return self._bounds.middle + self.steady() - self._wall()

    @property
    def corrected_at(self) -> float:
        """When the clock was last set to OKX's, by the steady clock; minus infinity for never."""
        return self._corrected_at

    def note_date(self, date: str | None, times: RoundTrip) -> None:
        """Learn from the ``Date`` of a response, unless it contradicts the clock that OKX accepts."""
        if date is None or date == self.last_date:
            return
        self.last_date = date
        bounds = _bounds_of(date, times)
        # What was never corrected is not moved either, and OKX accepts it this far from its own clock.
        near = _NEAR if self._corrected_at > -math.inf else TOLERANCE
        if bounds is None or bounds.distance(self._ahead) > near:
            return
        self._bounds = bounds if self._bounds is None else self._bounds.narrowed_by(bounds)
        if self._corrected_at > -math.inf:
            self._ahead = self._bounds.middle

    def correct_by_date(self, date: str | None, signed_at: float, times: RoundTrip) -> bool:
        """Correct the clock by the ``Date`` of a refusal (50102), and return whether that explains the refusal.

        Args:
            date: the ``Date`` of the refusal, if it has one.
            signed_at: the timestamp that was refused, in seconds since 1970.
            times: when it was signed and when the refusal came.

        """
        bounds = None if date is None else _bounds_of(date, times)
        if bounds is None:
            return False
        distance = bounds.distance(signed_at - times.sent)
        if distance > _SUSPICIOUS:
            self._follow(bounds)
            return True
        # Else the clock is right by this Date: the request took too long to arrive, or the Date is not OKX's.
        return times.took > _SUSPICIOUS and distance == 0

    def correct_by_time(self, seconds: float, times: RoundTrip, refused: float | None = None) -> bool:
        """Set the clock to what OKX says when it is asked for its time, and return whether that was done.

        Args:
            seconds: OKX's time, in seconds since 1970 (UTC).
            times: when it was asked for, and when the response came.
            refused: by how much a timestamp that OKX has refused was ahead of the steady clock. If OKX's time does not
                explain that, it measures `offset` and moves nothing.

        """
        bounds = _Bounds(seconds - times.came, seconds - times.sent, times.came)
        if refused is None or bounds.distance(refused) > _SUSPICIOUS:
            self._follow(bounds)
            return True
        self._bounds = bounds
        return False

    def _follow(self, bounds: _Bounds) -> None:
        moved = bounds.middle - self._ahead
        self._bounds = bounds
        self._ahead = bounds.middle
        self._corrected_at = bounds.at
        if abs(moved) > _NOTICEABLE:
            logger.warning(
                "the clock of this machine differs from OKX's: timestamps are corrected by %+.1f s", self.offset
            )


def _bounds_of(date: str, times: RoundTrip) -> _Bounds | None:
    """Return the bounds from a ``Date`` header, which is cut to whole seconds; `None` if it is no date of our time."""
    try:
        parsed = parsedate_to_datetime(date)
        # The time in a response is UTC, also where it does not say so: never that of this machine.
        seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    if not _FIRST <= seconds < _LAST:
        return None
    return _Bounds(seconds - times.came, seconds + 1 - times.sent, times.came)
