"""Nothing leaks: whatever fails, and however it is shown, the secrets stay where they belong."""

import asyncio
import html
import json
import logging
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from okx_sol_async import BALANCE, PURCHASE, Endpoint, LocalLimiter, OKXError, Session, SolStaking
from okx_sol_async.emulator import Emulator
from tests.support.secrets_shown import CREDENTIALS, leaked, shown_by_rich, shown_by_sentry, shown_of
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock


def echo(request: web.Request) -> str:
    return json.dumps(dict(request.headers)) + repr(dict(request.headers))


async def echo_msg(request: web.Request) -> web.Response:
    """Refuse, and send the headers back in the message, at every distance from its beginning."""
    return web.json_response({"code": "50113", "msg": "x" * 170 + echo(request)}, status=401)


async def echo_page(request: web.Request) -> web.Response:
    """Respond with a page that begins near the end of what is quoted of it."""
    return web.Response(text="<html>" + "." * 60 + request.headers["OK-ACCESS-PASSPHRASE"] + echo(request))


async def echo_field(request: web.Request) -> web.Response:
    """Put the passphrase where a number belongs."""
    phrase = request.headers["OK-ACCESS-PASSPHRASE"]
    row = {"ccy": "x", "amt": phrase, "latestInterestAccrual": "x" * 30 + phrase, "totalInterestAccrual": [phrase]}
    return web.json_response({"code": "0", "data": [row]})


async def echo_code(request: web.Request) -> web.Response:
    """Put the passphrase where a code belongs, in a spelling of JSON's that is another in the bytes."""
    phrase = "".join(f"\\u{ord(c):04x}" for c in request.headers["OK-ACCESS-PASSPHRASE"])
    return web.Response(text=f'{{"code":"{phrase}","msg":"{phrase}"}}')


async def echo_escaped(request: web.Request) -> web.Response:
    """Show the headers on a page, escaped as HTML is."""
    return web.Response(text="<pre>" + html.escape(request.headers["OK-ACCESS-PASSPHRASE"]))


async def echo_trace(request: web.Request) -> web.Response:
    """Name the call by its passphrase."""
    return web.Response(status=500, headers={"x-trace-id": "t" * 60 + request.headers["OK-ACCESS-PASSPHRASE"]})


async def echo_redirect(request: web.Request) -> web.Response:
    """Send the caller elsewhere."""
    phrase = request.headers["OK-ACCESS-PASSPHRASE"].replace('"', "")
    return web.Response(status=302, headers={"Location": f"http://127.0.0.1:9/{phrase}"})


async def break_head(request: web.Request) -> web.StreamResponse:
    """Respond with something that is not HTTP."""
    assert request.transport is not None
    request.transport.write(b"HTTP/9.9 what\r\n" + request.headers["OK-ACCESS-PASSPHRASE"].encode() + b"\r\n\r\n")
    await asyncio.sleep(0.05)
    request.transport.abort()
    return web.Response()


async def break_head_late(request: web.Request) -> web.StreamResponse:
    """The same, with the passphrase where the text of an error is cut."""
    assert request.transport is not None
    for header in ("OK-ACCESS-PASSPHRASE", "OK-ACCESS-SIGN"):
        request.transport.write(b"HTTP/9.9 " + b"x" * 117 + request.headers[header].encode() + b"\r\n\r\n")
    await asyncio.sleep(0.05)
    request.transport.abort()
    return web.Response()


async def break_header(request: web.Request) -> web.StreamResponse:
    """Send a header that is too long, and made of the passphrase."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nx: " + request.headers["OK-ACCESS-PASSPHRASE"].encode() * 2000)
    await asyncio.sleep(0.05)
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.Response:
    """Respond too late."""
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
    [
        echo_msg,
        echo_page,
        echo_field,
        echo_code,
        echo_escaped,
        echo_trace,
        echo_redirect,
        break_head,
        break_head_late,
        break_header,
        hang,
        cut,
    ],
    ids=lambda f: f.__name__,
)
async def test_no_failure_shows_a_secret(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in its text, its attributes, its chain, its frames' locals, or a log at any level, even if a server echoes it."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    signatures: list[str] = []

    async def noting(request: web.Request) -> web.StreamResponse:
        signatures.append(request.headers["OK-ACCESS-SIGN"])
        return await answer(request)

    async with serving(noting) as url, Session(base_url=url, timeout=0.3, limiter=LocalLimiter()) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(BALANCE, CREDENTIALS)
        reprs = repr(session) + repr(SolStaking(CREDENTIALS, session)) + repr(session._state)

    shown = shown_of(caught.value) + shown_by_sentry(caught.value) + reprs + caplog.text
    assert set() == leaked(shown)
    assert set() == leaked(shown_by_rich(caught.value))
    # rich shows the locals of this test too.
    assert [] == [signature for signature in signatures if signature[:8] in shown]


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
    assert set() == leaked(shown_by_sentry(caught.value))


async def echo_and_hang(request: web.Request) -> web.StreamResponse:
    """Send the headers back, in the head and in the body, and never end."""
    headers = {f"x-{name}": value for name, value in request.headers.items()}
    response = web.StreamResponse(headers=headers | {"Content-Length": "5000"})
    await response.prepare(request)
    await response.write(echo(request).encode())
    await asyncio.sleep(60)
    return response


async def fail_afterwards(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Fail like a middleware of the caller's, which has read what has come."""
    response = await handler(request)
    body = await response.content.readany()
    raise KeyError(str(len(body)))


@pytest.mark.parametrize("endpoint", [BALANCE, PURCHASE], ids=["read", "write"])
@pytest.mark.parametrize("end", ["cancelled", "timed out", "closed", "failed in a middleware"])
async def test_a_response_that_echoes_everything_shows_no_secret(
    end: str, endpoint: Endpoint[object], caplog: pytest.LogCaptureFixture
) -> None:
    """However the call ends while its body is read, no frame below the caller's shows what a server sent back."""
    caplog.set_level(logging.DEBUG)
    middlewares = [fail_afterwards] if end == "failed in a middleware" else []
    async with serving(echo_and_hang) as url:
        session = Session(base_url=url, timeout=5, attempts=1, limiter=LocalLimiter(), middlewares=middlewares)
        task = asyncio.create_task(session.call(endpoint, CREDENTIALS, {"amt": "1"} if endpoint is PURCHASE else None))
        await asyncio.sleep(1)
        if end == "cancelled":
            task.cancel()
        if end == "closed":
            await session.aclose()
        with pytest.raises((OKXError, asyncio.CancelledError)) as caught:
            await task
        await session.aclose()

    assert set() == leaked(shown_of(caught.value) + shown_by_sentry(caught.value) + caplog.text)
    assert set() == leaked(shown_by_rich(caught.value))


async def test_the_search_finds_what_it_looks_for() -> None:
    """The check can fail: an error that was raised with the headers at hand is caught by it."""

    def careless() -> None:
        headers = {"OK-ACCESS-PASSPHRASE": CREDENTIALS.passphrase}
        raise ValueError(str(len(headers)))

    with pytest.raises(ValueError) as caught:
        careless()

    assert leaked(shown_of(caught.value))
