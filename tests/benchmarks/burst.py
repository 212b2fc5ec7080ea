"""60 calls at once from one user, to an exchange with a sliding window and 25-45 ms each way.

The hand-signed call behind two limiters of aiolimiter runs beside ours, each with a user of its own. A call of
theirs that is refused is counted and lost; nothing in them would send it again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import attrs
from aiolimiter import AsyncLimiter

from okx_sol_async import Bucket, BucketKey, Lease, LocalLimiter, RateLimit, Session, SolStaking
from okx_sol_async.emulator import Emulator
from tests.benchmarks.plain import balance_by_hand
from tests.benchmarks.report import Figure, Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from okx_sol_async.emulator import EmulatedUser, Tally

CALLS = 60
#: The first six leave at once, six more with each further second.
IDEAL = 9.0
GOAL = 1.08
#: Milliseconds; less is no wait, only the time that it takes to ask.
GOAL_WAIT = 1.0


@attrs.frozen
class _TimedBucket:
    _bucket: Bucket
    _waits: list[float]

    async def acquire(self, deadline: float | None) -> Lease:
        began = time.perf_counter()
        lease = await self._bucket.acquire(deadline)
        self._waits.append(time.perf_counter() - began)
        return lease


@attrs.frozen
class TimedLimiter:
    """The limiter of one process, with the time that each call waits in its bucket."""

    #: In seconds, in the order in which the leases came.
    waits: list[float] = attrs.field(factory=list)
    _limiter: LocalLimiter = attrs.field(factory=LocalLimiter)

    def bucket(self, key: BucketKey, limit: RateLimit) -> Bucket:
        """Return the bucket of ``key``."""
        return _TimedBucket(self._limiter.bucket(key, limit), self.waits)


def run() -> Iterator[Line]:
    """Measure idle buckets first, then the three bursts side by side."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Line]:
    async with Emulator(window="sliding", latency=0.025, jitter=0.02, seed=1) as exchange:
        lone = await _longest_wait(exchange, calls=1)
        six = await _longest_wait(exchange, calls=6)
        ours, evenly, at_once = await asyncio.gather(
            _burst_of_ours(exchange),
            _burst_by_hand(exchange, AsyncLimiter(1, 1 / 6)),
            _burst_by_hand(exchange, AsyncLimiter(6, 1)),
        )
    return [
        Figure("burst", lone * 1e3, "ms that a lone call waits for its bucket", GOAL_WAIT, digits=3),
        Figure("burst", six * 1e3, "ms that any of six on an idle bucket waits", GOAL_WAIT, digits=3),
        *_figures("okx_sol_async", *ours, goal=GOAL),
        *_figures("by hand, AsyncLimiter(1, 1/6)", *evenly),
        *_figures("by hand, AsyncLimiter(6, 1)", *at_once),
    ]


def _figures(who: str, seconds: float, tally: Tally, goal: float | None = None) -> Iterator[Figure]:
    detail = f"{seconds:.2f} s for {CALLS} calls at once, {tally.accepted} balances"
    yield Figure("burst", seconds / IDEAL, f"x the ideal {IDEAL} s, {who}", goal, detail)
    yield Figure("burst", tally.refused, f"refusals (50011), {who}", None if goal is None else 0, digits=0)


async def _longest_wait(exchange: Emulator, calls: int) -> float:
    """Return the most seconds that any of a number of calls at once waited in an idle bucket."""
    limiter = TimedLimiter()
    async with Session(base_url=exchange.url, limiter=limiter) as session:
        staking = SolStaking(exchange.add_user().credentials, session)
        await asyncio.gather(*(staking.balance() for _ in range(calls)))
    assert len(limiter.waits) == calls
    return max(limiter.waits)


async def _burst_of_ours(exchange: Emulator) -> tuple[float, Tally]:
    user = exchange.add_user()
    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        staking = SolStaking(user.credentials, session)
        return await _burst(exchange, user, staking.balance)


async def _burst_by_hand(exchange: Emulator, limiter: AsyncLimiter) -> tuple[float, Tally]:
    user = exchange.add_user()
    async with aiohttp.ClientSession() as http:

        async def call() -> None:
            async with limiter:
                await balance_by_hand(http, exchange.url, user.credentials)

        return await _burst(exchange, user, call)


async def _burst(exchange: Emulator, user: EmulatedUser, call: Callable[[], Awaitable[object]]) -> tuple[float, Tally]:
    """Return the seconds until the last response, and how the exchange responded."""
    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(CALLS)))
    return time.perf_counter() - began, exchange.tally(uid=user.uid)
