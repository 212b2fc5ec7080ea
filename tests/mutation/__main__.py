"""Run the tests over mutants of the package, and exit with 1 when one survives that is not known to be equivalent.

`python -m tests.mutation codec/_envelope.py ratelimit/_window.py` mutates two modules, `python -m tests.mutation` all of
signing, codec, ratelimit, transport and staking; `--sample 100 --seed 1` a hundred mutants of them, chosen by that seed.
Each mutant has a process of its own, which runs the module's own tests, then those of its folder, then the laws, until
one fails. `--record` writes the outcome of each whole module to `outcomes.json`, and `--continue` leaves out the modules
that are there and have not changed since.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

# Their import is what a run of a few tests takes longest for; the package is imported by each process, mutated.
import aiohttp  # noqa: F401
import cattrs  # noqa: F401
import hypothesis  # noqa: F401
import pytest

from tests.mutation import outcomes
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, mutants_of, mutated

#: Seconds that each group of tests may take.
Patience = dict[tuple[str, ...], float]

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "okx_sol_async"
FOLDERS: Final = ("signing", "codec", "ratelimit", "transport", "staking")
#: Seconds after which the tests of a mutant have hung: at least so many, and a multiple of what they take without it.
PATIENCE: Final = 60
SLOWER: Final = 6
KILLED, SURVIVED = 0, 3
#: These run processes of their own, which are not mutated, or are about the project rather than its code.
NOT_RUN: Final = (
    "tests/laws/test_layers.py",
    "tests/laws/test_words.py",
    "tests/laws/test_diagrams.py",
    "tests/laws/test_money_page.py",
    "tests/laws/test_reference.py",
    "tests/laws/test_scale.py",
    "tests/laws/test_scale_users.py",
    "tests/ratelimit/shared/test_machines.py",
)

OPTIONS: Final = (
    *("-n", "0", "-x", "-q", "-p", "no:cacheprovider"),
    # It is imported before pytest is.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
    *(f"--deselect={path}" for path in NOT_RUN),
)


class _Mutating(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module of the package with a change."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = PACKAGE / mutant.path
        parts = ("okx_sol_async", *Path(mutant.path).with_suffix("").parts)
        self.name = ".".join(parts)
        self.tree: ast.Module = mutated(self.path.read_text(encoding="utf-8"), mutant)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)  # noqa: S102 - our own code


@cache
def _tested_elsewhere() -> dict[str, str]:
    """Return the table of `tests/laws/test_design_page.py`, without importing the package."""
    tree = ast.parse((ROOT / "tests/laws/test_design_page.py").read_text(encoding="utf-8"))
    (table,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TESTED_ELSEWHERE" and node.value
    ]
    found: dict[str, str] = ast.literal_eval(table)
    return found


def stages(mutant: Mutant, *, near: bool = False) -> Iterator[list[str]]:
    """Give the tests of a mutant, those first that are about its module; if ``near``, no others than its folder's."""
    folder, name = Path("tests", mutant.path).parent, Path(mutant.path).stem.removeprefix("_")
    own = sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).glob(f"test_{name}*.py"))
    if mutant.path in _tested_elsewhere():
        own.append(f"tests/{_tested_elsewhere()[mutant.path]}")
    if own:
        yield own
    yield [str(folder), *(f"--ignore={path}" for path in own)]
    if near:
        return
    others = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_session*.py")]
    yield ["tests/laws", *others, *(f"tests/{other}" for other in FOLDERS if not folder.match(f"tests/{other}"))]


def passes(tests: Sequence[str], mutant: Mutant | None, patience: float = 1800) -> bool:
    """Return whether tests pass over a mutant within a number of seconds, in a process of their own."""
    child = os.fork()
    if not child:
        status = pytest.ExitCode.INTERNAL_ERROR
        try:
            os.setsid()
            signal.alarm(int(patience))
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nothing, stream)
            if mutant is not None:
                mutating = _Mutating(mutant)
                sys.meta_path.insert(0, mutating)
                # Before pytest puts its own finder in front, which takes the modules of each plugin's package.
                importlib.import_module(mutating.name)
            status = pytest.ExitCode(pytest.main([*OPTIONS, *tests]))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in {pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR} and mutant is None:
        message = f"pytest cannot run {' '.join(tests)}"
        raise RuntimeError(message)
    return status in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}


