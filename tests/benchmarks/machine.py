"""A process that calls without pause, for `machines`: with our limiter or with another one on Redis."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs

from okx_sol_async import BALANCE, BucketKey, Credentials, LocalLimiter, Session, SolStaking
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.benchmarks.plain import balance_by_hand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from multiprocessing.sharedctypes import SynchronizedArray
    from multiprocessing.synchronize import Barrier

    Call = Callable[[], Awaitable[object]]

REQUESTS: Final = 6
PERIOD: Final = 1
#: The most seconds that a call of ratelimit-io may wait; far more than there is to wait.
MAX_WAIT: Final = 3600


@attrs.frozen
class Place:
    """Where the others are."""

    exchange: str
    redis: str
    api_key: str
    secret_key: str
    passphrase: str

    @property
    def credentials(self) -> Credentials:
        """The key of the one user."""
        return Credentials(self.api_key, self.secret_key, self.passphrase, "one user")


@contextlib.asynccontextmanager
async def _ours(place: Place) -> AsyncIterator[Call]:
    async with (
        RedisLimiter.from_url(place.redis) as limiter,
        Session(base_url=place.exchange, limiter=limiter) as session,
    ):
        yield SolStaking(place.credentials, session).balance


@contextlib.asynccontextmanager
async def _limits(place: Place) -> AsyncIterator[Call]:
    # https://limits.readthedocs.io/en/stable/quickstart.html, and its strategy for a window at any phase
    from limits import RateLimitItemPerSecond  # noqa: PLC0415 - it is needed here only
    from limits.aio.storage import RedisStorage  # noqa: PLC0415 - as above
    from limits.aio.strategies import MovingWindowRateLimiter  # noqa: PLC0415 - as above

    storage = RedisStorage(f"async+{place.redis}", implementation="redispy")
    limiter, item = MovingWindowRateLimiter(storage), RateLimitItemPerSecond(REQUESTS, PERIOD)
    async with aiohttp.ClientSession() as http:

        async def call() -> None:
            while not await limiter.hit(item, "one user"):
                window = await limiter.get_window_stats(item, "one user")
                await asyncio.sleep(max(window.reset_time - time.time(), 0))
            await balance_by_hand(http, place.exchange, place.credentials)

        yield call


@contextlib.asynccontextmanager
async def _ratelimit_io(place: Place) -> AsyncIterator[Call]:
    # https://bagowix.github.io/ratelimit-io/guides/waiting/
    from ratelimit_io import Algorithm, Limit, RateLimiter  # noqa: PLC0415 - it is needed here only
    from redis.asyncio import Redis  # noqa: PLC0415 - as above

    async with Redis.from_url(place.redis) as client, aiohttp.ClientSession() as http:
        limiter = RateLimiter(
            client,
            limit=Limit(REQUESTS, seconds=PERIOD),
            key="one user",
            algorithm=Algorithm.SLIDING_WINDOW,
            max_wait=MAX_WAIT,
        )

        async def call() -> None:
            await limiter.acquire()
            await balance_by_hand(http, place.exchange, place.credentials)

        yield call


LIMITERS: Final = {"ours": _ours, "limits": _limits, "ratelimit-io": _ratelimit_io}


@attrs.frozen
class Run:
    """The task of one of several processes."""

    #: Each has a number from 0 on.
    number: int
    seconds: float
    #: All begin at once.
    begin: Barrier
    #: How many calls were answered so far, by number.
    answered: SynchronizedArray[int]
    #: Seconds of the processor, by number, when the process has ended.
    spent: SynchronizedArray[float]


def saturate(run: Run, name: str, place: Place, tasks: int) -> None:
    """Call with a number of tasks."""

    async def main() -> None:
        async with LIMITERS[name](place) as call:

            async def go_on() -> None:
                while True:
                    await call()
                    run.answered[run.number] += 1

            await asyncio.to_thread(run.begin.wait)
            spent = time.process_time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(run.seconds), asyncio.TaskGroup() as group:
                    for _ in range(tasks):
                        group.create_task(go_on())
            run.spent[run.number] = time.process_time() - spent

    asyncio.run(main())


def serve_many(run: Run, url: str | None, users: int) -> None:
    """Take leases for a number of users, one after the other; without a URL, from the buckets of this process alone."""

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            limiter: LocalLimiter = LocalLimiter()
            if url is not None:
                limiter = await stack.enter_async_context(RedisLimiter.from_url(url, timeout=5))

            async def call(owner: int) -> None:
                key = BucketKey("https://openapi.okx.com", False, f"user:{owner}", BALANCE.method, BALANCE.path)  # noqa: FBT003 - demo
                (await limiter.bucket(key, BALANCE.limit).acquire(None)).answered()

            async def go_on(first: int) -> None:
                owner = first
                while time.perf_counter() < until:
                    await call(owner)
                    run.answered[run.number] += 1
                    owner = (owner + LANES) % users

            # The first answer that a process sees is special.
            await call(users + run.number)
            await asyncio.to_thread(run.begin.wait)
            until, spent = time.perf_counter() + run.seconds, time.process_time()
            await asyncio.gather(*(go_on(first + run.number * users // 4) for first in range(LANES)))
            run.spent[run.number] = time.process_time() - spent

    asyncio.run(main())


#: So many calls a process has on their way at once.
LANES: Final = 100
