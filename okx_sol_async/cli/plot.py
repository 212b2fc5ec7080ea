"""The APY as a plot of characters.

It is drawn with braille patterns, whose eight dots make a line four times as fine as the rows of a terminal; with
asterisks where the output cannot tell them. What libraries there are either take floats and have no axis of days, or
are untyped and take a second to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import attrs

from okx_sol_async.cli.axes import Days, Rates, day_of, runs
from okx_sol_async.cli.forms import percent
from okx_sol_async.models import Apy

#: The bits of a braille pattern, by column and row of its dots.
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK: Final = 0x2800
_COLUMNS, _ROWS = len(_DOTS), len(_DOTS[0])
_LEAST_WIDTH: Final = 12
#: Between two dates below the axis.
_GAP: Final = 3
_LENGTH_OF_DATE: Final = 10


@attrs.frozen
class _Frame:
    """What the axes are drawn with."""

    side: str
    tick: str
    corner: str
    bottom: str
    mark: str


_LINES: Final = _Frame("│", "┤", "└", "─", "┬")
_ASCII: Final = _Frame("|", "+", "+", "-", "+")


def plot(found: Sequence[Apy], *, width: int, height: int, unicode: bool) -> list[str]:
    """Return the lines of a plot with its axes, and what it tells in words.

    Args:
        found: the yields.
        width: how many characters a line may have; a very narrow plot is wider.
        height: how many lines the plot has without its axis.
        unicode: `False` draws with ASCII only.

    """
    if not found:
        return ["no APY is told"]
    first, last = min(found, key=lambda one: one.ts), max(found, key=lambda one: one.ts)
    if first == last:
        return [f"APY of {day_of(first)}: {percent(first.rate)}"]
    return [
        *_beside(["APY of SOL staking", f"{day_of(first)} to {day_of(last)}"], width),
        "",
        *_drawn(found, width, height, unicode=unicode),
        "",
        *_told(found, width),
    ]


def _told(found: Sequence[Apy], width: int) -> list[str]:
    """Return the latest, the lowest and the highest yield."""
    # Of several equal ones, the latest is named.
    newest_first = sorted(found, key=lambda one: one.ts, reverse=True)
    told = [
        (name, percent(one.rate), day_of(one))
        for name, one in (
            ("latest", newest_first[0]),
            ("lowest", min(newest_first, key=lambda one: one.rate)),
            ("highest", max(newest_first, key=lambda one: one.rate)),
        )
    ]
    return _beside([f"{name} {rate} on {day}" for name, rate, day in told], width)


def _beside(parts: Sequence[str], width: int) -> list[str]:
    """Return them on one line if there is room, and else below each other."""
    line = ", ".join(parts)
    return [line] if len(line) <= width else list(parts)


def _drawn(found: Sequence[Apy], width: int, height: int, *, unicode: bool) -> Iterator[str]:
    frame = _LINES if unicode else _ASCII
    rates, days = Rates.around(one.rate for one in found), Days.of(found)
    canvas = _Canvas(1, height)
    labels = {canvas.row_of(rates.place(tick)): rates.label(tick) for tick in rates.ticks}
    margin = max(map(len, labels.values())) + 1
    canvas = _Canvas(max(width - margin - 1, _LEAST_WIDTH), height)
    for run in runs(found):
        points = [canvas.dot(days.place(day_of(one)), rates.place(one.rate)) for one in run]
        for begin, end in zip(points, points[1:] or points, strict=False):
            canvas.line(begin, end)
    for row, line in enumerate(canvas.lines(unicode=unicode)):
        label = labels.get(row, "")
        yield f"{label:>{margin - 1}} {frame.tick if label else frame.side}{line}".rstrip()
    yield from _axis_of(days, canvas, frame, margin)


def _axis_of(days: Days, canvas: _Canvas, frame: _Frame, margin: int) -> Iterator[str]:
    ticks = days.ticks(max(canvas.width // (_LENGTH_OF_DATE + _GAP), 1))
    marks = [frame.bottom] * canvas.width
    names = [" "] * (margin + 1 + canvas.width)
    free_from = 0
    for day in ticks:
        column = canvas.column_of(days.place(day))
        marks[column] = frame.mark
        begin = _begin_of_name(margin + 1 + column, len(names))
        if begin >= free_from:
            names[begin : begin + _LENGTH_OF_DATE] = day.isoformat()
            free_from = begin + _LENGTH_OF_DATE + 1
    yield f"{' ' * margin}{frame.corner}{''.join(marks)}"
    yield "".join(names).rstrip()


def _begin_of_name(column: int, width: int) -> int:
    """Return where a date begins that stands in the middle below a column, as far as there is room."""
    return max(0, min(column - _LENGTH_OF_DATE // 2, width - _LENGTH_OF_DATE))


class _Canvas:
    """Characters of eight dots each."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self._height = height
        self._cells = [[0] * width for _ in range(height)]

    def dot(self, x: Decimal, y: Decimal) -> tuple[int, int]:
        """Return the column and row of the dot at a place; 0, 0 is at the left and the bottom."""
        return (
            int((x * (self.width * _COLUMNS - 1)).to_integral_value()),
            int(((1 - y) * (self._height * _ROWS - 1)).to_integral_value()),
        )

    def column_of(self, x: Decimal) -> int:
        """Return the column of characters of a place."""
        return self.dot(x, Decimal(0))[0] // _COLUMNS

    def row_of(self, y: Decimal) -> int:
        """Return the row of characters of a place."""
        return self.dot(Decimal(0), y)[1] // _ROWS

    def line(self, begin: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a line from one dot to another."""
        (x, y), (to_x, to_y) = begin, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            self._set(_between(x, to_x, step, steps), _between(y, to_y, step, steps))

    def _set(self, x: int, y: int) -> None:
        self._cells[y // _ROWS][x // _COLUMNS] |= _DOTS[x % _COLUMNS][y % _ROWS]

    def lines(self, *, unicode: bool) -> Iterator[str]:
        """Return the rows of characters, from the top down."""
        for row in self._cells:
            if unicode:
                yield "".join(chr(_BLANK + cell) if cell else " " for cell in row)
            else:
                yield "".join("*" if cell else " " for cell in row)


def _between(begin: int, end: int, step: int, steps: int) -> int:
    """Return the whole number nearest to so many steps of all from one number to another."""
    return (2 * (begin * (steps - step) + end * step) + steps) // (2 * steps)
