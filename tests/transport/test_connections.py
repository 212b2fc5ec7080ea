"""A connection is free again, whatever becomes of its response."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from okx_sol_async import BALANCE, LocalLimiter, OKXError, Session
from okx_sol_async.transport import _http
from okx_sol_async.transport._http import CLIENT_TIMEOUT, Connections
from tests.support.secrets_shown import CREDENTIALS
from tests.support.serving import serving
from tests.support.virtual_time import run

pytestmark = pytest.mark.virtual_clock


async def endless(request: web.Request) -> web.StreamResponse:
    """Begin a response, and do not end it for as long as a test waits."""
    response = web.StreamResponse(headers={"Content-Length": "1000000"})
    await response.prepare(request)
    await response.write(b" " * 1000)
    await asyncio.sleep(5)
    return response


@pytest.mark.parametrize("raising", [None, OKXError("theirs")])
async def test_a_response_that_a_middleware_keeps_frees_its_connection(raising: OKXError | None) -> None:
    """A middleware that ends before it returns the response leaves no connection open."""

    async def keep(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        if raising is not None:
            raise raising
        await asyncio.sleep(5)
        return response

    async with (
        serving(endless) as url,
        Session(base_url=url, limiter=LocalLimiter(), middlewares=[keep], timeout=0.2, attempts=1) as session,
    ):
        with pytest.raises(OKXError):
            await session.call(BALANCE, CREDENTIALS)
        assert session._connections._reads is not None
        assert session._connections._reads.connector is not None
        assert not session._connections._reads.connector._acquired


async def test_a_response_that_a_middleware_has_got_elsewhere_frees_its_connection() -> None:
    """A call that is cancelled while it reads one closes it, though it is no response to a send of the call."""
    got: list[aiohttp.ClientResponse] = []

    async def elsewhere(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        got.append(await http.get(request.url))
        return got[0]

    async with (
        serving(endless) as url,
        aiohttp.ClientSession() as http,
        Session(base_url=url, limiter=LocalLimiter(), middlewares=[elsewhere]) as session,
    ):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.call(BALANCE, CREDENTIALS), 0.2)

    assert got[0].closed


async def test_what_a_session_opens() -> None:
    """Two clients, with as many connections as the documentation says; those of writes are never used again. Each may take five seconds."""
    async with Session() as session:
        reads, writes = (session._connections.open(for_write=for_write) for for_write in (False, True))

        assert reads is session._connections.open(for_write=False)
        assert writes is session._connections.open(for_write=True)
        assert session._connections.loop is asyncio.get_running_loop()
        assert [256, 256] == [http.connector and http.connector.limit for http in (reads, writes)]
        assert [False, True] == [http.connector and http.connector.force_close for http in (reads, writes)]
    assert 5.0 == CLIENT_TIMEOUT.connect


async def _refuse_to_close() -> None:
    raise RuntimeError


def test_connections_of_a_loop_that_is_gone_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What aiohttp raises about them is an error only on the loop that they belong to."""
    monkeypatch.setattr(_http, "_open_http", lambda **_: SimpleNamespace(close=_refuse_to_close))

    async def opened() -> Connections:
        connections = Connections(None)
        connections.open(for_write=False)
        return connections

    async def open_and_close() -> None:
        await (await opened()).aclose()

    run(run(opened()).aclose())
    with pytest.raises(RuntimeError):
        run(open_and_close())
