"""The exchange's clock, which a test can move."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds.
DAY: Final = 86_400.0
#: OKX's days begin at midnight of UTC+8, which is so many seconds after midnight UTC.
DAY_BEGINS: Final = 16 * 3_600.0


@attrs.define
class Clock:
    """Seconds since 1970 (UTC), from a source and with what was added to it."""

    #: The source; `None` is the machine's clock.
    source: Callable[[], float] | None = None
    #: By how many seconds the clock has been moved forward.
    moved: float = 0.0

    @property
    def is_the_machines(self) -> bool:
        """Whether it goes by the machine's clock, which nobody chose for a test."""
        return self.source is None

    def now(self) -> float:
        """Return the time, with what it has been moved by."""
        return (time.time() if self.source is None else self.source()) + self.moved


def day_number(at: float) -> int:
    """Return the number of the day, by OKX's days, in which ``at`` lies."""
    return int((at - DAY_BEGINS) // DAY)


def beginning_of(day: int) -> float:
    """Return the time, in seconds since 1970, at which a day begins: 16:00 UTC."""
    return day * DAY + DAY_BEGINS
