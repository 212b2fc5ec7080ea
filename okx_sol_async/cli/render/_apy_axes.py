"""The axes of an APY plot: round rates, evenly spaced days, and where values lie between them. All of it is exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

import attrs

from okx_sol_async.models import Apy

_MAX_STEPS: Final = 5
_ROUND: Final = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))
#: The least distance of the bounds, as a fraction: a twentieth of a per cent.
_MIN_SPAN: Final = Decimal("0.0005")
_DAY_STEPS: Final = (1, 2, 7, 14, 21, 30, 60, 90, 180, 365)


@attrs.frozen
class RateAxis:
    """The axis of the rates, from one round number to another. It need not begin at zero."""

    low: Decimal
    high: Decimal
    step: Decimal

    @classmethod
    def of(cls, found: Iterable[Apy]) -> RateAxis:
        """Return an axis that holds all these rates."""
        rates = [one.rate for one in found]
        low, high = min(rates), max(rates)
        if high - low < _MIN_SPAN:
            # A yield is hardly ever below zero, and the axis need not be.
            bottom = low - _MIN_SPAN / 2
            low, high = (max(bottom, Decimal(0)) if low >= 0 else bottom), high + _MIN_SPAN / 2
        step = _round_up((high - low) / _MAX_STEPS)
        return cls(
            (low / step).to_integral_value(ROUND_FLOOR) * step,
            (high / step).to_integral_value(ROUND_CEILING) * step,
            step,
        )

    @property
    def steps(self) -> int:
        """How many steps there are from the lowest round number to the highest."""
        return int((self.high - self.low) / self.step)

    @property
    def ticks(self) -> list[Decimal]:
        """The round numbers of the axis, the lowest first."""
        return [self.low + self.step * n for n in range(self.steps + 1)]

    def label(self, rate: Decimal) -> str:
        """Return one of the round numbers in per cent; all of them have the same number of decimals."""
        return f"{rate.scaleb(2):.{max(2, -self.step.adjusted() - 2)}f} %"

    def place(self, rate: Decimal) -> Decimal:
        """Return where a rate lies, in steps from the lowest round number."""
        return (rate - self.low) / self.step


@attrs.frozen
class DayAxis:
    """The axis of the days. Its ticks are evenly spaced, and the last day has one."""

    first: date
    last: date
    #: Days between two ticks.
    step: int
    #: Units of the output between two ticks.
    spacing: int

    @classmethod
    def of(cls, found: Sequence[Apy], *, width: int, min_spacing: int) -> DayAxis:
        """Return an axis that holds all these days.

        Args:
            found: the yields.
            width: the units of the output that the axis may take.
            min_spacing: the least units between two ticks, so that their labels don't touch.

        """
        days = [day_of(one) for one in found]
        span = max((max(days) - min(days)).days, 1)
        step = next((step for step in _DAY_STEPS if width * step // span >= min_spacing), span)
        return cls(min(days), max(days), step, max(width * step // span, 1))

    @property
    def ticks(self) -> list[date]:
        """The days with a label, the earliest first."""
        return [date.fromordinal(day) for day in range(self.last.toordinal(), self.first.toordinal() - 1, -self.step)][
            ::-1
        ]

    @property
    def width(self) -> Decimal:
        """The units of the output that the axis takes."""
        return self.place(self.last)

    def place(self, day: date) -> Decimal:
        """Return where a day lies, in units of the output from the first day."""
        return Decimal((day - self.first).days * self.spacing) / self.step


def day_of(one: Apy) -> date:
    """Return the day of a yield: the date, in UTC, of its 16:00 UTC."""
    return one.ts.date()


def summary(found: Sequence[Apy]) -> list[tuple[str, Apy]]:
    """Return the latest, the lowest and the highest yield; of equal ones the latest."""
    newest_first = sorted(found, key=lambda one: one.ts, reverse=True)
    return [
        ("latest", newest_first[0]),
        ("low", min(newest_first, key=lambda one: one.rate)),
        ("high", max(newest_first, key=lambda one: one.rate)),
    ]


def runs(found: Iterable[Apy]) -> list[list[Apy]]:
    """Return the yields, the earliest first, split where days are missing: no line is drawn over a gap."""
    result: list[list[Apy]] = []
    for one in sorted(found, key=lambda one: one.ts):
        if result and (day_of(one) - day_of(result[-1][-1])).days <= 1:
            result[-1].append(one)
        else:
            result.append([one])
    return result


def _round_up(step: Decimal) -> Decimal:
    """Return the first of 1, 2, 5, 10, 20, … and their tenths that is not less."""
    unit = Decimal(1).scaleb(step.adjusted())
    return next(nice * unit for nice in _ROUND if nice * unit >= step)
