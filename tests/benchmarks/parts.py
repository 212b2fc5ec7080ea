"""Where the processor time of a call goes, ours and one that is signed by hand: in microseconds and in instructions.

Each part is made together with a real request, of which the cost is taken off: in a loop of its own it would find
everything in the caches of the processor, and take a third of the time that it takes between requests.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import attrs

from okx_sol_async import BALANCE, BucketKey, Credentials, LocalLimiter, Session, Signer, SolStaking
from okx_sol_async.codec._envelope import read_envelope
from okx_sol_async.transport._http import CLIENT_TIMEOUT, Connections, read_body
from tests.benchmarks import instructions
from tests.benchmarks.bound import Bound, User
from tests.benchmarks.plain import PATH, balance_by_hand, make_credentials, sign_by_hand
from tests.benchmarks.report import Note, table
from tests.benchmarks.rounds import BOUND, BY_HAND, OURS
from tests.benchmarks.server import BODY, light_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    Act = Callable[["_User"], Awaitable[object]]

USERS = 130
REPEATS = 31
#: Seconds that users rest between their calls, so that no call waits.
REST = 0.2
T = TypeVar("T")


@attrs.frozen
class _User:
    """A user of each kind of call."""

    credentials: Credentials
    ours: SolStaking
    observed: SolStaking
    bound: User


@attrs.frozen
class Parts:
    """What each act takes for one user, in some unit."""

    _of: Mapping[str, float]

    def __getitem__(self, act: str) -> float:
        return self._of[act]

    def on_top(self, act: str, of: str = "request") -> float:
        """Return what an act takes more than another one that is a part of it."""
        return self[act] - self[of]

    def rows(self) -> Iterator[tuple[str, float, float]]:
        """Give the name of each part, with what ours takes and what the one by hand takes."""
        parts = [
            ("signature: timestamp, HMAC, headers", self.on_top("sign"), self.on_top("sign by hand")),
            ("bucket: found or made, lease taken and ended", self.on_top("bucket"), 0.0),
            ("aiohttp: request, connection, head of the response", self["request"], self["request by hand"]),
            ("aiohttp: the way through one middleware", self.on_top("middleware"), 0.0),
            ("body read", self.on_top("read"), self.on_top("read by hand", "request by hand")),
            ("body decoded", self.on_top("decode"), self.on_top("decode by hand")),
        ]
        yield "a call", self[OURS], self[BY_HAND]
        yield from parts
        ours, by_hand = (sum(part[side] for part in parts) for side in (1, 2))
        yield "all else: session, call and attempt", self[OURS] - ours, self[BY_HAND] - by_hand
        yield "with an observer, more", self.on_top("observed", OURS), 0.0


def part_lines() -> Iterator[Note]:
    """Print the parts side by side."""
    with light_server() as url:
        us = Parts(asyncio.run(_run(url, _time)))
        counts = count(url) if instructions.HAS_VALGRIND else None
    head = ["", "us: ours", "by hand"]
    rows = [[name, f"{ours:.1f}", f"{by_hand:.1f}"] for name, ours, by_hand in us.rows()]
    if counts is not None:
        head += ["instructions: ours", "by hand"]
        for row, (_, ours, by_hand) in zip(rows, counts.rows(), strict=True):
            row += [f"{ours:,.0f}", f"{by_hand:,.0f}"]
    yield from table(head, rows)
    if counts is None:
        yield Note("valgrind is not on this machine, so no instructions were counted")
        return
    of = ", ".join(f"{who} {counts[who]:,.0f} ({counts[who] / counts[BY_HAND]:.3f})" for who in (BY_HAND, OURS, BOUND))
    yield Note(f"instructions of a call, and their ratio to those by hand: {of}")


def count(url: str) -> Parts:
    """Count the instructions of each act."""
    return Parts(instructions.count("tests.benchmarks.parts", url))


async def _run(url: str, measure: Callable[[Mapping[str, Act], list[_User]], Awaitable[T]]) -> T:
    bound, connections = Bound(url), Connections(None)
    async with (
        Session(base_url=url, limiter=LocalLimiter()) as session,
        Session(base_url=url, limiter=LocalLimiter(), observe=lambda _: None) as observed,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
    ):
        keys = [make_credentials() for _ in range(USERS)]
        users = [_User(key, SolStaking(key, session), SolStaking(key, observed), User(key)) for key in keys]
        acts: dict[str, Act] = {
            OURS: lambda user: user.ours.balance(),
            BY_HAND: lambda user: balance_by_hand(http, url, user.credentials),
            BOUND: lambda user: bound.balance(user.bound),
            "observed": lambda user: user.observed.balance(),
            **_by_hand(url, http),
            **_ours(url, connections.open(for_write=False), await _request_of(url)),
        }
        try:
            return await measure(acts, users)
        finally:
            await bound.aclose()
            await connections.aclose()


def _by_hand(url: str, http: aiohttp.ClientSession) -> dict[str, Act]:
    headers = sign_by_hand(make_credentials())

    async def request(_: _User) -> None:
        async with http.get(url + PATH, headers=headers):
            pass

    async def read(_: _User) -> None:
        async with http.get(url + PATH, headers=headers) as response:
            await response.read()

    return {"request by hand": request, "read by hand": read}


def _ours(url: str, http: aiohttp.ClientSession, sent: ClientRequest) -> dict[str, Act]:
    """Return a bare request, and what is made together with it, as far as the name says."""
    to, origin = sent.url, sent.url.origin()
    limiter = LocalLimiter()

    async def request(_: _User) -> ClientResponse:
        return await http.request("GET", to, allow_redirects=False, timeout=CLIENT_TIMEOUT, middlewares=())

    async def middleware(_: _User) -> None:
        await http.request("GET", to, allow_redirects=False, timeout=CLIENT_TIMEOUT, middlewares=(_pass_on,))

    async def read(user: _User) -> None:
        await read_body(await request(user))

    async def sign(user: _User) -> None:
        await request(user)
        await Signer(user.credentials, origin)(sent, _respond)

    async def sign_plainly(user: _User) -> None:
        await request(user)
        sign_by_hand(user.credentials)

    async def bucket(user: _User) -> None:
        await request(user)
        key = BucketKey(url, False, user.credentials.owner, BALANCE.method, BALANCE.path)  # noqa: FBT003 - demo
        lease = await limiter.bucket(key, BALANCE.limit).acquire(None)
        lease.answered()

    async def decode(user: _User) -> None:
        await request(user)
        BALANCE.decode(read_envelope(BODY).data)

    async def load(user: _User) -> None:
        await request(user)
        json.loads(BODY)

    return {
        "request": request,
        "middleware": middleware,
        "read": read,
        "sign": sign,
        "sign by hand": sign_plainly,
        "bucket": bucket,
        "decode": decode,
        "decode by hand": load,
    }


async def _pass_on(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    return await handler(request)


async def _respond(_: ClientRequest) -> ClientResponse:
    return None  # type: ignore[return-value] # the signer only passes it on


async def _request_of(url: str) -> ClientRequest:
    """Return a real request, one that was sent."""
    seen: list[ClientRequest] = []

    async def note(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        seen.append(request)
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(note,)) as http, http.get(url + PATH) as response:
        await response.read()
    return seen[0]


async def _time(acts: Mapping[str, Act], users: list[_User]) -> dict[str, float]:
    """Return the microseconds of each act."""
    costs: dict[str, list[float]] = {name: [] for name in acts}
    for number in range(REPEATS):
        gc.collect()
        # After a rest whatever comes first is slower.
        turn = number % len(acts)
        for name, act in (*[*acts.items()][turn:], *[*acts.items()][:turn]):
            began = time.process_time()
            for user in users:
                await act(user)
            costs[name].append((time.process_time() - began) / len(users) * 1e6)
        await asyncio.sleep(REST)
    return {name: statistics.median(each) for name, each in costs.items()}


async def _count(acts: Mapping[str, Act], users: list[_User]) -> None:
    gc.collect()
    gc.disable()
    for name, act in acts.items():
        await instructions.count_calls(name, act, users)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=instructions.SlowLoop) as runner:
        runner.run(_run(sys.argv[1], _count))
