"""The reaction to refusals on the emulator, over TCP and in real time, beside another program of the same user.

Each kind of server is an `Emulator` in a process of its own. Each cell is a user of it with a session of ours, and
another program that signs by hand, knows nothing of us and sends nothing again. All cells run at once, for 30 s or
with ``--full`` for 120 s. Messages take 25-45 ms each way.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import random
import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs

from okx_sol_async import LocalLimiter, RateLimited, Session, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport._recovery import logger
from tests.benchmarks.plain import balance_by_hand
from tests.benchmarks.pushback import BOT_RESTS, BOT_VARIES, GOAL_REFUSED, OTHERS, VARIANTS, Other
from tests.benchmarks.report import Figure, Line, Note, table
from tests.benchmarks.simulation import CALLERS, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from okx_sol_async import Credentials
    from okx_sol_async.emulator import Window

SECONDS: Final = 30.0
SECONDS_IN_FULL: Final = 120.0
KINDS: Final[Mapping[str, Window]] = {
    "sliding log": "sliding",
    "fixed window": "fixed",
    "token bucket": "token",
    "two-window counter": "counter",
}
#: More would keep the processors so busy that the answers came late.
REACTIONS: Final = ("the default", "no pace", "no pause, no pace")
BESIDE: Final = (
    "nothing else",
    "another program, 1 a second",
    "another program, 3 at once each second",
    "another program, 6 at once each minute",
)
BESIDE_A_BOT: Final = BESIDE[1:3]
#: Cells begin one after another within this many seconds, so that their windows and bursts do not coincide.
BEGIN_WITHIN: Final = 3.0


@attrs.frozen
class Cell:
    """One cell of a table."""

    reaction: str
    other: str
    #: Whether we call six at once and rest, instead of calling without pause.
    bot: bool


CELLS: Final = [
    Cell(reaction, other, bot)
    for other in BESIDE
    for bot in ((False, True) if other in BESIDE_A_BOT else (False,))
    for reaction in REACTIONS
]


@attrs.frozen
class Shared:
    """What became of the calls of two programs."""

    #: The part of ours that was refused, and of the limit that we used.
    refused: float
    used: float
    #: The part of the other's that was refused.
    theirs: float
    #: Seconds from making a call of ours to its answer, on average.
    answered_after: float
    #: How many calls of ours ended in `RateLimited`.
    raised: int


@attrs.define
class _Play:
    cell: Cell
    url: str
    credentials: Credentials
    seconds: float
    rng: random.Random
    answered: list[float] = attrs.field(factory=list)
    theirs: list[bool] = attrs.field(factory=list)
    raised: int = 0

    async def play(self) -> Shared:
        await asyncio.sleep(self.rng.random() * BEGIN_WITHIN)
        limiter = LocalLimiter(push_back=VARIANTS[self.cell.reaction])
        other = OTHERS[self.cell.other]
        async with Session(base_url=self.url, limiter=limiter) as session, aiohttp.ClientSession() as http:
            staking = SolStaking(self.credentials, session)
            ours = self._call_as_bot(staking) if self.cell.bot else self._call_without_pause(staking)
            tasks = [asyncio.create_task(ours)]
            if other is not None:
                tasks.append(asyncio.create_task(self._call_as_other(other, http)))
            done, _ = await asyncio.wait(tasks, timeout=self.seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            counters = session.counters
        for task in done:
            # Neither of them ends by itself.
            task.result()
        return Shared(
            counters.refusals / (counters.calls + counters.resends),
            len(self.answered) / self.seconds / REQUESTS,
            1 - statistics.fmean(self.theirs) if self.theirs else 0.0,
            statistics.fmean(self.answered),
            self.raised,
        )

    async def _call_without_pause(self, staking: SolStaking) -> None:
        async def call_on() -> None:
            while True:
                await self._call(staking)

        await asyncio.gather(*(call_on() for _ in range(CALLERS)))

    async def _call_as_bot(self, staking: SolStaking) -> None:
        async with asyncio.TaskGroup() as calls:
            while True:
                for _ in range(REQUESTS):
                    calls.create_task(self._call(staking))
                await asyncio.sleep(BOT_RESTS + self.rng.uniform(-BOT_VARIES, BOT_VARIES))

    async def _call(self, staking: SolStaking) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await staking.balance()
        except RateLimited:
            self.raised += 1
        else:
            self.answered.append(loop.time() - began)

    async def _call_as_other(self, other: Other, http: aiohttp.ClientSession) -> None:
        await asyncio.sleep(self.rng.random() * min(other.rests, self.seconds / 2))
        async with asyncio.TaskGroup() as calls:
            while True:
                for _ in range(other.at_once):
                    calls.create_task(self._call_by_hand(http))
                await asyncio.sleep(other.rests * self.rng.uniform(0.95, 1.05))

    async def _call_by_hand(self, http: aiohttp.ClientSession) -> None:
        answer = await balance_by_hand(http, self.url, self.credentials)
        self.theirs.append(answer["code"] == "0")


def _play_kind(kind: str, seconds: float) -> dict[Cell, Shared]:
    """Fill a column of all tables."""
    # Refusals are what this is about.
    logger.setLevel(logging.ERROR)

    async def main() -> dict[Cell, Shared]:
        async with Emulator(window=KINDS[kind], latency=0.025, jitter=0.02, seed=1) as exchange:
            plays = [
                _Play(cell, exchange.url, exchange.add_user().credentials, seconds, random.Random(f"{kind} {cell}"))
                for cell in CELLS
            ]
            return dict(zip(CELLS, await asyncio.gather(*(each.play() for each in plays)), strict=True))

    return asyncio.run(main())


def run(*, full: bool = False) -> Iterator[Line]:
    """Print, for each other program, a table of calls without pause and one of a bot's waits."""
    seconds = SECONDS_IN_FULL if full else SECONDS
    with ProcessPoolExecutor(len(KINDS)) as pool:
        columns = dict(zip(KINDS, pool.map(_play_kind, KINDS, [seconds] * len(KINDS)), strict=True))
    yield Note(
        f"{seconds:.0f} s a cell over TCP, {len(CELLS)} cells of each server at once, {platform.python_version()}"
    )
    for other in BESIDE:
        yield Note("")
        yield Note(
            f"beside {other}, calls without pause: % refused / % of {REQUESTS} a second used / % of theirs refused"
        )
        yield from _rows(columns, other, _saturated, bot=False)
        if other in BESIDE_A_BOT:
            yield Note("")
            yield Note(f"beside {other}, six at once every {BOT_RESTS:.0f} s: % refused / mean seconds to the answer")
            yield from _rows(columns, other, _bot, bot=True)
    raised = sum(
        shared.raised for column in columns.values() for cell, shared in column.items() if cell.reaction == REACTIONS[0]
    )
    yield Figure("pushback-tcp", raised, "calls whose callers saw RateLimited, with the default", digits=0)
    beside_nothing = Cell("the default", "nothing else", bot=False)
    beside_one = Cell("the default", "another program, 1 a second", bot=False)
    for kind, column in columns.items():
        if kind != "two-window counter":
            yield Figure("pushback-tcp", 100 * column[beside_nothing].refused, f"% refused beside nothing, {kind}", 0)
        yield Figure(
            "pushback-tcp", 100 * column[beside_one].refused, f"% refused beside 1 a second, {kind}", _goal(seconds)
        )


def _goal(seconds: float) -> float | None:
    # A short run begins with the refusals that slow us down.
    return GOAL_REFUSED if seconds >= SECONDS_IN_FULL else None


def _rows(
    columns: Mapping[str, Mapping[Cell, Shared]], other: str, show: Callable[[Shared], str], *, bot: bool
) -> Iterator[Note]:
    rows = [
        [reaction, *(show(column[Cell(reaction, other, bot)]) for column in columns.values())] for reaction in REACTIONS
    ]
    yield from table(["", *columns], rows)


def _saturated(shared: Shared) -> str:
    return f"{100 * shared.refused:.1f} / {100 * shared.used:.0f} / {100 * shared.theirs:.0f}"


def _bot(shared: Shared) -> str:
    return f"{100 * shared.refused:.1f} / {shared.answered_after:.2f}"
