"""The lines that the benchmarks print."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@attrs.frozen
class Figure:
    """One measured figure, with its goal if it has one; smaller is better."""

    benchmark: str
    value: float
    #: What the value counts: ``"x a hand-signed aiohttp call"``.
    what: str
    #: The most that the value may be.
    goal: float | None = None
    #: How it came about.
    detail: str = ""
    #: Digits after the point.
    digits: int = 2

    @property
    def missed(self) -> bool:
        """Whether the value, as it is printed, is above the goal."""
        return self.goal is not None and round(self.value, self.digits) > self.goal

    def __str__(self) -> str:
        goal = "" if self.goal is None else f" (goal {self.goal:g})"
        return f"{self.benchmark:<8} {self.value:>7.{self.digits}f} {self.what + goal:<58} {self.detail}".rstrip()


@attrs.frozen
class Note:
    """A line without a figure to judge."""

    text: str
    #: It has no goal.
    missed: bool = False

    def __str__(self) -> str:
        return f"         {self.text}".rstrip()


Line = Figure | Note


def as_json(lines: Iterable[Line]) -> str:
    """Return the figures, with the interpreter that they were measured on, as JSON."""
    figures = [attrs.asdict(line) | {"missed": line.missed} for line in lines if isinstance(line, Figure)]
    return json.dumps({"python": platform.python_version(), "figures": figures}, indent=2) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Note]:
    """Return the lines of a table; its first column is on the left, the others on the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield Note("  ".join([row[0].ljust(widths[0]), *cells]))
