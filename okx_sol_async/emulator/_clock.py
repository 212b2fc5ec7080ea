"""The exchange's clock, which a test can move."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs

#: Seconds.
DAY: Final = 86_400.0
#: OKX's days begin at midnight of UTC+8: seconds after midnight UTC.
DAY_BEGINS: Final = 16 * 3_600.0


@attrs.define
class ExchangeClock:
    """Seconds since 1970 (UTC): a source, and what has been added to it."""

    #: The source; `None` is the machine's clock.
    source: Callable[[], float] | None = None
    #: Seconds by which the clock has been moved forward; negative for back.
    moved: float = 0.0
    #: Seconds by which the clock of the rate limits has been moved forward.
    limits_moved: float = 0.0

    @property
    def is_the_machines(self) -> bool:
        """Whether the source is the machine's clock."""
        return self.source is None

    def now(self) -> float:
        """Return the time."""
        return self.origin() + self.moved

    def origin(self) -> float:
        """Return the time of the source."""
        return time.time() if self.source is None else self.source()


def day_number(at: float, begins: float = DAY_BEGINS) -> int:
    """Return the number of the day that contains ``at``; days begin ``begins`` seconds after midnight UTC."""
    return int((at - begins) // DAY)


def start_of_day(day: int) -> float:
    """Return the time, in seconds since 1970, at which a day begins: 16:00 UTC."""
    return day * DAY + DAY_BEGINS
