"""A server that gives the responses of a script, and the endpoints and the session that tests use with it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import attrs
from aiohttp import ClientMiddlewareType, web

from okx_sol_async import BALANCE, Credentials, Endpoint, LocalLimiter, RateLimit, Scope, Session
from tests.support.serving import serving

CREDENTIALS: Final = Credentials(
    "8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1"
)
#: A row of a balance, and the response around it.
ROW: Final = {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "0", "totalInterestAccrual": "0"}
GOOD: Final = json.dumps({"code": "0", "msg": "", "data": [ROW]}).encode()
#: A limit that no test waits for.
FAST: Final = RateLimit(1000, 0.001, Scope.USER)
READ: Final = attrs.evolve(BALANCE, limit=FAST)
WRITE: Final[Endpoint[object]] = Endpoint(
    "POST", "/api/v5/finance/staking-defi/sol/purchase", FAST, decode=lambda data: data, safe_to_resend=False
)
Reply = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def page(status: int, body: bytes, content_type: str = "text/html") -> Reply:
    """Return what replies with a page."""

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type)

    return reply


def coded(code: str, status: int = 200) -> Reply:
    """Return what replies with one of OKX's codes."""
    return page(status, json.dumps({"code": code, "msg": "no", "data": []}).encode(), "application/json")


#: The reply with a balance.
good: Final = page(200, GOOD, "application/json")


async def reset(request: web.BaseRequest) -> web.StreamResponse:
    """Reset the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(request: web.BaseRequest) -> web.StreamResponse:
    """Reply with the first part of a balance, and close the connection."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + GOOD[:30])
    request.transport.close()
    return web.Response()


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    """Reply later than any test waits for."""
    await asyncio.sleep(5)
    return web.Response()


class Script:
    """A server that gives each reply once, and the last one from then on."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.timestamps: list[str] = []
        self.bodies: list[bytes] = []
        self.asked = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.timestamps.append(request.headers.get("OK-ACCESS-TIMESTAMP", ""))
        self.bodies.append(await request.read())
        self.asked.set()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return await reply(request)

    @property
    def signed(self) -> int:
        """How many signed requests arrived: all but those for OKX's time."""
        return sum(map(bool, self.timestamps))


@asynccontextmanager
async def session_of(
    script: Script,
    *,
    timeout: float = 0.5,  # noqa: ASYNC109 - the session's
    attempts: int = 3,
    middlewares: Iterable[ClientMiddlewareType] = (),
) -> AsyncIterator[Session]:
    """Yield a session whose calls go to the server of ``script``, with limits of its own."""
    async with (
        serving(script.handle) as url,
        Session(
            base_url=url, limiter=LocalLimiter(), timeout=timeout, attempts=attempts, middlewares=middlewares
        ) as session,
    ):
        yield session
