"""Secrets go to one host only, and those of others do not go there."""

from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web
from rich.pretty import pretty_repr

from okx_sol_async import BALANCE, LocalLimiter, OKXError, Session
from okx_sol_async.emulator import Emulator
from tests.support.secrets_shown import CREDENTIALS, leaked
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock


async def test_secrets_go_to_the_configured_origin_only() -> None:
    """A redirect to another server is not followed."""
    visited = []

    async def elsewhere(request: web.Request) -> web.Response:
        visited.append(dict(request.headers))
        return web.Response()

    async with serving(elsewhere) as other:

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": other})

        async with serving(redirect) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
            with pytest.raises(OKXError, match="Redirects"):
                await session.call(BALANCE, CREDENTIALS)

    assert [] == visited


async def test_a_proxy_of_the_environment_is_not_used(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of our own goes to the origin directly."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async with Session(base_url=exchange.url) as session:
        await session.call(BALANCE, exchange.credentials)

    assert 1 == exchange.tally().accepted


@pytest.mark.real_clock
async def test_cookies_of_one_user_do_not_reach_another() -> None:
    """A session of our own keeps none."""
    cookies = []

    async def respond(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.json_response({"code": "0", "data": []}, headers={"Set-Cookie": "__cf_bm=abc"})

    async with serving(respond) as url:
        # aiohttp's own cookie jar keeps none of an IP address, so it takes a name to see the difference.
        named = url.replace("127.0.0.1", "localhost")
        async with Session(base_url=named, limiter=LocalLimiter()) as session:
            for _ in range(2):
                await session.call(BALANCE, CREDENTIALS)

    assert [None, None] == cookies


async def test_aiohttp_itself_shows_no_secret(exchange: Emulator) -> None:
    """A trace or a middleware of the user's that shows what it is given shows no secret."""
    shown = []

    async def show(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        shown.append(f"{request!r} {request.headers!r} {response!r} {response.request_info!r}")
        return response

    exchange.user.add_key(CREDENTIALS)
    async with Session(base_url=exchange.url, middlewares=[show], limiter=LocalLimiter()) as session:
        await session.call(BALANCE, CREDENTIALS)

    assert "OK-ACCESS-SIGN" in shown[0]
    assert set() == leaked(shown[0])


async def test_what_a_borrowed_session_holds_for_others_stays_there() -> None:
    """Its cookies and its ``Authorization`` do not reach OKX, and no header of its own says who calls."""
    seen: list[Mapping[str, str]] = []

    async def respond(request: web.Request) -> web.Response:
        seen.append(request.headers)
        return web.json_response({"code": "0", "data": []}, headers={"Set-Cookie": "__cf_bm=of-this-user"})

    theirs = {"Authorization": "Bearer theirs", "OK-ACCESS-KEY": "theirs", "x-simulated-trading": "1", "X-Team": "b"}
    async with (
        serving(respond) as url,
        aiohttp.ClientSession(
            base_url="https://elsewhere.example/x/",
            headers=theirs,
            cookies={"theirs": "cookie"},
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            auto_decompress=False,
            json_serialize=lambda value: "theirs",
        ) as http,
        Session(base_url=url, http=http, limiter=LocalLimiter()) as session,
    ):
        for _ in range(2):
            await session.call(BALANCE, CREDENTIALS)

    for headers in seen:
        assert {"Authorization", "Cookie", "x-simulated-trading"}.isdisjoint(headers)
        assert (CREDENTIALS.api_key, "b") == (headers["OK-ACCESS-KEY"], headers["X-Team"])


async def test_a_borrowed_session_is_shown_no_secret(exchange: Emulator) -> None:
    """Its own middlewares do not run, its traces see the headers as ``'***'``, and it keeps nothing of a call."""
    shown: list[str] = []

    async def ran(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        shown.append("its middleware ran")
        return await handler(request)

    async def note(http: aiohttp.ClientSession, context: object, parameters: object) -> None:
        shown.append(repr(parameters) + pretty_repr(parameters))

    trace = aiohttp.TraceConfig()
    for signal in (trace.on_request_start, trace.on_request_headers_sent, trace.on_request_end):
        signal.append(note)  # type: ignore[arg-type]
    exchange.user.add_key(CREDENTIALS)
    async with (
        aiohttp.ClientSession(middlewares=[ran], trace_configs=[trace], raise_for_status=True) as http,
        Session(base_url=exchange.url, http=http, limiter=LocalLimiter()) as session,
    ):
        await session.call(BALANCE, CREDENTIALS)
        shown.append(repr(vars(http)) + pretty_repr(http))

    assert "OK-ACCESS-SIGN" in "".join(shown)
    assert "its middleware ran" not in shown
    assert set() == leaked("".join(shown))
