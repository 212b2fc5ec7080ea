"""The processor time of ``staking.balance()`` over that of a call signed by hand.

Both go to the same server in another process, one call after the other. A round of each is cut into blocks that
alternate, because a processor that others use too changes its speed from one moment to the next; rounds take turns
in going first. Each has an event loop of its own, so that timers of the limiter are charged to the calls that set
them. Only this process's time on the processor counts, so the server is not in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from typing import TYPE_CHECKING

import aiohttp
import attrs

from okx_sol_async import BALANCE, LocalLimiter, Session, Signer, SolStaking
from okx_sol_async.ratelimit import BucketKey
from okx_sol_async.wire import read_answer
from tests.benchmarks.plain import PATH, balance_by_hand, make_credentials, sign_by_hand
from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.server import BODY, light_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from okx_sol_async import Credentials

GOAL = 1.15
ROUNDS = 41
CALLS = 400
#: Calls that are made before it is the other's turn.
BLOCK = 40
#: Users are called once in a round; as many sets of them take turns, and each rests for so many seconds.
SETS = 5
REST = 1.1


@attrs.frozen
class _Round:
    #: Microseconds a call.
    ours: float
    by_hand: float

    @property
    def ratio(self) -> float:
        return self.ours / self.by_hand


def run() -> Iterator[Line]:
    """Measure the ratio, then what each part of our call costs."""
    rounds = _measure_rounds()
    ratios = sorted(each.ratio for each in rounds)
    ours = statistics.median(each.ours for each in rounds)
    by_hand = statistics.median(each.by_hand for each in rounds)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    yield Figure(
        "cpu",
        statistics.median(ratios),
        "x a hand-signed aiohttp call",
        GOAL,
        f"{ours:.0f} us over {by_hand:.0f} us, {ROUNDS} rounds of {CALLS},"
        f" half within {low:.2f}-{high:.2f}, all within {ratios[0]:.2f}-{ratios[-1]:.2f}",
    )
    parts = asyncio.run(_measure_parts())
    extra = statistics.median(each.ours - each.by_hand for each in rounds)
    yield Note(f"of the {extra:.1f} us above the hand-signed call, each part measured by itself:")
    parts["all else (the call's objects, frames and checks)"] = extra - sum(parts.values())
    for name, cost in parts.items():
        yield Note(f"{cost:6.1f} us {cost / extra:5.0%}  {name}")


def _measure_rounds() -> list[_Round]:
    with light_server() as url, asyncio.Runner() as ours, asyncio.Runner() as by_hand:
        session = Session(base_url=url, limiter=LocalLimiter())
        sets = [[SolStaking(make_credentials(), session) for _ in range(CALLS)] for _ in range(SETS)]
        http = by_hand.run(_open())

        def time_ours(users: Sequence[SolStaking]) -> float:
            return ours.run(_time_calls(SolStaking.balance, users))

        def time_by_hand(users: Sequence[SolStaking]) -> float:
            return by_hand.run(_time_calls(lambda user: balance_by_hand(http, url, user._credentials), users))

        rested = [0.0] * SETS
        rounds = []
        for number in range(-2, ROUNDS):
            users = sets[number % SETS]
            time.sleep(max(0.0, rested[number % SETS] - time.monotonic()))
            gc.collect()
            mine = theirs = 0.0
            for start in range(0, CALLS, BLOCK):
                block = users[start : start + BLOCK]
                if number % 2:
                    mine += time_ours(block)
                    theirs += time_by_hand(block)
                else:
                    theirs += time_by_hand(block)
                    mine += time_ours(block)
            rested[number % SETS] = time.monotonic() + REST
            if number >= 0:  # those before are for warming up
                rounds.append(_Round(mine / CALLS * 1e6, theirs / CALLS * 1e6))
        ours.run(session.aclose())
        by_hand.run(http.close())
    return rounds


async def _open() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))


async def _time_calls(call: Callable[[SolStaking], Awaitable[object]], users: Sequence[SolStaking]) -> float:
    """Return the seconds on the processor that the calls take."""
    began = time.process_time()
    for user in users:
        await call(user)
    return time.process_time() - began


async def _measure_parts() -> dict[str, float]:
    """Return the microseconds that each part of our call takes more than its like in the hand-signed one."""
    credentials = make_credentials()
    request, response = await _one_request(credentials)

    async def answer(_: ClientRequest) -> ClientResponse:
        return response

    async def pass_on(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        return await handler(request)

    async def chain() -> None:
        await aiohttp.client_middlewares.build_client_middlewares(answer, (pass_on, pass_on))(request)

    async def sign() -> None:
        await Signer(credentials, request.url.origin())(request, answer)

    async def sign_by_itself() -> None:
        sign_by_hand(credentials)
        await answer(request)

    async def clock() -> None:
        async with asyncio.timeout(None) as running:
            running.reschedule(None)
            running.reschedule(asyncio.get_running_loop().time() + 10)
            await nothing()

    async def nothing() -> None:
        pass

    async def decode() -> None:
        BALANCE.decode(read_answer(200, BODY))

    async def load() -> None:
        json.loads(BODY)

    new, old = _bucket_calls(calls_each=1), _bucket_calls(calls_each=5)
    made = await _cost_of(new, old) * 5 / 4
    return {
        "bucket: found, a lease taken and answered": await _cost_of(new, nothing) - made,
        "bucket: made, because the user has not called of late": made,
        "signer: middleware and signature, less signing by hand": await _cost_of(sign, sign_by_itself),
        "aiohttp: its chain of two middlewares": await _cost_of(chain, lambda: answer(request)),
        "timeout: asyncio.timeout, set and put off": await _cost_of(clock, nothing),
        "decode: envelope and Balance, less json.loads": await _cost_of(decode, load),
    }


async def _one_request(credentials: Credentials) -> tuple[ClientRequest, ClientResponse]:
    """Return a request as a middleware sees it, and its answer."""
    seen: list[ClientRequest] = []

    async def note(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        seen.append(request)
        return await handler(request)

    with light_server() as url:
        async with aiohttp.ClientSession(middlewares=(note,)) as http, http.get(url + PATH) as response:
            await response.read()
    return seen[0], response


def _bucket_calls(calls_each: int) -> Callable[[], Awaitable[None]]:
    """Return a function that takes and answers a lease, of a new user's bucket after each ``calls_each`` calls."""
    limiter = LocalLimiter()
    calls = 0

    async def call() -> None:
        nonlocal calls
        key = BucketKey("https://openapi.okx.com", False, f"user:{calls // calls_each}", "GET", PATH)  # noqa: FBT003 - demo
        calls += 1
        lease = await limiter.bucket(key, BALANCE.limit).acquire(None)
        lease.answered()

    return call


async def _cost_of(
    act: Callable[[], Awaitable[object]], instead_of: Callable[[], Awaitable[object]], times: int = 200
) -> float:
    """Return the microseconds on the processor that ``act`` takes more than ``instead_of``, the median of some pairs."""

    async def cost(act: Callable[[], Awaitable[object]]) -> float:
        began = time.process_time()
        for _ in range(times):
            await act()
        return (time.process_time() - began) / times * 1e6

    costs = []
    for _ in range(51):
        costs.append(await cost(act) - await cost(instead_of))
        await asyncio.sleep(0)
    return statistics.median(costs)
