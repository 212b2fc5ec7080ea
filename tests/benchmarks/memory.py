"""The memory that a user takes, of 5,000 who share one session and each called once within a second.

The calls are real and go over sockets to a server in another process, through the session's own connections.
Python needs more than a second for that many calls while every allocation is traced, so the event loop's clock is
slowed down while they are made: by that clock, which the limits go by as well, all of them fall into one second.
It is back to normal speed for the two seconds after.

Counted is all that was allocated since the first user was made and is still held, after a full garbage collection:
the users' keys, their `Credentials` and `SolStaking`, and their buckets. Connections, pools and caches are there
before, made by other users.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from typing import TYPE_CHECKING

from okx_sol_async import LocalLimiter, Session, SolStaking
from tests.benchmarks.plain import make_credentials
from tests.benchmarks.report import Figure, Line
from tests.benchmarks.server import light_server

if TYPE_CHECKING:
    from collections.abc import Iterator

GOAL_BUSY = 0.7
GOAL_IDLE = 0.3
USERS = 5_000
WARM_UP = 500
#: Calls under way at any one time.
AT_ONCE = 50
#: How much slower than real time the loop's clock goes during the calls.
SLOWER = 100.0
LATER = 2.0


class SlowableLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes at a given speed."""

    _speed = 1.0
    _shown_at = 0.0
    _shown = 0.0

    def time(self) -> float:
        """Return the seconds that this loop's clock shows."""
        return self._shown + (time.monotonic() - self._shown_at) * self._speed

    def set_speed(self, speed: float) -> None:
        """Let the clock go on from here at another speed."""
        self._shown, self._shown_at = self.time(), time.monotonic()
        self._speed = speed


def run() -> Iterator[Line]:
    """Measure a user right after the calls, and two seconds later."""
    with light_server() as url, asyncio.Runner(loop_factory=SlowableLoop) as runner:
        yield from runner.run(_measure(url))


async def _measure(url: str) -> list[Line]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SlowableLoop)
    limiter = LocalLimiter()
    async with Session(base_url=url, limiter=limiter) as session:
        await _call_once([SolStaking(make_credentials(), session) for _ in range(WARM_UP)])
        await asyncio.sleep(LATER)
        tracemalloc.start()
        before = traced_memory()
        users = [SolStaking(make_credentials(), session) for _ in range(USERS)]
        loop.set_speed(1 / SLOWER)
        began = loop.time()
        await _call_once(users)
        took = loop.time() - began
        assert took < 1.0, f"the calls took {took:.2f} s by the loop's clock: make SLOWER larger"
        busy_buckets = len(limiter)
        busy = traced_memory() - before
        loop.set_speed(1.0)
        await asyncio.sleep(LATER)
        idle_buckets = len(limiter)
        idle = traced_memory() - before
        tracemalloc.stop()
    text = sum(_size_of_text(user) for user in users)
    return [
        _figure("while their buckets matter", busy, text, GOAL_BUSY, f"{busy_buckets} buckets after {took:.2f} s"),
        _figure(f"{LATER:.0f} s later", idle, text, GOAL_IDLE, f"{idle_buckets} buckets"),
    ]


async def _call_once(users: list[SolStaking]) -> None:
    waiting = iter(users)

    async def call_in_turn() -> None:
        for user in waiting:
            await user.balance()

    await asyncio.gather(*(call_in_turn() for _ in range(AT_ONCE)))


def traced_memory() -> int:
    """Return the bytes that are in use after a garbage collection, as tracemalloc counts them."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _size_of_text(user: SolStaking) -> int:
    credentials = user._credentials
    return sum(text.__sizeof__() for text in (credentials.api_key, credentials.secret_key, credentials.passphrase))


def _figure(when: str, size: int, text: int, goal: float, detail: str) -> Figure:
    bare = (size - text) / USERS / 1024
    return Figure(
        "memory",
        size / USERS / 1024,
        f"KiB a user {when}",
        goal,
        f"{bare:.2f} KiB without the strings of the keys; {USERS} users, {detail}",
    )