def start(mutant: Mutant, patience: Patience, *, near: bool) -> int:
    """Fork a process for a mutant, and return its number."""
    child = os.fork()
    if not child:
        survived = False
        try:
            survived = all(passes(tests, mutant, patience[tuple(tests)]) for tests in stages(mutant, near=near))
        finally:
            os._exit(SURVIVED if survived else KILLED)
    return child


def run(mutants: Sequence[Mutant], jobs: int, patience: Patience, *, near: bool) -> Iterator[tuple[Mutant, bool]]:
    """Give each mutant and whether all tests pass over it, as that is found."""
    waiting, running = list(reversed(mutants)), dict[int, Mutant]()
    done = 0
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[start(mutant, patience, near=near)] = mutant
        child, status = os.wait()
        mutant = running.pop(child)
        done += 1
        survived = os.WIFEXITED(status) and os.WEXITSTATUS(status) == SURVIVED
        print(f"{done}/{len(mutants)} {'SURVIVED' if survived else 'killed'}  {mutant}", flush=True)
        yield mutant, survived


def measured(mutants: Sequence[Mutant], *, near: bool) -> Patience:
    """Run the tests of the mutants without one, and return how long each group may take; raise when one fails."""
    patience: Patience = {}
    for mutant in {mutant.path: mutant for mutant in mutants}.values():
        for tests in stages(mutant, near=near):
            if tuple(tests) not in patience:
                began = time.monotonic()
                if not passes(tests, None):
                    message = f"These tests fail without a mutant: {' '.join(tests)}"
                    raise SystemExit(message)
                patience[tuple(tests)] = PATIENCE + SLOWER * (time.monotonic() - began)
    return patience


def chosen(paths: Sequence[str], sample: int | None, seed: int) -> list[Mutant]:
    """Return the mutants of the modules, or a sample of them."""
    found = [Path(path) for path in paths] or [
        path.relative_to(PACKAGE) for folder in FOLDERS for path in sorted((PACKAGE / folder).rglob("*.py"))
    ]
    mutants = [
        mutant for path in found for mutant in mutants_of(str(path), (PACKAGE / path).read_text(encoding="utf-8"))
    ]
    return mutants if sample is None else random.Random(seed).sample(mutants, min(sample, len(mutants)))


def main() -> int:
    """Run the tests over the mutants, and print the survivors."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="path", help="modules, from the folder of the package")
    parser.add_argument("--sample", type=int, help="how many mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--near", action="store_true", help="run the tests of the module's folder only")
    parser.add_argument("--record", action="store_true", help="write the outcome of each module to outcomes.json")
    parser.add_argument("--continue", action="store_true", dest="go_on", help="leave out the modules recorded there")
    arguments = parser.parse_args()
    mutants = chosen(arguments.paths, arguments.sample, arguments.seed)
    if arguments.go_on:
        recorded = outcomes.up_to_date(PACKAGE)
        mutants = [mutant for mutant in mutants if mutant.path not in recorded]
    known = [mutant for mutant in mutants if (mutant.path, mutant.text, mutant.change) in EQUIVALENT]
    to_run = [mutant for mutant in mutants if mutant not in known]
    patience = measured(to_run, near=arguments.near)
    alive: list[Mutant] = []
    left = Counter(mutant.path for mutant in to_run)
    for mutant, survived in run(to_run, arguments.jobs, patience, near=arguments.near):
        if survived:
            alive.append(mutant)
        left[mutant.path] -= 1
        if arguments.record and not left[mutant.path]:
            outcomes.record(
                PACKAGE, mutant.path, [found for found in mutants if found.path == mutant.path], known, alive
            )
    print(f"{len(mutants)} mutants, {len(known)} of them known to be equivalent; {len(alive)} survived:")
    for mutant in alive:
        print(mutant)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
