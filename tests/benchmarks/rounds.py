"""What a call takes of the processor, ours beside others, in one setting.

All go to the same server in another process. A round of each is cut into blocks that alternate, because a processor
that others use too changes its speed from one moment to the next; rounds take turns in who begins. Each has an event loop
of its own, so that its timers are charged to the calls that set them. Only this process's time on the processor counts,
so the server is not in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import aiohttp
import attrs

from okx_sol_async import Credentials, LocalLimiter, Session, SolStaking
from tests.benchmarks.bound import Bound, User
from tests.benchmarks.plain import balance_by_hand, make_credentials
from tests.benchmarks.server import light_server

OURS: Final = "ours"
BY_HAND: Final = "by hand"
BOUND: Final = "the bound"
#: Seconds for which users rest, so that no call waits and each has to have its bucket made.
REST: Final = 1.1


@attrs.frozen
class Setting:
    """How calls are made and compared."""

    kinds: Sequence[str] = (OURS, BY_HAND)
    rounds: int = 21
    #: The calls of a round, each of another user.
    calls: int = 400
    #: As many sets of users take turns.
    sets: int = 5
    #: The calls that are made before it is the next one's turn.
    block: int = 40
    #: How many of them are under way at once.
    at_once: int = 1
    uvloop: bool = False
    observed: bool = False
    #: The PEM file with certificate and key of the server; without one there is no TLS.
    certificate: str | None = None


@attrs.frozen
class Rounds:
    """Microseconds of a call in each round, by kind."""

    of: dict[str, list[float]]

    def us(self, kind: str) -> float:
        """Return the median."""
        return statistics.median(self.of[kind])

    def ratios(self, kind: str = OURS, to: str = BY_HAND) -> list[float]:
        """Return how much more each round took than one of another kind, the least first."""
        return sorted(mine / theirs for mine, theirs in zip(self.of[kind], self.of[to], strict=True))


Call = Callable[[], Awaitable[object]]
#: The calls of a kind, one for each user, and what ends them.
Opened = tuple[list[Call], Call]


def measure(setting: Setting) -> Rounds:
    """Make the rounds."""
    users = [make_credentials() for _ in range(setting.calls * setting.sets)]
    costs: dict[str, list[float]] = {kind: [] for kind in setting.kinds}
    runners = {kind: _runner(uvloop=setting.uvloop) for kind in setting.kinds}
    with light_server(setting.certificate) as url:
        opened = {kind: runner.run(OPEN[kind](url, users, setting)) for kind, runner in runners.items()}
        rested = [0.0] * setting.sets
        for number in range(-2, setting.rounds):
            which = number % setting.sets
            time.sleep(max(0.0, rested[which] - time.monotonic()))
            turn = number % len(setting.kinds)
            order = [*setting.kinds[turn:], *setting.kinds[:turn]]
            took = dict.fromkeys(order, 0.0)
            gc.collect()
            for start in range(which * setting.calls, (which + 1) * setting.calls, setting.block):
                for kind in order:
                    calls = opened[kind][0][start : start + setting.block]
                    took[kind] += runners[kind].run(_time(calls, setting.at_once))
            rested[which] = time.monotonic() + REST
            if number >= 0:  # those before are for warming up
                for kind in order:
                    costs[kind].append(took[kind] / setting.calls * 1e6)
        for kind, runner in runners.items():
            runner.run(_close(opened[kind][1]))
            runner.close()
    return Rounds(costs)


def _runner(*, uvloop: bool) -> asyncio.Runner:
    if not uvloop:
        return asyncio.Runner()
    from uvloop import new_event_loop  # noqa: PLC0415 - other interpreters are measured without it

    return asyncio.Runner(loop_factory=new_event_loop)


async def _time(calls: Sequence[Call], at_once: int) -> float:
    """Return the seconds on the processor that the calls take."""
    began = time.process_time()
    if at_once == 1:
        for call in calls:
            await call()
    else:
        for start in range(0, len(calls), at_once):
            await asyncio.gather(*(call() for call in calls[start : start + at_once]))
    return time.process_time() - began


async def _close(close: Call) -> None:
    await close()


async def _open_ours(url: str, users: Sequence[Credentials], setting: Setting) -> Opened:
    observe = (lambda _: None) if setting.observed else None
    session = Session(base_url=url, limiter=LocalLimiter(), observe=observe)
    return [SolStaking(user, session).balance for user in users], session.aclose


async def _open_by_hand(url: str, users: Sequence[Credentials], _: Setting) -> Opened:
    http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
    return [partial(balance_by_hand, http, url, user) for user in users], http.close


async def _open_bound(url: str, users: Sequence[Credentials], setting: Setting) -> Opened:
    bound = Bound(url, observers=((lambda *_: None),) if setting.observed else ())
    return [partial(bound.balance, User(user)) for user in users], bound.aclose


OPEN: Final = {OURS: _open_ours, BY_HAND: _open_by_hand, BOUND: _open_bound}


if __name__ == "__main__":
    print(json.dumps(measure(Setting(**json.loads(sys.argv[1]))).of))
