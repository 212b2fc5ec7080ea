"""Run tests over a mutant, each in a process of its own: forked from one that has imported all that it needs."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import select
import signal
import sys
from collections import Counter
from collections.abc import Callable, Container, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final, NoReturn

# Their import is what a run of a few tests takes longest for.
import aiohttp  # noqa: F401
import cattrs  # noqa: F401
import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.mutants import Mutant, mutated
from tests.mutation.patching import Functions, RunsAtImport, changes, compiled, functions_of, patch
from tests.mutation.reached import FOLDERS, PACKAGE, ROOT, Measuring, Reach, keep, known, lines_of

#: The tests of these may see a mutant.
TESTS: Final = (*FOLDERS, "laws")
#: These run processes of their own, which are not mutated, or are about the project rather than its code.
NOT_RUN: Final = (
    "tests/laws/test_layers.py",
    "tests/laws/test_words.py",
    "tests/laws/test_diagrams.py",
    "tests/laws/test_money_page.py",
    "tests/laws/test_mutants_page.py",
    "tests/laws/test_money_after_a_crash.py",
    "tests/laws/test_reference.py",
    "tests/laws/test_scale.py",
    "tests/laws/test_scale_users.py",
    "tests/laws/test_assertions.py",
    "tests/laws/test_class_sizes.py",
    "tests/laws/test_design_page.py",
    "tests/laws/test_call_path.py",
    "tests/laws/test_helpers.py",
    "tests/ratelimit/shared/test_machines.py",
    "tests/test_checkup.py",
    "tests/test_public_names.py",
)
OPTIONS: Final = (
    *("-n", "0", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-profile=mutation"),
    # They are imported before pytest is.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *(f"--ignore={path}" for path in NOT_RUN),
    "--deselect=tests/laws/test_forks.py::test_worker_processes_work",
)
#: Seconds after which a test has hung, beside ten times what it takes without a mutant.
PATIENCE: Final = 4.0
IMPORT_PATIENCE: Final = 60.0
KILLED_BY: Final = "killed by "
SURVIVED: Final = "survived"
AT_IMPORT: Final = "changed at import"

# A failure is enough: it needs no shortest example.
settings.register_profile(
    "mutation",
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


class _Mutating(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of the package with a change."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = PACKAGE / mutant.path
        self.name = ".".join(("okx_sol_async", *Path(mutant.path).with_suffix("").parts))
        self.tree = tree_of(mutant)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compiled(self.tree, self.path), module.__dict__)  # noqa: S102 - our own code


class _Running:
    """A pytest plugin that runs some tests in an order, and ends the process when one fails."""

    def __init__(self, reaches: Sequence[Reach], report: int) -> None:
        self.reaches = reaches
        self.report = report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Write how long to wait for each test before it begins, and `survived` after the last."""
        items = {item.nodeid: item for item in session.items}
        present = [(items[reach.test], reach.seconds) for reach in self.reaches if reach.test in items]
        for (item, seconds), following in zip(present, [*present[1:], None], strict=True):
            self.say(f"{PATIENCE + 10 * seconds}")
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following and following[0])
        self.say(SURVIVED)
        os._exit(0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """End at the first failure."""
        if report.failed:
            self.say(f"{KILLED_BY}{report.nodeid}")
            os._exit(1)

    def say(self, message: str) -> None:
        """Write a line to who has forked this process."""
        os.write(self.report, f"{message}\n".encode())


class _Serving:
    """A pytest plugin that runs tests over one mutant after another, each in a fork of this process."""

    def __init__(self, mutants: Sequence[Mutant], seconds: float, asked: int, answers: int) -> None:
        self.mutants = mutants
        self.seconds = seconds
        self.asked = asked
        self.answers = answers
        # The tests that have killed a mutant: they kill its neighbours too.
        self.killers: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Read the numbers of mutants from a pipe, and write what came of them to another."""
        functions = functions_of(PACKAGE)
        with os.fdopen(self.asked) as numbers, os.fdopen(self.answers, "w") as answers:
            for number in iter(numbers.readline, ""):
                answers.write(f"{self.outcome(session, functions, self.mutants[int(number)])}\n")
                answers.flush()
        os._exit(0)

    def outcome(self, session: pytest.Session, functions: Functions, mutant: Mutant) -> str:
        """Return what came of a mutant, or `AT_IMPORT`."""
        reaches = reaching(mutant, self.seconds, self.killers)
        try:
            changed = changes(PACKAGE / mutant.path, tree_of(mutant))
        except RunsAtImport:
            return AT_IMPORT
        if not reaches or not changed or not functions[changed[0][0]]:
            return AT_IMPORT

        def run(report: int) -> None:
            patch(functions, changed)
            running = _Running(reaches, report)
            session.config.pluginmanager.register(running)
            running.pytest_runtestloop(session)

        outcome = outcome_of(run)
        self.killers.add(outcome.removeprefix(KILLED_BY))
        return outcome


class Runner:
    """Runs tests over mutants, those that change what runs at import in a process that imports the package anew."""

    def __init__(self, mutants: Sequence[Mutant], seconds: float) -> None:
        self.mutants = mutants
        self.seconds = seconds
        asked, self._asking = os.pipe()
        self._answers, answers = os.pipe()
        if not os.fork():
            os.close(self._asking)
            silent(lambda: pytest.main([*OPTIONS, *files()], plugins=[_Serving(mutants, seconds, asked, answers)]))
        os.close(asked)
        os.close(answers)

    def outcome(self, number: int) -> str:
        """Return `survived`, or what killed a mutant."""
        os.write(self._asking, f"{number}\n".encode())
        found = b""
        while not found.endswith(b"\n"):
            read = os.read(self._answers, 65536)
            if not read:
                message = "The process that runs the tests has ended."
                raise RuntimeError(message)
            found += read
        # What the import has made with a function is as it was when that is patched.
        if (outcome := found.decode().strip()) not in {AT_IMPORT, SURVIVED}:
            return outcome
        mutant = self.mutants[number]
        reaches = reaching(mutant, self.seconds, at_import=True)

        def run(report: int) -> None:
            silent(lambda: _imported(mutant, reaches, report))

        return outcome_of(run)


def _imported(mutant: Mutant, reaches: Sequence[Reach], report: int) -> None:
    """Import the package with a mutant, and run tests over it."""
    running = _Running(reaches, report)
    mutating = _Mutating(mutant)
    sys.meta_path.insert(0, mutating)
    try:
        # Before pytest puts its own finder in front, which takes the modules of each plugin's package.
        importlib.import_module(mutating.name)
    except Exception as error:  # noqa: BLE001 - the mutant decides
        running.say(f"killed by its import: {type(error).__name__}")
    else:
        paths = {reach.file: None for reach in reaches}
        status = pytest.main([*OPTIONS, *paths], plugins=[running])
        if status in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR}:
            running.say("killed by the import of a test or of its conftest")


def measure() -> None:
    """Find which lines each test runs, of the tests of which that is not known."""
    found = known()
    unknown = [path for path in files() if path not in {reach.file for reach in found}]
    if unknown:
        child = os.fork()
        if not child:

            def run() -> None:
                measuring = Measuring()
                pytest.main([*OPTIONS, *unknown], plugins=[measuring])
                keep([*found, *measuring.found()])

            silent(run)
        os.waitpid(child, 0)


def files() -> list[str]:
    """Return the files of the tests that may see a mutant."""
    paths = [path for folder in TESTS for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))]
    paths += sorted((ROOT / "tests").glob("test_*.py"))
    return [name for path in paths if (name := str(path.relative_to(ROOT))) not in NOT_RUN]


def reaching(mutant: Mutant, seconds: float, killers: Container[str] = (), *, at_import: bool = False) -> list[Reach]:
    """Return the tests that may see a mutant, up to these seconds.

    Those come first that have killed another one, then the module's own, and then the quickest of each file, its
    folder's before the others.
    """
    folder, name = f"tests/{Path(mutant.path).parent}/", Path(mutant.path).stem.removeprefix("_")
    lines = lines_of(mutant)
    found = [
        reach
        for reach in sorted(_known(), key=lambda reach: reach.seconds)
        if reach.reaches(mutant.path, lines)
        or (at_import and (reach.file.startswith(folder) or mutant.path in reach.lines))
    ]
    of_file: Counter[str] = Counter()
    order: dict[str, tuple[bool, bool, int]] = {}
    for reach in found:
        of_file[reach.file] += 1 if reach.file.startswith(folder) else 4
        is_own = reach.file.startswith(f"{folder}test_{name}")
        order[reach.test] = reach.test not in killers, not is_own, of_file[reach.file]
    found.sort(key=lambda reach: order[reach.test])
    taken: list[Reach] = []
    for reach in found:
        if reach.seconds < seconds:
            seconds -= reach.seconds
            taken.append(reach)
    return taken


@cache
def _known() -> list[Reach]:
    return known()


def tree_of(mutant: Mutant) -> ast.Module:
    """Return the module with its change."""
    return mutated((PACKAGE / mutant.path).read_text(encoding="utf-8"), mutant)


def silent(work: Callable[[], object]) -> NoReturn:
    """Do something without output in a process that was forked for it, and end that."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        work()
    finally:
        os._exit(1)


def outcome_of(work: Callable[[int], None]) -> str:
    """Fork a process that writes lines to a pipe, and return `survived`, or what killed it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            os.close(reading)
            work(writing)
        finally:
            os._exit(1)
    os.close(writing)
    outcome = _last_of(reading)
    os.close(reading)
    # Also the servers that a test has started.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return outcome


def _last_of(reading: int) -> str:
    """Return the last line from a pipe of a process that may end or hang."""
    patience, read = IMPORT_PATIENCE, b""
    while select.select([reading], [], [], patience)[0]:
        more = os.read(reading, 65536)
        if not more:
            return "killed: the process ended" if read else "NOT RUN"
        read += more
        last = read.decode().splitlines()[-1]
        if last.startswith((SURVIVED, "killed")):
            return last
        patience = float(last)
    return "killed: a test hung" if read else "NOT RUN"
