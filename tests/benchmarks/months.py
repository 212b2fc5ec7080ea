"""Months of a service in which everything goes wrong now and then, and the laws that held.

Bots, services, callers who give up, a network and an exchange with faults of every kind, and clocks that jump: the
real client and the real emulator on a virtual clock, see tests/simulation. Each seed is one world of a day.

Run one again with ``python -m tests.benchmarks.months --seed N``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

import attrs

from tests.benchmarks.report import Figure, Line, Note
from tests.simulation.life import STORM, Habits
from tests.simulation.run import WorldReport, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Worlds, each of a day.
WORLDS: Final = 90
WORLDS_IN_FULL: Final = 365
A_DAY: Final = Habits(days=1.0)
#: The most broken laws that are listed one by one.
_SHOWN: Final = 10


def run(*, full: bool = False) -> Iterator[Line]:
    """Run the worlds, several at a time, and say what came of all of them."""
    worlds = WORLDS_IN_FULL if full else WORLDS
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        reports = list(pool.map(_one_day, range(1, worlds + 1)))
    yield from _lines(reports, time.perf_counter() - began)


def _one_day(seed: int) -> WorldReport:
    return simulate(seed, A_DAY)


def _lines(reports: list[WorldReport], seconds: float) -> Iterator[Line]:
    calls = sum(one.calls for one in reports)
    outcomes: Counter[str] = Counter()
    harms: Counter[str] = Counter()
    for one in reports:
        outcomes.update(one.outcomes)
        harms.update(one.harms)
    days = sum(one.days for one in reports)
    own = outcomes.pop("by its caller", 0)
    answered = outcomes.pop("answered", 0)
    seeds = f"seeds {reports[0].seed} to {reports[-1].seed}" if len(reports) > 1 else f"seed {reports[0].seed}"
    yield Note(f"{days:.1f} days in {seconds:.0f} s, {seeds}")
    yield _figure(calls, "calls", detail=f"{answered} answered, {own} ended by their callers")
    yield _figure(sum(one.healed for one in reports), "healed: answered after something had gone wrong")
    by_class = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
    yield _figure(sum(one.named for one in reports), "named: ended with an OKXError", detail=by_class)
    for goal, what in (
        (sum(one.lost for one in reports), "lost: never ended, or with another error"),
        (sum(one.leaked for one in reports), "leaked"),
        (sum(len(one.broken) for one in reports), "laws broken"),
    ):
        yield _figure(goal, what, goal=0)
    slowest = max(reports, key=lambda one: one.slowest)
    yield Figure(
        "months",
        slowest.slowest,
        "s took the slowest call",
        detail=f"seed {slowest.seed}: {slowest.slowest_call}",
        digits=1,
    )
    yield Note(f"what went wrong: {', '.join(f'{count} {name}' for name, count in harms.most_common())}")
    broken = [(one.seed, law) for one in reports for law in one.broken]
    for seed, law in broken[:_SHOWN]:
        yield Note(f"seed {seed}: {law}")


def _figure(count: int, what: str, goal: float | None = None, detail: str = "") -> Figure:
    return Figure("months", count, what, goal=goal, detail=detail, digits=0)


def main() -> int:
    """Run the world of one seed again."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.months", description=main.__doc__)
    parser.add_argument("--seed", type=int, required=True, help="which world")
    parser.add_argument("--days", type=float, default=A_DAY.days, help="how long it lasts")
    parser.add_argument("--storm", action="store_true", help="a world of the test suite: shorter, and worse")
    arguments = parser.parse_args()
    habits = STORM if arguments.storm else attrs.evolve(A_DAY, days=arguments.days)
    reports = simulate(arguments.seed, habits)
    for line in _lines([reports], reports.seconds):
        print(line)
    print(Note(f"digest {reports.digest}"))
    return 1 if reports.broken or reports.lost else 0


if __name__ == "__main__":
    sys.exit(main())
