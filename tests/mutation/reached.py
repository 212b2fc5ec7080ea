"""Which lines of the package each test runs, and how long it takes."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from functools import cache
from pathlib import Path
from typing import Final

import attrs
import coverage
import pytest

from tests.mutation.mutants import Mutant

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "okx_sol_async"
#: What is mutated.
FOLDERS: Final = ("signing", "codec", "ratelimit", "transport", "staking")
#: Kept by file of tests, for as long as neither it nor a module that it runs changes.
FILE: Final = ROOT / ".pytest_cache" / "mutation.json"


@attrs.frozen
class Reach:
    """What one test runs."""

    test: str
    seconds: float
    #: By module, the number whose bits are the lines.
    lines: dict[str, int]

    @property
    def file(self) -> str:
        """The file of the test."""
        return self.test.partition("::")[0]

    def reaches(self, path: str, lines: int) -> bool:
        """Return whether it runs one of these lines."""
        return bool(self.lines.get(path, 0) & lines)


def known() -> list[Reach]:
    """Return what is known of the tests and still true."""
    kept: dict[str, dict[str, dict[str, object]]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return [
        Reach(test, seconds, lines)
        for file, found in kept.items()
        if all(_digest(ROOT / path) == digest for path, digest in found["digests"].items())
        for test, seconds, lines in found["tests"]
    ]


def keep(reaches: Iterable[Reach]) -> None:
    """Remember what was found for the next time."""
    files: dict[str, list[Reach]] = defaultdict(list)
    for reach in reaches:
        files[reach.file].append(reach)
    kept = {
        file: {
            "digests": {
                path: _digest(ROOT / path)
                for path in {file, *(f"okx_sol_async/{name}" for reach in found for name in reach.lines)}
            },
            "tests": [attrs.astuple(reach) for reach in found],
        }
        for file, found in files.items()
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(kept))


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


class Measuring:
    """A pytest plugin that finds what each test runs."""

    def __init__(self) -> None:
        self.coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[f"{PACKAGE / folder}/*" for folder in FOLDERS]
        )
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_collection_finish(self) -> None:
        """Begin when everything is imported."""
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Have the lines of one test for itself."""
        self.coverage.switch_context(item.nodeid)
        began = time.monotonic()
        result = yield
        self.seconds[item.nodeid] = time.monotonic() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave out a test that fails, or is skipped, without a mutant."""
        if not report.passed:
            self.failed.add(report.nodeid)

    def found(self) -> list[Reach]:
        """Return what each test runs."""
        self.coverage.stop()
        data = self.coverage.get_data()
        lines: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for file in data.measured_files():
            path = str(Path(file).relative_to(PACKAGE))
            for line, tests in data.contexts_by_lineno(file).items():
                for test in tests:
                    lines[test][path] |= 1 << line
        return [
            Reach(test, seconds, dict(lines[test])) for test, seconds in self.seconds.items() if test not in self.failed
        ]


@cache
def _statements(path: str) -> list[ast.stmt]:
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def lines_of(mutant: Mutant) -> int:
    """Return the lines of the statement that is changed, without the statements inside it."""
    around = [node for node in _statements(mutant.path) if node.lineno <= mutant.line <= (node.end_lineno or 0)]
    lines: set[int] = set()
    for statement in around:
        # From the outermost to the innermost.
        lines = set(_span(statement))
        for inner in ast.walk(statement):
            if isinstance(inner, ast.stmt) and inner is not statement:
                lines -= set(_span(inner))
    return sum(1 << line for line in lines)


def _span(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
