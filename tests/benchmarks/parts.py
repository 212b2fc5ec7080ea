"""Where the processor time of a call goes, beside that of a call signed by hand.

aiohttp is replaced by nothing, so that only the code around it is left, and each part of that is run by itself. In
such a tight loop the processor has everything at hand; between real calls it has not, and the same code takes longer.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import aiohttp

from okx_sol_async import BALANCE, BucketKey, Credentials, LocalLimiter, Session, Signer
from okx_sol_async.codec._envelope import read_envelope
from tests.benchmarks.plain import PATH, balance_by_hand, make_credentials, sign_by_hand
from tests.benchmarks.report import Note
from tests.benchmarks.server import BODY, light_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence

    from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

    Act = Callable[[Credentials], Awaitable[object]]

USERS = 200
REPEATS = 31
#: Seconds that users rest between their calls, so that no call waits.
REST = 0.2


def part_lines(extra: float) -> Iterator[Note]:
    """Say where the ``extra`` microseconds go that our call takes more than the hand-signed one."""
    parts = asyncio.run(_measure())
    around = parts.pop("around")
    yield Note(f"of the {extra:.1f} us above the hand-signed call, in tight loops:")
    parts["the call itself: its object, frames, timeout and checks"] = around - sum(parts.values())
    parts["aiohttp does more or less, and all is slower than in a tight loop"] = extra - around
    for name, cost in parts.items():
        yield Note(f"{cost:6.1f} us {cost / extra:5.0%}  {name}")


class _Response:
    """A response that is there at once."""

    status = 200
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.content = self
        self._chunks = [BODY]

    async def read(self) -> bytes:
        return BODY

    def read_nowait(self) -> bytes:
        return self._chunks.pop()

    def is_eof(self) -> bool:
        return True

    def at_eof(self) -> bool:
        return not self._chunks


class _Exchange:
    """The response to one call, after the middlewares."""

    def __init__(self, request: ClientRequest, middlewares: Sequence[ClientMiddlewareType]) -> None:
        self._request = request
        self._middlewares = middlewares

    def __await__(self) -> Generator[Any, None, ClientResponse]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> ClientResponse:
        for middleware in self._middlewares:
            return await middleware(self._request, _respond)
        return await _respond(self._request)

    async def __aexit__(self, *_: object) -> None:
        pass


class _NoHTTP:
    """An `aiohttp.ClientSession` that does nothing."""

    closed = False

    def __init__(self, request: ClientRequest) -> None:
        self._request = request

    @classmethod
    async def of_one_request(cls) -> Self:
        """Make one whose middlewares see a real request, one that was sent before."""
        seen: list[ClientRequest] = []

        async def note(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
            seen.append(request)
            return await handler(request)

        with light_server() as url:
            async with aiohttp.ClientSession(middlewares=(note,)) as http, http.get(url + PATH) as response:
                await response.read()
        return cls(seen[0])

    @property
    def url(self) -> str:
        return str(self._request.url.origin())

    def get(self, _url: str, *, headers: dict[str, str]) -> _Exchange:
        return _Exchange(self._request, ())

    def request(
        self, _method: str, _url: object, middlewares: Sequence[ClientMiddlewareType], **_: object
    ) -> _Exchange:
        return _Exchange(self._request, middlewares)


async def _respond(_: ClientRequest) -> ClientResponse:
    return cast("ClientResponse", _Response())


async def _measure() -> dict[str, float]:
    http = await _NoHTTP.of_one_request()
    pairs = {"around": _whole_calls(http), **_parts(http._request)}
    users = [make_credentials() for _ in range(USERS)]
    costs: dict[str, list[float]] = {name: [] for name in pairs}
    for _ in range(REPEATS):
        for name, (act, instead_of) in pairs.items():
            costs[name].append(await _cost(act, users) - await _cost(instead_of, users))
        await asyncio.sleep(REST)
    return {name: statistics.median(each) for name, each in costs.items()}


def _whole_calls(stand_in: _NoHTTP) -> tuple[Act, Act]:
    """Return our call and the hand-signed one, both without aiohttp."""
    http = cast("aiohttp.ClientSession", stand_in)
    session = Session(base_url=stand_in.url, limiter=LocalLimiter())
    # Not as a lent one, whose headers would be looked through.
    session._connections._reads = http

    async def ours(user: Credentials) -> None:
        await session.call(BALANCE, user)

    async def by_hand(user: Credentials) -> None:
        await balance_by_hand(http, stand_in.url, user)

    return ours, by_hand


def _parts(request: ClientRequest) -> dict[str, tuple[Act, Act]]:
    """Return parts of our call, each with what the hand-signed call does instead."""
    origin = request.url.origin()
    limiter = LocalLimiter()

    async def bucket(user: Credentials) -> None:
        key = BucketKey(str(origin), False, user.owner, BALANCE.method, BALANCE.path)  # noqa: FBT003 - demo
        lease = await limiter.bucket(key, BALANCE.limit).acquire(None)
        lease.answered()

    async def sign(user: Credentials) -> None:
        await Signer(user, origin)(request, _respond)

    async def sign_plainly(user: Credentials) -> None:
        sign_by_hand(user)
        await _respond(request)

    async def decode(_: Credentials) -> None:
        BALANCE.decode(read_envelope(BODY).data)

    async def load(_: Credentials) -> None:
        json.loads(BODY)

    async def nothing(_: Credentials) -> None:
        pass

    return {
        "bucket: its key, finding it, a lease taken and answered": (bucket, nothing),
        "signer: middleware and signature, less signing by hand": (sign, sign_plainly),
        "decode: envelope and Balance, less json.loads": (decode, load),
    }


async def _cost(act: Act, users: Sequence[Credentials]) -> float:
    """Return the microseconds on the processor that ``act`` takes for one user."""
    began = time.process_time()
    for user in users:
        await act(user)
    return (time.process_time() - began) / len(users) * 1e6
