"""Random schedules of calls, refusals, cancellations, deadlines and merges, checked against a model at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks.report import Figure, Line, Note
from tests.support.schedules import play

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW, MANY = 2_000, 100_000
#: After how many schedules it says how far it is.
STEP: Final = 10_000


def run(*, full: bool = False) -> Iterator[Line]:
    """Play them and count what is wrong: a call that was overtaken, early or stuck."""
    number = MANY if full else FEW
    broken: list[str] = []
    for seed in range(number):
        broken += play(seed).broken
        if (seed + 1) % STEP == 0:
            yield Note(f"{seed + 1} schedules: {len(broken)} calls overtaken, early or stuck")
    yield Figure("schedules", len(broken), "calls overtaken, early or stuck", 0, f"{number} schedules", digits=0)
    yield from (Note(what) for what in broken[:10])
