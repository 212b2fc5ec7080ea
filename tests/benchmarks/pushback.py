"""What the reaction to refusals costs and saves, beside another program that spends the same user's quota.

The other program knows nothing of ours, and sends nothing again. Ours calls without pause, or six at once every three
seconds. A short run is 300 s of a virtual clock a cell, ``--full`` 1800. Messages take 25-45 ms each way.
Where both want more than there is, the bot's queue grows for as long as the run goes on, and its waits with it.
"""

from __future__ import annotations

import asyncio
import platform
import random
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async import PushBack, TokenBucket
from tests.benchmarks.report import Figure, Line, Note, table
from tests.benchmarks.simulation import CALLERS, LIMIT, REQUESTS, SERVERS, Judged, Way, judge
from tests.support.virtual_time import run as run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from okx_sol_async import Bucket
    from tests.benchmarks.simulation import Arrival

SECONDS: Final = 300.0
SECONDS_IN_FULL: Final = 1800.0
WAY: Final = Way("25-45 ms", jitter=0.02)
#: Seconds between the bursts of a bot, and what they vary by.
BOT_RESTS: Final = 3.0
BOT_VARIES: Final = 0.05
#: How many refusals a call may have before its caller sees `RateLimited`.
TRIES: Final = 10
#: Per cent of our calls that may be refused while another program makes one call a second.
GOAL_REFUSED: Final = 2.0

VARIANTS: Final[Mapping[str, PushBack]] = {
    "the default": PushBack(),
    "no pause, no pace": PushBack(pause=0.0, paced=False),
    "no pace": PushBack(paced=False),
    "pause=0.25": PushBack(pause=0.25),
    "pause=0.5": PushBack(pause=0.5),
    "pause=2": PushBack(pause=2.0),
    "step=1.1": PushBack(step=1.1),
    "step=1.5": PushBack(step=1.5),
    "cap=1.5": PushBack(cap=1.5),
    "cap=4": PushBack(cap=4.0),
    "clean_time=10": PushBack(clean_time=10.0),
    "clean_time=60": PushBack(clean_time=60.0),
}


@attrs.frozen
class Other:
    """Another program: a number of calls at once, and the seconds between these."""

    at_once: int
    rests: float


OTHERS: Final[Mapping[str, Other | None]] = {
    "nothing else": None,
    "another program, 1 a second": Other(1, 1.0),
    "another program, 3 at once each second": Other(3, 1.0),
    "another program, 5 a second": Other(1, 0.2),
    "another program, 6 at once each minute": Other(6, 60.0),
}


@attrs.frozen
class Job:
    """One cell of a table."""

    variant: str
    server: str
    other: str
    #: Whether we call six at once and rest, instead of calling without pause.
    bot: bool
    seconds: float


@attrs.frozen
class Shared:
    """What became of the calls of two programs."""

    ours: Judged
    #: The part of the other's calls that was refused.
    theirs: float
    #: Seconds from making a call of ours to its answer, on average.
    answered_after: float

    def __str__(self) -> str:
        """Return per cent of ours refused, of the limit used by us, and of theirs refused."""
        return f"{100 * self.refused:.1f} / {100 * self.ours.used:.0f} / {100 * self.theirs:.0f}"

    @property
    def refused(self) -> float:
        """The part of our calls that was refused."""
        return self.ours.refused / self.ours.calls


