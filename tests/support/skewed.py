"""A server with a clock of its own, and the clocks of this machine on that of the event loop."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web

from okx_sol_async import (
    LocalLimiter,
    Session,
)
from okx_sol_async.transport._clock import TOLERANCE
from tests.support.scripted import ROW
from tests.support.serving import serving
from tests.support.virtual_time import now

NOW = 1_700_000_000.0


TIME = "/api/v5/public/time"


def wall() -> float:
    return NOW + now()


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


class SkewedServer:
    """A server with a clock of its own, and a `Date` that follows it, lies, or is missing."""

    def __init__(self, off: float, date_off: float | None = 0.0) -> None:
        self.off = off
        #: What `Date` is off this server's own clock; `None` for no `Date` at all.
        self.date_off = date_off
        #: Headers of its answers besides.
        self.headers: dict[str, str] = {}
        self.paths: list[str] = []
        self.refuse_always = False
        self.tells_time = True
        #: What each signed request was ahead of the clock of this machine, in seconds.
        self.signed_ahead: list[float] = []
        #: How long each answer on the time takes, one after the other, on its way back.
        self.delays: list[float] = []

    def now(self) -> float:
        return wall() + self.off

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path)
        status, answer = 200, {"code": "0", "msg": "", "data": [ROW]}
        if request.path == TIME and not self.tells_time:
            # Long enough that many calls need it meanwhile.
            await asyncio.sleep(0.1)
            status, answer = 400, {"code": "50000", "msg": "no"}
        elif request.path == TIME:
            answer = {"code": "0", "msg": "", "data": [{"ts": str(int(self.now() * 1000))}]}
            await asyncio.sleep(self.delays.pop(0) if self.delays else 0)
        else:
            signed = datetime.fromisoformat(request.headers["OK-ACCESS-TIMESTAMP"]).timestamp()
            self.signed_ahead.append(signed - wall())
            if abs(self.now() - signed) > TOLERANCE or self.refuse_always:
                status, answer = 401, {"code": "50102", "msg": "Timestamp request expired"}
        response = web.Response(status=status, body=json.dumps(answer).encode(), content_type="application/json")
        if self.date_off is not None:
            response.headers["Date"] = http_date(self.now() + self.date_off)
        else:
            response.headers["Date"] = "soon"
        if request.path != TIME:
            response.headers.update(self.headers)
        return response

    @property
    def signed(self) -> int:
        return len(self.paths) - self.paths.count(TIME)


@asynccontextmanager
async def session_with(exchange: SkewedServer) -> AsyncIterator[Session]:
    async with serving(exchange.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        yield session
