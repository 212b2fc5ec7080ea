"""What goes over HTTP, and what does not: connections, redirects, sizes, borrowed sessions."""

import asyncio
import contextlib
from decimal import Decimal

import aiohttp
import attrs
import pytest
from aiohttp import web

from okx_sol_async import (
    BALANCE,
    Balance,
    ConfigurationError,
    OKXError,
    Rejected,
    Session,
    TransportError,
)
from okx_sol_async.emulator import Emulator
from tests.support.scripted import CREDENTIALS
from tests.support.serving import request_of, serving, serving_raw

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


async def test_nothing_listens() -> None:
    """A refused connection says so and what to check."""
    async with Emulator() as exchange:
        url = exchange.url

    async with Session(base_url=url) as session:
        with pytest.raises(TransportError, match="Cannot connect") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert caught.value.hint is not None
    assert str(BALANCE) == caught.value.endpoint
    assert caught.value.__cause__ is None is caught.value.__context__


async def test_a_redirect_is_not_followed() -> None:
    """It would carry the signature away; it is named instead."""
    seen = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with serving(elsewhere) as url, Session(base_url=url) as session:
        with pytest.raises(Rejected, match="Redirects") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert (None, 307) == (caught.value.code, caught.value.status)
    assert [BALANCE.path] == seen


async def test_a_response_without_end_is_cut_off() -> None:
    """No more than a mebibyte is read, and the connection is not used again."""

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65536)
        return response

    async with serving(flood) as url, Session(base_url=url) as session:
        with pytest.raises(OKXError, match="longer than") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert 200 == caught.value.status


async def test_a_response_that_ends_in_its_head() -> None:
    """The error does not show the half of it."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Half: 5\r\n")
        await writer.drain()

    async with serving_raw(half) as url, Session(base_url=url, attempts=1) as session:
        with pytest.raises(TransportError) as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert "Server disconnected" in str(caught.value)
    assert "Half" not in str(caught.value)


async def test_a_path_is_sent_as_it_is_named() -> None:
    """It is what was signed."""
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.json_response({"code": "0", "data": []})

    endpoint = attrs.evolve(BALANCE, path="/api/v5/x/../y//z")
    async with serving(note) as url, Session(base_url=url) as session:
        await session.call(endpoint, CREDENTIALS)

    assert [endpoint.path] == seen


async def test_the_user_agent_is_our_own(exchange: Emulator) -> None:
    """With the version, in a session of our own and in a borrowed one."""
    agents = []

    async def note(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.json_response({"code": "0", "data": []})

    async with serving(note) as url, aiohttp.ClientSession() as http:
        for session in (Session(base_url=url), Session(base_url=url, http=http)):
            async with session:
                await session.call(BALANCE, CREDENTIALS)

    assert ["okx-sol-async/0.1.0"] * 2 == agents


async def test_a_borrowed_session_is_never_closed(exchange: Emulator) -> None:
    """It may have other uses, and its own settings do not reach our calls."""
    async with aiohttp.ClientSession(
        raise_for_status=True, timeout=aiohttp.ClientTimeout(total=0.001), headers={"OK-ACCESS-KEY": "theirs"}
    ) as http:
        async with Session(base_url=exchange.url, http=http) as session:
            assert EXPECTED == await session.call(BALANCE, exchange.credentials)

        assert not http.closed


async def test_a_borrowed_session_that_was_closed_is_named(exchange: Emulator) -> None:
    """Before anything is sent."""
    http = aiohttp.ClientSession()
    await http.close()

    async with Session(base_url=exchange.url, http=http) as session:
        with pytest.raises(ConfigurationError, match="passed as http is closed"):
            await session.call(BALANCE, exchange.credentials)
