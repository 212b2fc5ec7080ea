"""Printing on stdout: tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from okx_sol_async.cli.render._formatting import Plain

#: Between two columns.
_GAP: Final = 2
#: More columns than anything takes.
_WIDE: Final = 1000


@attrs.frozen
class Column:
    """One column of a table, with the text of each row."""

    name: str
    cells: Sequence[str]
    #: Whether it holds numbers, with or without a unit, which are aligned at their decimal points.
    numbers: bool = False
    #: The style of a cell, by its text.
    styles: dict[str, str] = attrs.field(factory=dict)

    def aligned(self) -> Column:
        """Return the same column with its decimal points and units aligned, if it holds numbers."""
        if not self.numbers:
            return self
        parts = [cell.partition(" ") for cell in self.cells]
        decimals = [len(value) - len(value.partition(".")[0]) for value, _, _ in parts]
        most, unit_width = max(decimals, default=0), max((len(unit) for _, _, unit in parts), default=0)
        cells = [
            f"{value}{' ' * (most - own)}{f' {unit:<{unit_width}}' if unit_width else ''}"
            for (value, _, unit), own in zip(parts, decimals, strict=True)
        ]
        width = max(map(len, cells), default=0)
        cells = [f"{cell:>{width}}" for cell in cells]
        return attrs.evolve(self, cells=cells)

    @property
    def width(self) -> int:
        """How many characters it takes."""
        return max(map(len, (self.name, *self.cells)))


def new_console() -> Console:
    """Return a console for stdout, as wide as the terminal, or as wide as is needed where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console


def width_of(console: Console, otherwise: int) -> int:
    """Return the width of the terminal, or the other one where there is none."""
    return otherwise if console.width == _WIDE else console.width


def write(text: str) -> None:
    """Write to stdout."""
    sys.stdout.write(text)


def render(console: Console, *renderables: RenderableType) -> None:
    """Write what rich makes of these."""
    with console.capture() as captured:
        console.print(*renderables, sep="\n")
    # rich would end the process by itself at a broken pipe.
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_fields(fields: Iterable[tuple[str, str, str]]) -> None:
    """Print names, numbers and their units below each other."""
    console = new_console()
    # A number is never cut, because it would be another number; the terminal breaks the line.
    console.width = _WIDE
    render(console, fields_table(fields))


def fields_table(fields: Iterable[tuple[str, str, str]]) -> Table:
    """Return a table of names, numbers and their units; long values are folded."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    rows = list(fields)
    width = max((len(value) for _, value, _ in rows), default=0)
    for name, value, unit in rows:
        table.add_row(name, f"{value:>{width}} {unit}".rstrip())
    return table


def print_table(columns: Sequence[Column], more: Sequence[Column] = ()) -> None:
    """Print a table; where it does not fit, print its rows below each other, one field a line.

    Args:
        columns: its columns, all of the same length.
        more: columns that are left out where there is no room for them.

    """
    console = new_console()
    for some in ([*columns, *more], columns):
        table = [column.aligned() for column in some]
        if sum(column.width for column in table) + _GAP * (len(table) - 1) <= console.width:
            render(console, _beside(table))
            return
    _print_below(console, [*columns, *more])


def _beside(columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.name, no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        styled = zip(columns, cells, strict=True)
        table.add_row(*(Text(cell, column.styles.get(cell, "")) for column, cell in styled))
    return table


def _print_below(console: Console, columns: Sequence[Column]) -> None:
    console.width = _WIDE
    for number, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        if number:
            write("\n")
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(no_wrap=True)
        for column, cell in zip(columns, cells, strict=True):
            if cell:
                table.add_row(column.name, Text(cell, column.styles.get(cell, "")))
        render(console, table)


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on a line, and flush it."""
    write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


class CsvPrinter:
    """Prints rows of CSV, after a line with their names."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(names)

    def print(self, row: Plain) -> None:
        """Print one row; what is `None` is left empty."""
        self._writer.writerow(["" if row[name] is None else row[name] for name in self._names])
