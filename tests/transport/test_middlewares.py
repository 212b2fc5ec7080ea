"""Middlewares of the session's user run around each send."""

import asyncio
from decimal import Decimal

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, web

from okx_sol_async import (
    BALANCE,
    Balance,
    Session,
    Timeout,
)
from okx_sol_async.emulator import Emulator
from tests.support.limiters import InstantLimiter
from tests.support.scripted import CREDENTIALS, READ, Script, good, session_of
from tests.support.serving import serving
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


async def test_middlewares_run_outside_the_limit_outermost_first(exchange: Emulator) -> None:
    """They see a call before it is signed, in the order in which they were given."""
    seen: list[object] = []

    def watching(name: str) -> ClientMiddlewareType:
        async def watch(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
            seen.append((name, "OK-ACCESS-SIGN" in request.headers, len(limiter.events)))
            return await handler(request)

        return watch

    limiter = InstantLimiter()
    async with Session(
        base_url=exchange.url, limiter=limiter, middlewares=[watching("outer"), watching("inner")]
    ) as session:
        await session.call(BALANCE, exchange.credentials)

    assert [("outer", False, 0), ("inner", False, 0)] == seen


async def test_a_middleware_may_read_the_response(exchange: Emulator) -> None:
    """Aiohttp keeps what was read, and so it is there for the call."""

    async def read(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        seen.append(await response.json())
        return response

    seen: list[dict[str, object]] = []
    async with Session(base_url=exchange.url, middlewares=[read]) as session:
        assert EXPECTED == await session.call(BALANCE, exchange.credentials)

    assert "0" == seen[0]["code"]


async def test_a_middleware_may_wait_before_it_sends_again() -> None:
    """Its wait is neither on the wire nor in the queue."""

    async def again(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            await asyncio.sleep(0.4)
            return await handler(request)

    async def cut_twice(request: web.Request) -> web.Response:
        seen.append(request.path)
        if len(seen) <= 2:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"code": "0", "data": []})

    seen: list[str] = []
    async with serving(cut_twice) as url, Session(base_url=url, middlewares=[again], timeout=0.3) as session:
        assert 0 == (await session.call(BALANCE, CREDENTIALS)).amt


async def test_a_middleware_that_swallows_a_cancellation_leaves_the_task_as_it_was() -> None:
    """The time of the next attempt still counts, and the task of the caller is not left cancelled."""

    async def stubborn(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError:
            return await handler(request)

    async with (
        Emulator(latency=30) as exchange,
        Session(base_url=exchange.url, middlewares=[stubborn], timeout=0.1, attempts=1) as session,
    ):
        began = now()
        with pytest.raises(Timeout):
            await session.call(BALANCE, exchange.credentials)

    assert now() - began < 2
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_a_middleware_may_send_again_where_it_was_to_end() -> None:
    """It reads the response by itself, swallows the end of that, and leaves no task that counts as cancelled."""

    async def stubborn(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        try:
            await response.read()
        except asyncio.CancelledError:
            return await handler(request)
        return response

    async def slow_at_first(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(3)
        return response

    async with session_of(Script(slow_at_first, good), middlewares=[stubborn], attempts=1) as session:
        assert 1 == (await session.call(READ, CREDENTIALS)).amt

    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_a_middleware_may_have_aiohttp_send_again() -> None:
    """It reports a lost connection after a response. ``attempts`` limits the session only, but each send takes a lease."""
    lost: list[ClientResponse] = []

    async def lose(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        if not lost:
            lost.append(response)
            raise aiohttp.ServerDisconnectedError
        return response

    limiter, script = InstantLimiter(), Script(good)
    async with (
        serving(script.handle) as url,
        Session(base_url=url, limiter=limiter, middlewares=[lose], attempts=1) as session,
    ):
        response = await session.request(READ, CREDENTIALS)

    assert 2 == response.attempts == script.signed
    assert 2 == limiter.events.count("acquire")
    assert 1 == session.counters.resends
