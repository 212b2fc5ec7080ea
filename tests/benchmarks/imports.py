"""The import time of the package over that of the libraries it stands on.

Each import is timed inside a fresh interpreter, and the two take turns. Compiled files are there before, as they are
on any machine where the package was imported once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GOAL = 1.05
ROUNDS = 15
LIBRARIES = "aiohttp, attrs, cattrs, aiolimiter"
PACKAGE = "okx_sol_async"
#: How many of our modules are shown.
SHOWN = 8
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


def run() -> Iterator[Line]:
    """Measure the ratio, then which modules come on top and what each costs by itself."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": cache, "PYTHONPATH": str(ROOT)}
        for what in (LIBRARIES, PACKAGE):  # compiles them
            _time_import(what, environment)
        pairs = []
        for number in range(ROUNDS):
            if number % 2:
                ours, libraries = _time_import(PACKAGE, environment), _time_import(LIBRARIES, environment)
            else:
                libraries, ours = _time_import(LIBRARIES, environment), _time_import(PACKAGE, environment)
            pairs.append((ours, libraries))
        own = _own_modules(environment)
    # Whatever else the machine does only adds to a time, so the least of each is the truest.
    ours, libraries = (min(side) for side in zip(*pairs, strict=True))
    yield Figure(
        "imports",
        ours / libraries,
        f"x importing {LIBRARIES}",
        GOAL,
        f"{ours:.0f} ms over {libraries:.0f} ms, the least of {ROUNDS} rounds",
    )
    yield Note(f"the libraries being there, {PACKAGE} takes {sum(own.values()):.1f} ms more, of which:")
    for name, cost in sorted(own.items(), key=lambda item: -item[1])[:SHOWN]:
        yield Note(f"{cost:6.1f} ms  {name}")


def _time_import(what: str, environment: Mapping[str, str]) -> float:
    """Return the milliseconds that an import takes in a fresh interpreter."""
    code = f"import time; began = time.perf_counter(); import {what}; print(time.perf_counter() - began)"
    return float(_python("-c", code, environment=environment).stdout) * 1e3


def _own_modules(environment: Mapping[str, str]) -> dict[str, float]:
    """Return the milliseconds that each module takes by itself which the libraries do not import, the least of five."""
    code = f"import {LIBRARIES}; print('import time: ours', file=__import__('sys').stderr); import {PACKAGE}"
    least: dict[str, float] = {}
    for _ in range(5):
        report = _python("-X", "importtime", "-c", code, environment=environment).stderr
        for alone, _total, _depth, name in _LINE.findall(report.partition("import time: ours")[2]):
            least[name] = min(int(alone) / 1e3, least.get(name, 1e9))
    return least


def _python(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
