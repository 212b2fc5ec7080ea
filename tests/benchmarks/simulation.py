"""Exchanges that count calls in several ways, the ways to them, and programs that call without pause.

All of it runs on a virtual clock, with the real classes of asyncio, of ours and of others.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from okx_sol_async import RateLimit, Scope
from okx_sol_async.emulator import CounterWindow, FixedWindow, SlidingWindow, TokenWindow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from okx_sol_async import Bucket

REQUESTS: Final = 6
PERIOD: Final = 1.0
LIMIT: Final = RateLimit(REQUESTS, PERIOD, Scope.USER)
#: More callers than calls can ever be in flight, so that somebody always waits.
CALLERS: Final = 12
#: What happened before that many seconds is not counted as used: it holds the first burst.
SETTLING: Final = 5.0
#: The borders of a server's windows move by a random part of a window after this many seconds.
MOVE_EVERY: Final = 100.0


class Window(Protocol):
    """Counts calls as an exchange does."""

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it."""


class StrictLog:
    """Refuses a call when ``requests`` others came in the ``seconds`` before it, whether they were accepted or not."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._seconds = seconds
        self._came: deque[float] = deque(maxlen=requests)
        self._requests = requests

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, and return whether it is not one too many."""
        full = len(self._came) == self._requests and now - self._came[0] < self._seconds
        self._came.append(now)
        return not full


class _Moving:
    """A window with borders, which move from time to time, so that no caller falls into step with them."""

    def __init__(self, window: Window, seed: object) -> None:
        self._window = window
        self._rng = random.Random(f"borders {seed}")
        self._by = self._rng.random() * PERIOD
        self._next = MOVE_EVERY

    def accept(self, now: float) -> bool:
        if now >= self._next:
            self._next = now + MOVE_EVERY
            self._by += self._rng.random() * PERIOD
        return self._window.accept(now + self._by)


#: The kinds of servers, each made with a seed.
SERVERS: Final[Mapping[str, Callable[[object], Window]]] = {
    "sliding log": lambda _: SlidingWindow(REQUESTS, PERIOD),
    "fixed window": lambda seed: _Moving(FixedWindow(REQUESTS, PERIOD), seed),
    "token bucket": lambda _: TokenWindow(REQUESTS, PERIOD),
    "two-window counter": lambda seed: _Moving(CounterWindow(REQUESTS, PERIOD), seed),
    "strict log": lambda _: StrictLog(REQUESTS, PERIOD),
}
#: Those that a limiter is judged by which does not react to refusals.
FOUR: Final = tuple(SERVERS)[:4]


@attrs.frozen
class Way:
    """The latency of messages, one way; all in seconds."""

    name: str
    base: float = 0.025
    #: A time between 0 and this is added to each message.
    jitter: float = 0.0
    #: This part of the messages is 0.2 to 1 s late.
    late: float = 0.0
    #: In every other five minutes each message takes this much longer.
    detour: float = 0.0

    def latency(self, rng: random.Random, at: float) -> float:
        """Return how long a message takes that leaves ``at`` a time of the loop."""
        seconds = self.base + rng.random() * self.jitter
        if self.detour and at % 600 < 300:
            seconds += self.detour
        if self.late and rng.random() < self.late:
            seconds += rng.uniform(0.2, 1.0)
        return seconds


WAYS: Final = (
    Way("J = 0"),
    Way("20 ms", jitter=0.02),
    Way("100 ms", jitter=0.1),
    Way("300 ms", jitter=0.3),
    Way("far", base=0.1, jitter=0.02),
    Way("late", jitter=0.02, late=0.01),
    Way("detour", jitter=0.02, detour=0.075),
)


@attrs.frozen
class Judged:
    """What a server made of a stream of calls."""

    calls: int
    refused: int
    #: The accepted calls, as a part of what the limit allows.
    used: float

    def __str__(self) -> str:
        """Return per cent refused, and per cent of the limit used."""
        return f"{100 * self.refused / self.calls:.3g} / {100 * self.used:.1f}"


Arrival = tuple[float, bool]


def judge(arrivals: Sequence[Arrival]) -> Judged:
    """Count what was accepted of calls that arrived in this order."""
    since, until = arrivals[0][0] + SETTLING, arrivals[-1][0]
    used = sum(accepted and since < at <= until for at, accepted in arrivals) / (until - since) / REQUESTS * PERIOD
    return Judged(len(arrivals), sum(not accepted for _, accepted in arrivals), used)


def arrive(times: Iterable[float], server: str) -> list[Arrival]:
    """Let calls arrive at a server."""
    window = SERVERS[server](server)
    return [(at, window.accept(at)) for at in times]


async def saturate(bucket: Bucket, way: Way, accept: Callable[[float], bool], calls: int) -> list[Arrival]:
    """Call without pause through a bucket of ours, reporting refusals to it, until a number of calls have arrived."""
    loop = asyncio.get_running_loop()
    rng = random.Random(f"travel {way}")
    arrivals: list[Arrival] = []

    async def call() -> None:
        place = bucket
        while len(arrivals) < calls:
            lease = await place.acquire(None)
            await asyncio.sleep(way.latency(rng, loop.time()))
            now = loop.time()
            accepted = accept(now)
            arrivals.append((now, accepted))
            await asyncio.sleep(way.latency(rng, now))
            if accepted:
                lease.answered()
                place = bucket
            else:
                place = lease.refused() or bucket

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return arrivals


async def sending_times(acquire: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    """Return when a limiter lets calls leave that are made without pause; it does not look at responses."""
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def call() -> None:
        while len(times) < calls:
            await acquire()
            times.append(loop.time())

    await asyncio.gather(*(call() for _ in range(CALLERS)))
    return times


def arrival_times(sent: Iterable[float], way: Way) -> list[float]:
    """Return when calls arrive, in order."""
    rng = random.Random(f"travel {way}")
    return sorted(at + way.latency(rng, at) for at in sent)
