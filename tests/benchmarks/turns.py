"""Turns of one user in many real processes: callers that give up, and processes whose server is away.

Each function is what one process does. Only turns are taken here; no exchange is called. All times are those of the
machine's steady clock, which its processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import queue
import time
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from okx_sol_async import BucketKey, QueueTimeout, RateLimit, Scope
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from typing import Self

SIX: Final = RateLimit(6, 1.0, Scope.USER)
MANY: Final = RateLimit(1000, 1.0, Scope.USER)
#: Seconds that a call takes.
TAKES: Final = 0.02
#: A hundred processes that import everything anew would take minutes to begin.
_context = multiprocessing.get_context("fork")


@attrs.frozen
class Part:
    """What one of several processes has."""

    #: Its number, from 0 on, and how many there are.
    number: int
    total: int
    #: All begin at once.
    begin: Barrier
    #: Where it puts its number and when calls left, of each user.
    results: Queue[tuple[int, list[list[float]]]]

    async def ready(self) -> float:
        """Wait for the others, and return when all began."""
        await asyncio.to_thread(self.begin.wait)
        return time.monotonic()

    def report(self, *times: list[float]) -> None:
        """Hand over when calls left, of each user."""
        self.results.put((self.number, [*times]))


class Processes:
    """Processes that do the same, from the moment at which all are ready."""

    def __init__(self, target: Callable[..., None], count: int, *arguments: object) -> None:
        # Kept, because its shared memory would be given to the next one while processes still look at it.
        self._begin = begin = _context.Barrier(count + 1)
        self._results: Queue[tuple[int, list[list[float]]]] = _context.Queue()
        self._processes = [
            _context.Process(target=target, args=(Part(number, count, begin, self._results), *arguments), daemon=True)
            for number in range(count)
        ]
        for process in self._processes:
            process.start()
        begin.wait()
        #: When all began.
        self.began = time.monotonic()
        self._found: dict[int, list[list[float]]] = {}

    def times(self, user: int = 0) -> list[list[float]]:
        """Wait until all have ended, and return when calls of a user left in each."""
        found = self._found
        while len(found) < len(self._processes):
            try:
                number, times = self._results.get(timeout=5)
            except queue.Empty:
                assert any(process.is_alive() for process in self._processes), "a process has failed"
            else:
                found[number] = times
        for process in self._processes:
            process.join()
        return [found[number][user] for number in range(len(found))]


class Turns(Protocol):
    """Takes the turns of users at one limiter."""

    async def take(self, user: str, max_wait: float | None) -> Callable[[], object]:
        """Wait for a turn; return what is to be called when the call is answered."""


class _Ours:
    def __init__(self, limiter: RedisLimiter) -> None:
        self._limiter = limiter

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        async with RedisLimiter.from_url(url, timeout=5.0) as limiter:
            turns = cls(limiter)
            # It knows how long calls take.
            answered = await turns.take("another user", None, MANY)
            await asyncio.sleep(TAKES)
            answered()
            yield turns

    async def take(self, user: str, max_wait: float | None, limit: RateLimit = SIX) -> Callable[[], object]:
        key = BucketKey("https://openapi.okx.com", demo=False, owner=user, method="GET", path="/api/v5/x")
        deadline = None if max_wait is None else asyncio.get_running_loop().time() + max_wait
        return (await self._limiter.bucket(key, limit).acquire(deadline)).answered


class _Limits:
    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        from limits import RateLimitItemPerSecond  # noqa: PLC0415 - it is needed here only
        from limits.aio.storage import RedisStorage  # noqa: PLC0415 - as above
        from limits.aio.strategies import MovingWindowRateLimiter  # noqa: PLC0415 - as above

        turns = cls()
        turns._limiter = MovingWindowRateLimiter(RedisStorage(f"async+{url}", implementation="redispy"))
        turns._item = RateLimitItemPerSecond(SIX.requests, 1)
        yield turns

    async def take(self, user: str, max_wait: float | None) -> Callable[[], object]:
        while not await self._limiter.hit(self._item, user):
            window = await self._limiter.get_window_stats(self._item, user)
            await asyncio.sleep(max(window.reset_time - time.time(), 0))
        return lambda: None


class _RatelimitIO:
    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        from redis.asyncio import Redis  # noqa: PLC0415 - it is needed here only

        turns = cls()
        async with Redis.from_url(url) as turns._client:
            yield turns

    async def take(self, user: str, max_wait: float | None) -> Callable[[], object]:
        from ratelimit_io import Algorithm, Limit, RateLimiter  # noqa: PLC0415 - it is needed here only

        limit, algorithm = Limit(SIX.requests, seconds=1), Algorithm.SLIDING_WINDOW
        limiter = RateLimiter(self._client, limit=limit, key=user, algorithm=algorithm, max_wait=max_wait or 3600)
        await limiter.acquire()
        return lambda: None


LIMITERS: Final[dict[str, Callable[[str], AbstractAsyncContextManager[Turns]]]] = {
    "ours": _Ours.open,
    "limits": _Limits.open,
    "ratelimit-io": _RatelimitIO.open,
}


async def _call(turns: Turns, user: str, times: list[float], patience: float, *, cancelled: bool) -> None:
    """Make a call that gives up after ``patience`` seconds: by being cancelled, or by `max_wait`."""
    with contextlib.suppress(QueueTimeout, TimeoutError):
        taking = turns.take(user, None if cancelled else patience)
        answered = await _wait_for(taking, patience if cancelled else None)
        times.append(time.monotonic())
        await asyncio.sleep(TAKES)
        answered()


async def _wait_for(taking: Awaitable[Callable[[], object]], seconds: float | None) -> Callable[[], object]:
    async with asyncio.timeout(seconds):
        return await taking


def give_up(
    part: Part, name: str, url: str, ways: Sequence[str], offered: float, patience: float, seconds: float
) -> None:
    """Make this process's part of ``offered`` calls a second; each gives up after ``patience`` seconds.

    Args:
        part: of how many processes.
        name: of the limiter.
        url: of its server.
        ways: any of ``"cancellation"``, ``"max_wait"`` and ``"in turn"``; each has a user of its own.
        offered: calls a second of one user in all processes.
        patience: seconds.
        seconds: for which calls are made.

    """

    async def main() -> None:
        times: dict[str, list[float]] = {way: [] for way in ways}
        async with LIMITERS[name](url) as turns:
            began = await part.ready()
            tasks = []
            for number in range(part.number, int(offered * seconds), part.total):
                await asyncio.sleep(max(began + number / offered - time.monotonic(), 0.0))
                for way in ways:
                    # A process has every second number only, if there is an even number of them.
                    is_even = (number // part.total + part.number) % 2 == 0
                    cancelled = way == "cancellation" or (way == "in turn" and is_even)
                    tasks.append(asyncio.create_task(_call(turns, way, times[way], patience, cancelled=cancelled)))
            await asyncio.gather(*tasks)
            await asyncio.sleep(max(began + seconds + patience - time.monotonic(), 0.0))
        part.report(*times.values())

    asyncio.run(main())


def wait_once(part: Part, name: str, url: str, user: str, apart: float, cancel_at: float) -> None:
    """Make one call, each process ``apart`` seconds after the one before; all but the last are cancelled."""

    async def main() -> None:
        times: list[float] = []
        async with LIMITERS[name](url) as turns:
            began = await part.ready()
            await asyncio.sleep(max(began + part.number * apart - time.monotonic(), 0.0))
            last = part.number == part.total - 1
            patience = 60.0 if last else began + cancel_at - time.monotonic()
            await _call(turns, user, times, patience, cancelled=True)
            await asyncio.sleep(max(began + cancel_at + 2.0 - time.monotonic(), 0.0))
        part.report(times)

    asyncio.run(main())


def go_on(part: Part, url: str, tasks: int, seconds: float) -> None:
    """Call without pause with so many tasks, whatever happens to the server."""
    # Each process would log that the server is away.
    logging.disable()

    async def main() -> None:
        times: list[float] = []
        async with RedisLimiter.from_url(url) as limiter:
            turns = _Ours(limiter)
            began = await part.ready()

            async def repeat() -> None:
                while True:
                    await _call(turns, "one user", times, 600.0, cancelled=False)

            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + began + seconds - time.monotonic()):
                    await asyncio.gather(*(repeat() for _ in range(tasks)))
        part.report(times)

    asyncio.run(main())
