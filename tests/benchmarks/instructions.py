"""How many instructions calls take, counted by callgrind: the load of the machine changes nothing.

The program that is counted runs under valgrind and marks where each count begins and ends. It marks by asking for the
load of the machine, which nothing else does: callgrind writes what it has counted so far whenever libc is asked for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import count as count_from
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from tests.benchmarks.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

_MARK: Final = os.getloadavg
_TOOL: Final = ("valgrind", "--tool=callgrind", "--dump-before=getloadavg")
#: Calls that are made before any is counted: connections are opened, and the interpreter specializes its code.
WARM_UP: Final = 30
#: The clock of the loop goes so much slower that no bucket becomes idle during the calls.
_SLOWER: Final = 10_000.0

HAS_VALGRIND: Final = shutil.which("valgrind") is not None


class SlowLoop(asyncio.SelectorEventLoop):
    """An event loop for calls that take a hundred times as long under valgrind."""

    def time(self) -> float:
        return time.monotonic() / _SLOWER


def count(module: str, *arguments: str) -> dict[str, float]:
    """Return the instructions of each piece that the program ``module`` counts by `count_calls`."""
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.run(  # noqa: S603 - our own code
            [*_TOOL, f"--callgrind-out-file={folder}/out", sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout
        # Each piece has two marks, and what was counted between them is written at the second.
        numbers = count_from(2, 2)
        lines = (line.rsplit(" ", 1) for line in output.splitlines())
        return {name: _total(Path(folder, f"out.{next(numbers)}")) / int(calls) for name, calls in lines}


def _total(profile: Path) -> int:
    found = re.search(r"^totals: (\d+)$", profile.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, "callgrind wrote no total"
    return int(found[1])


async def count_calls(name: str, call: Callable[[T], Awaitable[object]], users: Sequence[T]) -> None:
    """Count what a call takes for each of ``users`` but for the first ones."""
    for user in users[:WARM_UP]:
        await call(user)
    print(name, len(users) - WARM_UP)
    _MARK()
    for user in users[WARM_UP:]:
        await call(user)
    _MARK()
