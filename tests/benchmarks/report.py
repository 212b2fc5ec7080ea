"""The lines that the benchmarks print."""

from __future__ import annotations

import attrs


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
        return f"         {self.text}"


Line = Figure | Note
