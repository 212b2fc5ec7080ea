"""Refusals, used share and waits of our bucket beside other limiters, on a virtual clock.

Callers without pause send 5,000 calls a cell, with ``--full`` 100,000. Each server counts in its own way; the ways
there and back take 25 ms and a chance time up to J each. A cell holds per cent refused / per cent of 6 a second used.
In the last three J is 20 ms: "far" takes 100 ms instead of 25, with "late" one message in a hundred is 0.2 to 1 s late,
and with "detour" it is 100 instead of 25 ms in every other five minutes.
"""

from __future__ import annotations

import asyncio
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final, Literal

import attrs

from okx_sol_async import TokenBucket
from tests.benchmarks.report import Figure, Line, Note, table
from tests.benchmarks.rivals import RIVALS, has_ccxt
from tests.benchmarks.simulation import (
    FOUR,
    LIMIT,
    REQUESTS,
    SERVERS,
    WAYS,
    Judged,
    Way,
    arrival_times,
    arrive,
    judge,
    saturate,
    sending_times,
)
from tests.support.virtual_time import run as run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.benchmarks.simulation import Arrival

    Lead = float | Literal["adaptive"]

CALLS: Final = 5_000
CALLS_IN_FULL: Final = 100_000
OURS: Final[dict[str, Lead]] = {"ours, lead=0": 0.0, 'ours, lead="adaptive"': "adaptive"}
#: Servers of which the window law speaks.
BY_LAW: Final = ("sliding log", "fixed window", "token bucket")
#: Seconds that a limiter rests before its waits are measured.
REST: Final = 60.0

Cells = dict[tuple[str, str, str], Judged]


@attrs.frozen
class Waits:
    """Seconds that calls wait in a limiter that was used and has rested since."""

    lone: float
    last_of_six: float


def run(*, full: bool = False) -> Iterator[Line]:
    """Print a table for each server, one of the waits, and the figures that have goals."""
    calls = CALLS_IN_FULL if full else CALLS
    began = time.perf_counter()
    rivals = [name for name in RIVALS if name != "ccxt" or has_ccxt()]
    if "ccxt" not in rivals:
        yield Note("without ccxt, which is not installed; to have it beside the others: pip install ccxt")
    cells: Cells = {}
    with ProcessPoolExecutor() as pool:
        # The slowest first: ccxt looks at the clock a thousand times a second.
        jobs = [pool.submit(judge_rival, name, calls) for name in reversed(rivals)]
        jobs += [pool.submit(judge_ours, name, way, calls) for name in OURS for way in WAYS]
        for job in jobs:
            cells.update(job.result())
    names = [*OURS, *rivals]
    yield Note(f"{calls} calls a cell, Python {platform.python_version()}, {time.perf_counter() - began:.0f} s")
    for server in FOUR:
        yield Note("")
        rows = [[name, *(str(cells[name, server, way.name]) for way in WAYS)] for name in names]
        yield from table([server, *(way.name for way in WAYS)], rows)
    yield Note("")
    waits = {name: measure_waits(name) for name in names}
    rows = [[name, f"{wait.lone:.3f}", f"{wait.last_of_six:.3f}"] for name, wait in waits.items()]
    yield from table(["seconds of waiting", "lone call", "last of six"], rows)
    yield from _figures(cells, waits)


def _figures(cells: Cells, waits: dict[str, Waits]) -> Iterator[Figure]:
    for name, lead in OURS.items():
        by_law = [cells[name, server, way.name] for server in BY_LAW for way in WAYS]
        refused, calls = sum(cell.refused for cell in by_law), sum(cell.calls for cell in by_law)
        detail = f"{calls} calls, {', '.join(BY_LAW)}"
        if lead == 0:
            yield Figure("limits", refused, f"refusals, {name}", 0, detail, digits=0)
        else:
            yield Figure("limits", refused / calls * 1e5, f"refusals in 100,000, {name}", 10, detail)
        yield Figure("limits", 1e3 * waits[name].lone, f"ms that a lone call waits, {name}", 0)
        yield Figure("limits", 1e3 * waits[name].last_of_six, f"ms that the last of six waits, {name}", 0)


def judge_rival(name: str, calls: int) -> Cells:
    """Fill the cells of a limiter that does not look at responses, from one stream of calls."""

    async def send() -> list[float]:
        return await sending_times(RIVALS[name](), calls)

    sent = run_virtual(send())
    cells: Cells = {}
    for way in WAYS:
        times = arrival_times(sent, way)
        for server in FOUR:
            cells[name, server, way.name] = judge(arrive(times, server))
    return cells


def judge_ours(name: str, way: Way, calls: int) -> Cells:
    """Fill the cells of our bucket for one way.

    A server that refuses nothing has no influence, so it judges a run without refusals; any other has its own run.
    """
    times = [at for at, _ in _run_ours(name, way, lambda _: True, calls)]
    cells: Cells = {}
    for server in FOUR:
        arrivals = arrive(times, server)
        if not all(accepted for _, accepted in arrivals):
            arrivals = _run_ours(name, way, SERVERS[server](server).accept, calls)
        cells[name, server, way.name] = judge(arrivals)
    return cells


def _run_ours(name: str, way: Way, accept: Callable[[float], bool], calls: int) -> list[Arrival]:
    return run_virtual(saturate(TokenBucket(LIMIT, lead=OURS[name]), way, accept, calls))


def measure_waits(name: str) -> Waits:
    """Measure a lone call and a burst of six."""
    return run_virtual(_measure_waits(name))


async def _measure_waits(name: str) -> Waits:
    loop = asyncio.get_running_loop()
    acquire = _acquire_ours(OURS[name]) if name in OURS else RIVALS[name]()

    async def wait(calls: int) -> float:
        """Return how long the last of a number of calls waits, after a rest."""
        await asyncio.sleep(REST)
        began = loop.time()
        left: list[float] = []

        async def call() -> None:
            await acquire()
            left.append(loop.time())

        await asyncio.gather(*(call() for _ in range(calls)))
        # What the virtual clock moves with each round of the loop is not waiting.
        return max(round(max(left) - began, 4), 0.0)

    await wait(1)
    return Waits(await wait(1), await wait(REQUESTS))


def _acquire_ours(lead: Lead) -> Callable[[], Awaitable[object]]:
    bucket = TokenBucket(LIMIT, lead=lead)
    answers: list[asyncio.TimerHandle] = []

    async def acquire() -> None:
        lease = await bucket.acquire(None)
        answers.append(asyncio.get_running_loop().call_later(0.05, lease.answered))

    return acquire
