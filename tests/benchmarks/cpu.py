"""The processor time of ``staking.balance()``, and of the cheapest program that promises the same, over that by hand.

All go to the same server in another process, one call after the other. A round of each is cut into blocks that
alternate, because a processor that others use too changes its speed from one moment to the next; rounds take turns
in going first. Each has an event loop of its own, so that timers of the limiter are charged to the calls that set
them. Only this process's time on the processor counts, so the server is not in it.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import TYPE_CHECKING

import aiohttp
import attrs

from okx_sol_async import LocalLimiter, Session, SolStaking
from tests.benchmarks.bound import Bound, User
from tests.benchmarks.parts import part_lines
from tests.benchmarks.plain import balance_by_hand, make_credentials
from tests.benchmarks.report import Figure, Line
from tests.benchmarks.server import light_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

GOAL = 1.0
ROUNDS = 41
CALLS = 400
#: Calls that are made before it is the other's turn.
BLOCK = 40
#: Users are called once in a round; as many sets of them take turns, and each rests for this many seconds.
SETS = 5
REST = 1.1


@attrs.frozen
class _Round:
    #: Microseconds a call.
    ours: float
    bound: float
    by_hand: float


def run() -> Iterator[Line]:
    """Measure the ratio, then what each part of our call costs."""
    rounds = _measure_rounds()
    by_hand = [each.by_hand for each in rounds]
    yield _figure("x a hand-signed aiohttp call", [each.ours for each in rounds], by_hand, GOAL)
    yield _figure("x a hand-signed call, the cheapest that promises as much", [each.bound for each in rounds], by_hand)
    yield from part_lines(statistics.median(each.ours - each.by_hand for each in rounds))


def _figure(what: str, costs: list[float], by_hand: list[float], goal: float | None = None) -> Figure:
    ratios = sorted(cost / other for cost, other in zip(costs, by_hand, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    return Figure(
        "cpu",
        statistics.median(ratios),
        what,
        goal,
        f"{statistics.median(costs):.0f} us over {statistics.median(by_hand):.0f} us, {ROUNDS} rounds of {CALLS},"
        f" half within {low:.2f}-{high:.2f}, all within {ratios[0]:.2f}-{ratios[-1]:.2f}",
    )


def _measure_rounds() -> list[_Round]:
    with light_server() as url, asyncio.Runner() as ours, asyncio.Runner() as least, asyncio.Runner() as by_hand:
        session = Session(base_url=url, limiter=LocalLimiter())
        sets = [[SolStaking(make_credentials(), session) for _ in range(CALLS)] for _ in range(SETS)]
        http = by_hand.run(_open())
        bound = least.run(_open_bound(url))
        keys = {id(user): User(user._credentials) for users in sets for user in users}

        def time_ours(users: Sequence[SolStaking]) -> float:
            return ours.run(_time_calls(SolStaking.balance, users))

        def time_bound(users: Sequence[SolStaking]) -> float:
            return least.run(_time_calls(lambda user: bound.balance(keys[id(user)]), users))

        def time_by_hand(users: Sequence[SolStaking]) -> float:
            return by_hand.run(_time_calls(lambda user: balance_by_hand(http, url, user._credentials), users))

        rested = [0.0] * SETS
        rounds = []
        for number in range(-2, ROUNDS):
            users = sets[number % SETS]
            time.sleep(max(0.0, rested[number % SETS] - time.monotonic()))
            gc.collect()
            timed = {time_ours: 0.0, time_bound: 0.0, time_by_hand: 0.0}
            for start in range(0, CALLS, BLOCK):
                block = users[start : start + BLOCK]
                for measure in timed if number % 2 else reversed(timed):
                    timed[measure] += measure(block)
            rested[number % SETS] = time.monotonic() + REST
            if number >= 0:  # those before are for warming up
                rounds.append(_Round(*(seconds / CALLS * 1e6 for seconds in timed.values())))
        ours.run(session.aclose())
        least.run(bound.aclose())
        by_hand.run(http.close())
    return rounds


async def _open() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))


async def _open_bound(url: str) -> Bound:
    return Bound(url)


async def _time_calls(call: Callable[[SolStaking], Awaitable[object]], users: Sequence[SolStaking]) -> float:
    """Return the seconds on the processor that the calls take."""
    began = time.process_time()
    for user in users:
        await call(user)
    return time.process_time() - began
