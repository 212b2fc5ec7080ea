"""A server that keeps what was requested."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from okx_sol_async import (
    Credentials,
    LocalLimiter,
    Session,
    SolStaking,
)
from tests.support.serving import serving

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")


class Recorder:
    """Keeps what was requested, and responds with no rows."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.targets.append(request.raw_path)
        self.bodies.append(await request.read())
        self.keys.append(request.headers.get("OK-ACCESS-KEY"))
        return web.json_response({"code": "0", "msg": "", "data": []})


@contextlib.asynccontextmanager
async def recording() -> AsyncIterator[tuple[Recorder, SolStaking]]:
    recorder = Recorder()
    async with serving(recorder.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        yield recorder, SolStaking(CREDENTIALS, session)
