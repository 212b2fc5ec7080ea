"""Whether what is said of purchases and redemptions is true, over many random programs.

Each program purchases and redeems equal and unequal amounts through several keys and sessions of one user: gathered, in
task groups, cancelled at any step, identified at any time, with responses and requests that are lost, late or refused, and
in half of the programs with a history that is late by up to nine seconds. It runs against the emulator over real sockets,
on a virtual clock; the emulator's book knows what happened.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.benchmarks.report import Figure, Line, Note
from tests.support.money import Falsehood, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS: Final = 1_000
#: With ``--full``.
ALL_PROGRAMS: Final = 20_000
_PART: Final = 50


def run(*, full: bool = False) -> Iterator[Line]:
    """Run the programs of the seeds from 0 on, on all processors."""
    programs = ALL_PROGRAMS if full else PROGRAMS
    wrong: list[tuple[Falsehood, str]] = []
    outcomes: Counter[str] = Counter()
    ambiguous = 0
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        for found, counted, unclear in pool.map(_run_part, range(0, programs, _PART)):
            wrong += found
            outcomes += counted
            ambiguous += unclear
    resolved = sum(count for outcome, count in outcomes.items() if "resolved" in outcome)
    kinds = Counter(kind for kind, _ in wrong)
    for kind in Falsehood:
        yield Figure("money", kinds[kind], kind, 0, f"of {programs:,} programs", digits=0)
    yield Note(
        f"{outcomes.total():,} writes, of which {resolved:,} were resolved; of {ambiguous:,} of those, time alone cannot"
        " say which of several equal writes they were"
    )
    for kind, line in wrong[:10]:
        yield Note(f"{kind}: {line[:2000]}")


def _run_part(first: int) -> tuple[list[tuple[Falsehood, str]], Counter[str], int]:
    logging.disable()
    wrong: list[tuple[Falsehood, str]] = []
    outcomes: Counter[str] = Counter()
    ambiguous = 0
    for seed in range(first, first + _PART):
        verdict = run_program(seed)
        wrong += [(kind, f"seed {seed}: {line}") for kind, line in verdict.wrong]
        outcomes += verdict.outcomes
        ambiguous += verdict.ambiguous
    return wrong, outcomes, ambiguous
