"""What one balance costs in instructions, and a user in memory, against the figures of `baseline.json`.

Instructions are counted by valgrind, so the load of the machine changes nothing. Two runs with the same users differ in
the number of calls only: the difference is what the calls cost. It is divided by that of calls which are signed by hand,
because another interpreter, compiler or C library changes both; and a version of Python has a baseline of its own.

`python -m tests.benchmarks.watched` accepts the figures of this commit as the baseline of this Python.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from okx_sol_async import LocalLimiter, Session, SolStaking
from tests.benchmarks import memory
from tests.benchmarks.plain import balance_by_hand, make_credentials
from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.server import light_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
BASELINE: Final = Path(__file__).with_name("baseline.json")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
#: A figure may be above its baseline by this factor. Repeated counts differ by 0.01 %, repeated sizes by 1 %.
TOLERANCE: Final = 1.02
FEW, MANY = 50, 250
#: The clock of the loop goes so much slower that no bucket becomes idle during the calls.
SLOWER: Final = 10_000.0
OURS, BY_HAND = "ours", "by-hand"


def run() -> Iterator[Line]:
    """Compare each figure with its baseline, where there is one."""
    baseline = json.loads(BASELINE.read_text(encoding="utf-8")).get(PYTHON, {})
    yield from (_compared(name, value, baseline.get(name)) for name, value in _figures())
    if shutil.which("valgrind") is None:
        yield Note("valgrind is not on this machine, so no instructions were counted")


def _compared(name: str, value: float, before: float | None) -> Figure:
    goal = None if before is None else round(before * TOLERANCE, 3)
    detail = f"no baseline for Python {PYTHON}" if before is None else f"baseline {before:g}"
    return Figure("watched", value, name, goal, detail, digits=3)


def _figures() -> Iterator[tuple[str, float]]:
    if shutil.which("valgrind") is not None:
        yield "x the instructions of a hand-signed call", instructions(OURS) / instructions(BY_HAND)
    for line in memory.run():
        if isinstance(line, Figure):
            yield line.what, line.value


def instructions(kind: str) -> float:
    """Return how many instructions one balance takes."""
    return (_counted(kind, MANY) - _counted(kind, FEW)) / (MANY - FEW)


def _counted(kind: str, calls: int) -> int:
    """Return how many instructions a process executes that makes a number of calls."""
    with light_server() as url, tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
        tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        program = [sys.executable, "-m", "tests.benchmarks.watched", kind, str(calls), url]
        subprocess.run(  # noqa: S603 - our own code
            [*tool, f"--log-file={log.name}", *program],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            check=True,
        )
        found = re.search(r"I +refs: +([\d,]+)", log.read())
    assert found is not None, "valgrind printed no count"
    return int(found[1].replace(",", ""))


async def _call(kind: str, calls: int, url: str) -> None:
    """Let each of a number of users call once."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, memory.SlowableLoop)
    loop.set_speed(1 / SLOWER)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SLOWER)) as http,
        Session(base_url=url, limiter=LocalLimiter()) as session,
    ):
        users = [SolStaking(make_credentials(), session) for _ in range(MANY)]
        gc.disable()
        # The connections are there before.
        await users[0].balance()
        await balance_by_hand(http, url, users[0]._credentials)
        for user in users[:calls]:
            if kind == OURS:
                await user.balance()
            else:
                await balance_by_hand(http, url, user._credentials)


def main() -> None:
    """Make the calls that are counted, or accept the figures of now."""
    if len(sys.argv) > 1:
        kind, calls, url = sys.argv[1:]
        with asyncio.Runner(loop_factory=memory.SlowableLoop) as runner:
            runner.run(_call(kind, int(calls), url))
        return
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    baseline[PYTHON] = {name: round(value, 3) for name, value in _figures()}
    BASELINE.write_text(json.dumps(baseline, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
