"""The APY as a plot of characters.

It is drawn with braille patterns, whose eight dots per character make a fine line, or with asterisks where the output
has no Unicode. plotille was tried: it labels every row with an uneven number, and its dates are 17 or 18 days apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_DOWN, Decimal
from typing import Final

import attrs

from okx_sol_async.cli.render._apy_axes import DayAxis, RateAxis, day_of, runs, summary
from okx_sol_async.cli.render._formatting import percent
from okx_sol_async.models import Apy

#: Rows of the plot, about.
_HEIGHT: Final = 14
#: The bits of a braille pattern, by column and row of its dots.
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK: Final = 0x2800
_COLUMNS, _ROWS = len(_DOTS), len(_DOTS[0])
#: The row of dots, in its row of characters, on which a round number lies: where the tick is drawn.
_TICK_DOT: Final = 1
_DATE_WIDTH: Final = len("2026-11-22")
#: The least columns between the middles of two dates.
_MIN_SPACING: Final = _DATE_WIDTH + 2


@attrs.frozen
class _Characters:
    """The characters of the axes."""

    side: str
    tick: str
    corner: str
    bottom: str
    mark: str


_UNICODE: Final = _Characters("│", "┤", "└", "─", "┬")
_ASCII: Final = _Characters("|", "+", "+", "-", "+")


def plot(found: Sequence[Apy], *, width: int, unicode: bool) -> list[str]:
    """Return the lines of a plot with its axes and the lowest, highest and latest yield.

    Args:
        found: the yields.
        width: the most characters of a line; the plot has at least one labelled day.
        unicode: `False` draws with ASCII only.

    """
    if not found:
        return ["OKX reports no APY for these days"]
    first, last = min(found, key=lambda one: one.ts), max(found, key=lambda one: one.ts)
    if first == last:
        return [f"APY of {day_of(first)}: {percent(first.rate)}"]
    return [
        *_joined(["APY of SOL staking", f"{day_of(first)} to {day_of(last)}"], width),
        "",
        *_drawn(found, width, _UNICODE if unicode else _ASCII),
        "",
        *_joined([f"{name} {percent(one.rate)} on {day_of(one)}" for name, one in summary(found)], width),
    ]


def _joined(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts on one line if it is wide enough, else on a line each."""
    line = ", ".join(parts)
    return [line] if len(line) <= width else list(parts)


def _drawn(found: Sequence[Apy], width: int, lines: _Characters) -> Iterator[str]:
    rates = RateAxis.of(found)
    labels = [rates.label(tick) for tick in rates.ticks]
    margin = max(map(len, labels)) + 2
    # The last date stands in the middle below the last day.
    room = max(width - margin - 1 - _DATE_WIDTH // 2, _DATE_WIDTH // 2)
    days = DayAxis.of(found, width=room, min_spacing=_MIN_SPACING)
    rows_per_step = max(_HEIGHT // rates.steps, 2)
    canvas = _Canvas(_column(days.width) + 1, rates.steps * rows_per_step + 1)
    for run in runs(found):
        points = [canvas.dot(days.place(day_of(one)), rates.place(one.rate) * rows_per_step) for one in run]
        for begin, end in zip(points, points[1:] or points, strict=False):
            canvas.line(begin, end)
    for row, line in enumerate(canvas.rows(unicode=lines is _UNICODE)):
        from_top, between = divmod(row, rows_per_step)
        label = "" if between else labels[-1 - from_top]
        yield f"{label:>{margin - 1}} {lines.side if between else lines.tick}{line}".rstrip()
    yield from _day_axis(days, canvas.width, margin, lines)


def _day_axis(days: DayAxis, width: int, margin: int, lines: _Characters) -> Iterator[str]:
    """Draw the axis of the days, with each date in the middle below its day."""
    marks, names = [lines.bottom] * width, ""
    for day in days.ticks:
        column = _column(days.place(day))
        marks[column] = lines.mark
        begin = margin + 1 + column - _DATE_WIDTH // 2
        names = f"{names:<{begin}}{day}"
    yield f"{' ' * margin}{lines.corner}{''.join(marks)}"
    yield names


class _Canvas:
    """Characters of eight dots each."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self._height = height
        self._cells = [[0] * width for _ in range(height)]

    def dot(self, column: Decimal, row: Decimal) -> tuple[int, int]:
        """Return the dot of a place: columns from the left, and rows from the lowest tick up."""
        x = _dot(column)
        y = ((self._height - 1 - row) * _ROWS).to_integral_value() + _TICK_DOT
        return x, int(y)

    def line(self, begin: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a line from one dot to another."""
        (x, y), (to_x, to_y) = begin, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            self._set(_between(x, to_x, step, steps), _between(y, to_y, step, steps))

    def _set(self, x: int, y: int) -> None:
        self._cells[y // _ROWS][x // _COLUMNS] |= _DOTS[x % _COLUMNS][y % _ROWS]

    def rows(self, *, unicode: bool) -> Iterator[str]:
        """Return the rows of characters, from the top down."""
        for row in self._cells:
            if unicode:
                yield "".join(chr(_BLANK + cell) if cell else " " for cell in row)
            else:
                yield "".join("*" if cell else " " for cell in row)


def _dot(place: Decimal) -> int:
    """Return the column of dots nearest to a place in columns of characters."""
    return int((place * _COLUMNS).to_integral_value(ROUND_HALF_DOWN))


def _column(place: Decimal) -> int:
    """Return the column of characters in which that dot lies."""
    return _dot(place) // _COLUMNS


def _between(begin: int, end: int, step: int, steps: int) -> int:
    """Return the whole number nearest to ``step`` of ``steps`` equal parts between two numbers."""
    return (2 * (begin * (steps - step) + end * step) + steps) // (2 * steps)