@attrs.define
class _Play:
    job: Job
    rng: random.Random
    accept: Callable[[float], bool]
    bucket: Bucket
    arrivals: list[Arrival] = attrs.field(factory=list)
    theirs: list[bool] = attrs.field(factory=list)
    took: list[float] = attrs.field(factory=list)

    async def play(self) -> None:
        until = asyncio.get_running_loop().time() + self.job.seconds
        other = OTHERS[self.job.other]
        theirs = None if other is None else asyncio.create_task(self._call_as_other(other))
        if self.job.bot:
            await self._call_as_bot(until)
        else:
            await asyncio.gather(*(self._call_on(until) for _ in range(CALLERS)))
        if theirs is not None:
            theirs.cancel()

    async def _call_on(self, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            await self._call()

    async def _call_as_bot(self, until: float) -> None:
        calls = []
        while asyncio.get_running_loop().time() < until:
            calls += [asyncio.create_task(self._call()) for _ in range(REQUESTS)]
            await asyncio.sleep(BOT_RESTS + self.rng.uniform(-BOT_VARIES, BOT_VARIES))
        await asyncio.gather(*calls)

    async def _call(self) -> None:
        """Make one call, as a session does: it is sent again after a refusal, ten times at most."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        place = self.bucket
        for _ in range(TRIES):
            lease = await place.acquire(None)
            await asyncio.sleep(WAY.latency(self.rng, loop.time()))
            now = loop.time()
            accepted = self.accept(now)
            self.arrivals.append((now, accepted))
            await asyncio.sleep(WAY.latency(self.rng, now))
            if accepted:
                lease.answered()
                break
            place = lease.refused() or self.bucket
        self.took.append(loop.time() - began)

    async def _call_as_other(self, other: Other) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.rng.random() * other.rests)
        while True:
            for _ in range(other.at_once):
                loop.call_later(WAY.latency(self.rng, loop.time()), self._arrive_from_other)
            await asyncio.sleep(other.rests * self.rng.uniform(0.95, 1.05))

    def _arrive_from_other(self) -> None:
        self.theirs.append(self.accept(asyncio.get_running_loop().time()))


def play(job: Job) -> Shared:
    """Fill one cell."""
    seed = f"{job.server} {job.other} {job.bot}"
    bucket = TokenBucket(LIMIT, push_back=VARIANTS[job.variant])
    played = _Play(job, random.Random(seed), SERVERS[job.server](seed).accept, bucket)
    run_virtual(played.play())
    theirs = 1 - sum(played.theirs) / len(played.theirs) if played.theirs else 0.0
    return Shared(judge(played.arrivals), theirs, statistics.fmean(played.took))


def run(*, full: bool = False) -> Iterator[Line]:
    """Print, for each other program, a table of calls without pause and one of a bot's waits."""
    seconds = SECONDS_IN_FULL if full else SECONDS
    began = time.perf_counter()
    jobs = [
        Job(variant, server, other, bot, seconds)
        for other, does in OTHERS.items()
        for bot in ((False, True) if does else (False,))
        for server in SERVERS
        for variant in VARIANTS
    ]
    with ProcessPoolExecutor() as pool:
        cells = dict(zip(jobs, pool.map(play, jobs, chunksize=4), strict=True))
    took = time.perf_counter() - began
    yield Note(f"{seconds:.0f} virtual seconds a cell, Python {platform.python_version()}, {took:.0f} s")
    for other, does in OTHERS.items():
        yield Note("")
        yield Note(
            f"beside {other}, calls without pause: % refused / % of {REQUESTS} a second used / % of theirs refused"
        )
        yield from _rows(other, lambda job: str(cells[job]), bot=False, seconds=seconds)
        if does:
            yield Note("")
            yield Note(f"beside {other}, six at once every {BOT_RESTS:.0f} s: % refused / mean seconds to the answer")
            yield from _rows(other, lambda job: _bot_cell(cells[job]), bot=True, seconds=seconds)
    for server in SERVERS:
        cell = cells[Job("the default", server, "another program, 1 a second", bot=False, seconds=seconds)]
        yield Figure("pushback", 100 * cell.refused, f"% refused beside 1 a second, {server}", GOAL_REFUSED)


def _rows(other: str, show: Callable[[Job], str], *, bot: bool, seconds: float) -> Iterator[Note]:
    rows = [[variant, *(show(Job(variant, server, other, bot, seconds)) for server in SERVERS)] for variant in VARIANTS]
    yield from table(["", *SERVERS], rows)


def _bot_cell(cell: Shared) -> str:
    return f"{100 * cell.refused:.1f} / {cell.answered_after:.2f}"
