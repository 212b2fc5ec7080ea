"""What one balance costs in instructions, and a user in memory, against the figures of `baseline.json`.

Instructions are counted by valgrind, so the load of the machine changes nothing. They are divided by those of a call
that is signed by hand, because another interpreter, compiler or C library changes both; and a version of Python has a
baseline of its own.

`python -m tests.benchmarks.watched` accepts the figures of this commit as the baseline of this Python.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks import memory, parts
from tests.benchmarks.instructions import HAS_VALGRIND
from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.rounds import BY_HAND, OURS
from tests.benchmarks.server import light_server

if TYPE_CHECKING:
    from collections.abc import Iterator

BASELINE: Final = Path(__file__).with_name("baseline.json")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
#: A figure may be above its baseline by this factor. Repeated counts differ by 0.01 %, repeated sizes by 1 %.
TOLERANCE: Final = 1.02


def run() -> Iterator[Line]:
    """Compare each figure with its baseline, where there is one."""
    baseline = json.loads(BASELINE.read_text(encoding="utf-8")).get(PYTHON, {})
    yield from (_compared(name, value, baseline.get(name)) for name, value in _figures())
    if not HAS_VALGRIND:
        yield Note("valgrind is not on this machine, so no instructions were counted")


def _compared(name: str, value: float, before: float | None) -> Figure:
    goal = None if before is None else round(before * TOLERANCE, 3)
    detail = f"no baseline for Python {PYTHON}" if before is None else f"baseline {before:g}"
    return Figure("watched", value, name, goal, detail, digits=3)


def _figures() -> Iterator[tuple[str, float]]:
    if HAS_VALGRIND:
        with light_server() as url:
            counts = parts.count(url)
        yield "x the instructions of a hand-signed call", counts[OURS] / counts[BY_HAND]
    for line in memory.run():
        if isinstance(line, Figure):
            yield line.what, line.value


def main() -> None:
    """Accept the figures of now."""
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    baseline[PYTHON] = {name: round(value, 3) for name, value in _figures()}
    BASELINE.write_text(json.dumps(baseline, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
