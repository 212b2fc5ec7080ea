"""OKX's time, as near as a session knows it.

A signature carries a timestamp, and OKX refuses one that is more than 30 seconds away from its own clock (50102).
Each answer tells OKX's time in its ``Date`` header, so the difference is learnt without asking. It is believed only
as far as it explains what OKX does: a clock that OKX accepts is not moved.
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
#: A timestamp this far from what ``Date`` tells may have been refused for it: network and rounding take the rest.
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
    """Return a clock that nobody sets, and that counts the time for which the machine sleeps if there is one."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        clock_id = getattr(time, name, None)
        if clock_id is not None:
            return partial(time.clock_gettime, clock_id)
    return time.monotonic


class Exchanged(NamedTuple):
    """When a request was signed and its answer came, both by the steady clock, in seconds."""

    sent: float
    came: float

    @property
    def took(self) -> float:
        """The seconds between the two."""
        return self.came - self.sent


class _Bounds(NamedTuple):
    """Between which numbers OKX's time less the steady clock is, and when that was learnt."""

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

    It begins as the clock of this machine, and runs on by a clock that nobody sets, so it neither jumps when the
    machine's clock is set nor stands still while the machine sleeps.

    Args:
        wall: the clock of this machine, in seconds since 1970 (UTC).
        steady: a clock that nobody sets, in seconds.

    """

    __slots__ = ("_ahead", "_bounds", "_corrected_at", "_wall", "asked_in_vain_at", "date", "steady")

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] | None = None) -> None:
        self._wall = wall
        #: A clock that nobody sets, in seconds.
        self.steady = _steady() if steady is None else steady
        # OKX's time less the steady clock, as it is signed with.
        self._ahead = wall() - self.steady()
        self._bounds: _Bounds | None = None
        self._corrected_at = -math.inf
        #: When OKX was last asked for its time and did not tell it, by the steady clock.
        self.asked_in_vain_at = -math.inf
        #: The ``Date`` that was heard last. Its like tells nothing new.
        self.date: str | None = None

    def now(self) -> float:
        """Return OKX's time, in seconds since 1970 (UTC)."""
        return self.steady() + self._ahead

    @property
    def offset(self) -> float | None:
        """By how many seconds OKX's clock is ahead of that of this machine; `None` until an answer told."""
        if self._bounds is None:
            return None
        return self._bounds.middle + self.steady() - self._wall()

    @property
    def corrected_at(self) -> float:
        """When the clock was last set to OKX's, by the steady clock; minus infinity for never."""
        return self._corrected_at

    def heard(self, date: str | None, times: Exchanged) -> None:
        """Learn from the ``Date`` of an answer, unless it contradicts the clock that OKX accepts."""
        if date is None or date == self.date:
            return
        self.date = date
        bounds = _bounds_of(date, times)
        # What was never corrected is not moved either, and OKX accepts it this far from its own clock.
        near = _NEAR if self._corrected_at > -math.inf else TOLERANCE
        if bounds is None or bounds.distance(self._ahead) > near:
            return
        self._bounds = bounds if self._bounds is None else self._bounds.narrowed_by(bounds)
        if self._corrected_at > -math.inf:
            self._ahead = self._bounds.middle

    def refused(self, date: str | None, signed_at: float, times: Exchanged) -> bool:
        """Learn from the answer that calls a timestamp wrong (50102), and tell whether that explains it.

        Args:
            date: the ``Date`` of the answer, if it has one.
            signed_at: the timestamp that was refused, in seconds since 1970.
            times: when it was signed and when the answer came.

        """
        bounds = None if date is None else _bounds_of(date, times)
        if bounds is None:
            return False
        distance = bounds.distance(signed_at - times.sent)
        if distance > _SUSPICIOUS:
            self._follow(bounds)
            return True
        # Else the clock is right by this Date: the call was too long on its way, or the Date is not OKX's.
        return times.took > _SUSPICIOUS and distance == 0

    def measured(self, seconds: float, times: Exchanged) -> None:
        """Follow what OKX answered when it was asked for its time: ``seconds`` since 1970 (UTC)."""
        self._follow(_Bounds(seconds - times.came, seconds - times.sent, times.came))

    def _follow(self, bounds: _Bounds) -> None:
        moved = bounds.middle - self._ahead
        self._bounds = bounds
        self._ahead = bounds.middle
        self._corrected_at = bounds.at
        if abs(moved) > _NOTICEABLE:
            logger.warning("OKX's clock is not that of this machine: calls are signed %+.1f s from now on", self.offset)


def _bounds_of(date: str, times: Exchanged) -> _Bounds | None:
    """Return what a ``Date`` header tells, which is cut to whole seconds; `None` if it is not one of our time."""
    try:
        told = parsedate_to_datetime(date)
        # The time in an answer is that of Greenwich, also where it does not say so: never that of this machine.
        seconds = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    if not _FIRST <= seconds < _LAST:
        return None
    return _Bounds(seconds - times.came, seconds + 1 - times.sent, times.came)
