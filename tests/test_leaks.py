"""Nothing leaks: whatever fails, and however it is shown, the secrets stay where they belong."""

import asyncio
import io
import json
import logging
import traceback
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from okx_sol_async import BALANCE, Credentials, LocalLimiter, OKXError, Session, Signer, SolStaking
from okx_sol_async.emulator import Emulator
from tests.serving import serving

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", 'Pass"phrase#1')
SECRETS = [CREDENTIALS.secret_key, CREDENTIALS.passphrase, CREDENTIALS.passphrase.replace('"', '\\"')]
# Any eight characters in a row of a secret count as a leak of it.
PARTS = {secret[start : start + 8] for secret in SECRETS for start in range(len(secret) - 7)}


def leaked(text: str) -> set[str]:
    found = {part for part in PARTS if part in text}
    return found | ({CREDENTIALS.api_key} if CREDENTIALS.api_key in text else set())


def shown_by_rich(error: BaseException) -> str:
    """Return what rich prints of a traceback with its locals, which asks no attrs class for its repr."""
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True, max_frames=1000))
    return console.export_text()


def shown_of(error: BaseException) -> str:
    """Return all that a tool may show of an error: its text, its chain, and the locals of each frame below the test."""
    told = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None:
            continue
        below_the_test = one.__traceback__.tb_next if one is error and one.__traceback__ else one.__traceback__
        stack = traceback.StackSummary.extract(traceback.walk_tb(below_the_test), capture_locals=True)
        told += [repr(one), str(one), repr(one.args), repr(vars(one)), *stack.format()]
        pending += [one.__cause__, one.__context__]
    return "\n".join(told)


def echo(request: web.Request) -> str:
    return json.dumps(dict(request.headers)) + repr(dict(request.headers))


async def echo_msg(request: web.Request) -> web.Response:
    """Refuse, and send the headers back in the message, at every distance from its beginning."""
    return web.json_response({"code": "50113", "msg": "x" * 170 + echo(request)}, status=401)


async def echo_page(request: web.Request) -> web.Response:
    """Answer with a page that begins near the end of what is quoted of it."""
    return web.Response(text="<html>" + "." * 60 + request.headers["OK-ACCESS-PASSPHRASE"] + echo(request))


async def echo_field(request: web.Request) -> web.Response:
    """Put the passphrase where a number belongs."""
    phrase = request.headers["OK-ACCESS-PASSPHRASE"]
    row = {"ccy": "x", "amt": phrase, "latestInterestAccrual": "x" * 30 + phrase, "totalInterestAccrual": [phrase]}
    return web.json_response({"code": "0", "data": [row]})


async def echo_trace(request: web.Request) -> web.Response:
    """Name the call by its passphrase."""
    return web.Response(status=500, headers={"x-trace-id": "t" * 60 + request.headers["OK-ACCESS-PASSPHRASE"]})


async def echo_redirect(request: web.Request) -> web.Response:
    """Send the caller elsewhere."""
    phrase = request.headers["OK-ACCESS-PASSPHRASE"].replace('"', "")
    return web.Response(status=302, headers={"Location": f"http://127.0.0.1:9/{phrase}"})


async def break_head(request: web.Request) -> web.StreamResponse:
    """Answer with something that is not HTTP."""
    assert request.transport is not None
    request.transport.write(b"HTTP/9.9 what\r\n" + request.headers["OK-ACCESS-PASSPHRASE"].encode() + b"\r\n\r\n")
    await asyncio.sleep(0.05)
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.Response:
    """Answer too late."""
    await asyncio.sleep(1)
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    """Break off in the middle."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(echo(request).encode())
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    "answer",
    [echo_msg, echo_page, echo_field, echo_trace, echo_redirect, break_head, hang, cut],
    ids=lambda f: f.__name__,
)
async def test_no_failure_shows_a_secret(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in its text, its attributes, its chain, its frames' locals, or a log at any level, even if a server echoes it."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)

    async with serving(answer) as url, Session(base_url=url, timeout=0.3, limiter=LocalLimiter()) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(BALANCE, CREDENTIALS)
        reprs = repr(session) + repr(SolStaking(CREDENTIALS, session)) + repr(session._route)

    assert set() == leaked(shown_of(caught.value))
    assert set() == leaked(shown_by_rich(caught.value))
    assert set() == leaked(reprs + caplog.text)


async def test_a_failing_connection_shows_no_secret() -> None:
    """Nor does an error of the connector."""
    async with Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter()) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert set() == leaked(shown_of(caught.value))


@pytest.mark.parametrize("leaving", [0.05, 0.0])
async def test_a_cancelled_call_shows_no_secret(leaving: float) -> None:
    """The frames of aiohttp that a cancellation passes through show none either."""
    async with Emulator(latency=5) as exchange, Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        exchange.user.add_key(CREDENTIALS)
        task = asyncio.create_task(session.call(BALANCE, CREDENTIALS))
        await asyncio.sleep(leaving)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    assert set() == leaked(shown_of(caught.value))
    assert set() == leaked(shown_by_rich(caught.value))


def test_tools_that_look_into_attrs_classes_see_no_secret() -> None:
    """Rich prints the fields of an attrs class, and pytest compares two of them field by field."""
    other = Credentials("other-key", "other-secret", "other-passphrase")
    signer = Signer(CREDENTIALS, "https://openapi.okx.com")
    with pytest.raises(AssertionError) as caught:
        assert CREDENTIALS == other

    assert set() == leaked(pretty_repr(CREDENTIALS) + pretty_repr(signer) + str(caught.value))


async def test_the_search_finds_what_it_looks_for() -> None:
    """The check can fail: an error that was raised with the headers at hand is caught by it."""

    def careless() -> None:
        headers = {"OK-ACCESS-PASSPHRASE": CREDENTIALS.passphrase}
        raise ValueError(str(len(headers)))

    with pytest.raises(ValueError) as caught:
        careless()

    assert leaked(shown_of(caught.value))


async def test_secrets_go_to_the_configured_origin_only() -> None:
    """A redirect to another server reaches nobody."""
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


async def test_cookies_of_one_user_do_not_reach_another() -> None:
    """A session of our own keeps none."""
    cookies = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.json_response({"code": "0", "data": []}, headers={"Set-Cookie": "__cf_bm=abc"})

    async with serving(answer) as url:
        # aiohttp's own cookie jar keeps none of an IP address, so it takes a name to tell the difference.
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
