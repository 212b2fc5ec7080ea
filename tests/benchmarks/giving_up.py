"""One user's limit shared by many limiters, whose callers give up: how much of the limit is used all the same.

Each limiter has connections of its own, as in a process of its own. Twelve calls a second are offered for six, evenly
over the limiters, and each caller gives up after two seconds: by cancellation, or by `max_wait`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from okx_sol_async import BucketKey, QueueTimeout, RateLimit, Scope
from okx_sol_async.redis import RedisLimiter
from tests.benchmarks.report import Figure, Line
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from okx_sol_async import TokenBucket

SIX: Final = RateLimit(6, 1.0, Scope.USER)
KEY: Final = BucketKey("https://openapi.okx.com", demo=False, owner="user:a", method="GET", path="/api/v5/x")
LIMITERS: Final = (1, 4, 8, 16, 40, 100)
OFFERED: Final = 12.0
PATIENCE: Final = 2.0
SECONDS: Final = 10.0
#: The first seconds do not count: a burst leaves at once, and the queue is filled.
WARM_UP: Final = 3.0
GOAL: Final = 0.07


def run() -> Iterator[Line]:
    """Measure each number of limiters, with each way to give up."""
    with valkey() as server:
        for way in ("cancellation", "max_wait"):
            for number in LIMITERS:
                used, commands = asyncio.run(measure(server.url, number, cancelled=way == "cancellation"))
                detail = f"{number} limiters, callers give up by {way}; {commands:.2f} commands a call"
                yield Figure("giving-up", 1 - used, "of the limit is unused", GOAL, detail)


async def measure(url: str, number: int, *, cancelled: bool) -> tuple[float, float]:
    """Return the part of the limit that was used, and the commands for each call."""
    times: list[float] = []
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        limiters = [
            await stack.enter_async_context(RedisLimiter.from_url(url, timeout=5.0, prefix=f"{cancelled}{number}"))
            for _ in range(number)
        ]
        for limiter in limiters:
            # Each knows how long calls take.
            await call(limiter.bucket(KEY._replace(owner="user:b"), RateLimit(1000, 1.0, Scope.USER)), [], None)
        buckets = [limiter.bucket(KEY, SIX) for limiter in limiters]
        tasks = []
        began, offered = loop.time(), 0
        while loop.time() < began + WARM_UP + SECONDS:
            deadline = None if cancelled else loop.time() + PATIENCE
            tasks.append(asyncio.create_task(call(buckets[offered % number], times, deadline)))
            offered += 1
            await asyncio.sleep(max(began + offered / OFFERED - loop.time(), 0.0))
        await asyncio.gather(*tasks, return_exceptions=True)
        commands = sum(limiter._store.commands.count for limiter in limiters) / max(len(times), 1)
    counted = sum(began + WARM_UP <= at < began + WARM_UP + SECONDS for at in times)
    return counted / SECONDS / SIX.requests, commands


async def call(bucket: TokenBucket, times: list[float], deadline: float | None) -> None:
    """Make a call that takes 20 milliseconds. Without a deadline its wait is cancelled."""
    with contextlib.suppress(QueueTimeout, TimeoutError):
        lease = await asyncio.wait_for(bucket.acquire(deadline), PATIENCE)
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)
        lease.answered()
