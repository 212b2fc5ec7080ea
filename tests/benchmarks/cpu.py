"""The processor time of ``staking.balance()``, and of the cheapest program that promises the same, over that by hand."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tests.benchmarks import rounds
from tests.benchmarks.parts import part_lines
from tests.benchmarks.report import Figure, Line
from tests.benchmarks.rounds import BOUND, BY_HAND, OURS

if TYPE_CHECKING:
    from collections.abc import Iterator

GOAL = 1.00
ROUNDS = 41


def run() -> Iterator[Line]:
    """Measure the ratios, then what each part of a call takes."""
    measured = rounds.measure(rounds.Setting(kinds=(OURS, BY_HAND, BOUND), rounds=ROUNDS))
    yield ratio("cpu", "x a hand-signed aiohttp call", measured, GOAL)
    yield ratio("cpu", "x a hand-signed call, the cheapest that promises as much", measured, kind=BOUND)
    yield from part_lines()


def ratio(benchmark: str, what: str, measured: rounds.Rounds, goal: float | None = None, *, kind: str = OURS) -> Figure:
    """Return the median ratio to a call by hand, with how sure it is."""
    ratios = measured.ratios(kind)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    return Figure(
        benchmark,
        statistics.median(ratios),
        what,
        goal,
        f"{measured.us(kind):.0f} us over {measured.us(BY_HAND):.0f} us, {len(ratios)} rounds,"
        f" half within {low:.2f}-{high:.2f}, all within {ratios[0]:.2f}-{ratios[-1]:.2f}",
    )
