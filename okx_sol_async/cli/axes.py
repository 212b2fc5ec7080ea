"""Where values lie on the axes of a plot, in whatever unit it has; all of it exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

import attrs

from okx_sol_async.models import Apy

_MOST_STEPS: Final = 5
_NICE: Final = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))
#: So far apart are the bounds, at least, as a fraction: a twentieth of a per cent.
_LEAST_SPAN: Final = Decimal("0.0005")
_NICE_DAYS: Final = (1, 2, 7, 14, 21, 30, 60, 90, 180)


@attrs.frozen
class Rates:
    """The axis of the rates, from one round number to another. It need not begin at zero."""

    low: Decimal
    high: Decimal
    step: Decimal

    @classmethod
    def around(cls, rates: Iterable[Decimal]) -> Rates:
        """Return an axis on which all these have their place."""
        found = list(rates)
        low, high = min(found), max(found)
        if high - low < _LEAST_SPAN:
            # A yield is hardly ever below zero, and the axis need not be.
            bottom = low - _LEAST_SPAN / 2
            low, high = (max(bottom, Decimal(0)) if low >= 0 else bottom), high + _LEAST_SPAN / 2
        step = _nice((high - low) / _MOST_STEPS)
        return cls(
            (low / step).to_integral_value(ROUND_FLOOR) * step,
            (high / step).to_integral_value(ROUND_CEILING) * step,
            step,
        )

    @property
    def ticks(self) -> list[Decimal]:
        """The round numbers of the axis, the lowest first."""
        return [self.low + self.step * n for n in range(int((self.high - self.low) / self.step) + 1)]

    def label(self, rate: Decimal) -> str:
        """Write one of the round numbers as per cent, all of them with the same number of decimals."""
        return f"{rate.scaleb(2):.{max(2, -self.step.adjusted() - 2)}f} %"

    def place(self, rate: Decimal) -> Decimal:
        """Return where a rate lies, from 0 at the bottom to 1 at the top."""
        return (rate - self.low) / (self.high - self.low)


@attrs.frozen
class Days:
    """The axis of the days."""

    first: date
    last: date

    @classmethod
    def of(cls, found: Sequence[Apy]) -> Days:
        """Return the axis on which all these have their place."""
        days = [day_of(one) for one in found]
        return cls(min(days), max(days))

    def ticks(self, most: int) -> list[date]:
        """Return at most so many days that are evenly apart, the last of all among them, the earliest first."""
        span = (self.last - self.first).days
        step = next((step for step in _NICE_DAYS if span // step < most), max(span, 1))
        return [date.fromordinal(day) for day in range(self.last.toordinal(), self.first.toordinal() - 1, -step)][::-1]

    def place(self, day: date) -> Decimal:
        """Return where a day lies, from 0 at the left to 1 at the right."""
        span = (self.last - self.first).days
        return Decimal((day - self.first).days) / span if span else Decimal(1)


def day_of(one: Apy) -> date:
    """Return the day of a yield: the date, in UTC, of its 16:00 UTC."""
    return one.ts.date()


def runs(found: Iterable[Apy]) -> list[list[Apy]]:
    """Return the yields, the earliest first, cut where days are missing: no line is drawn over what nobody told."""
    result: list[list[Apy]] = []
    for one in sorted(found, key=lambda one: one.ts):
        if result and (day_of(one) - day_of(result[-1][-1])).days <= 1:
            result[-1].append(one)
        else:
            result.append([one])
    return result


def _nice(step: Decimal) -> Decimal:
    """Return the first of 1, 2, 5, 10, 20, … and their tenths that is not less."""
    unit = Decimal(1).scaleb(step.adjusted())
    return next(nice * unit for nice in _NICE if nice * unit >= step)
