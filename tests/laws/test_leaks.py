"""Nothing leaks: whatever fails, and however it is shown, the secrets stay where they belong."""

import asyncio
import copy
import html
import io
import json
import logging
import pickle
import traceback
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import attrs
import pytest
from aiohttp import web
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from okx_sol_async import BALANCE, CallReport, Credentials, LocalLimiter, OKXError, Session, Signer, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport import resend
from okx_sol_async.transport.call import Call
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", 'Pass"phrase#1')
SECRETS = [CREDENTIALS.secret_key, CREDENTIALS.passphrase, CREDENTIALS.passphrase.replace('"', '\\"')]
# Any eight characters in a row of a secret count as a leak of it, in any spelling that is read as them.
PARTS = {secret[start : start + 8] for secret in SECRETS for start in range(len(secret) - 7)}


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.0)


def leaked(text: str) -> set[str]:
    found = {part for part in PARTS if part in text}
    return found | ({CREDENTIALS.api_key} if CREDENTIALS.api_key in text else set())


def shown_by_rich(error: BaseException) -> str:
    """Return what rich prints of a traceback with its locals, which asks no attrs class for its repr."""
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True, max_frames=1000))
    return console.export_text()


def shown_by_sentry(error: BaseException) -> str:
    """Return what a service for crash reports is sent: the locals, and whatever is in those that are containers."""

    def unfold(value: object, depth: int) -> str:
        if depth and isinstance(value, Mapping):
            return " ".join(f"{unfold(key, depth - 1)}={unfold(item, depth - 1)}" for key, item in value.items())
        if depth and isinstance(value, list | tuple | set | frozenset):
            return " ".join(unfold(item, depth - 1) for item in value)
        return repr(value)

    below_the_test = error.__traceback__.tb_next if error.__traceback__ else None
    return "\n".join(unfold(frame.f_locals, 5) for frame, _ in traceback.walk_tb(below_the_test))


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
    """Answer with something that is not HTTP."""
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


@pytest.mark.real_clock
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


# Whatever an object is turned into.


def of_attrs(value: object) -> str:
    return repr(attrs.asdict(value)) if attrs.has(type(value)) else ""


TURNED_INTO: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "format": "{0} {0!s} {0!a}".format,
    "vars": lambda value: vars(value) if hasattr(value, "__dict__") else "",
    "asdict": of_attrs,
    "asdict of settings": lambda value: attrs.asdict(attrs.make_class("Settings", ["inner"])(value)),
    "json": lambda value: json.dumps(value, default=of_attrs),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.dumps(value).decode("latin-1"),
    "rich": pretty_repr,
    "dir": lambda value: [
        getattr(value, name) for name in dir(value) if name not in {"api_key", "secret_key", "passphrase"}
    ],
}


@pytest.mark.parametrize("way", TURNED_INTO)
async def test_no_public_object_shows_a_secret(way: str) -> None:
    """Except where it is asked for one by name. What cannot be turned into something says why, without one."""
    session = Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter())
    report: list[CallReport] = []
    telling = Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter(), attempts=1, observe=report.append)
    with pytest.raises(OKXError) as caught:
        await telling.call(BALANCE, CREDENTIALS)
    await telling.aclose()
    objects: list[object] = [
        CREDENTIALS,
        SolStaking(CREDENTIALS, session),
        Signer(CREDENTIALS, "https://openapi.okx.com"),
        session,
        session.bucket(BALANCE, CREDENTIALS),
        session._state,
        session._state.bucket_key(BALANCE, CREDENTIALS),
        session._state.limiter,
        Call(session._state, session._options, aiohttp.ClientSession(), BALANCE, CREDENTIALS),
        report[0],
        caught.value,
    ]
    shown = ""
    for value in objects:
        try:
            shown += repr(TURNED_INTO[way](value))
        except (TypeError, AttributeError, ValueError, pickle.PicklingError) as error:
            shown += repr(error)
    await objects[8].http.close()  # type: ignore[attr-defined]

    assert set() == leaked(shown)


def test_credentials_are_not_pickled() -> None:
    """A pickle is kept and sent without anybody thinking of what is in it."""
    with pytest.raises(TypeError, match=r"give the other process the three texts, or Credentials\.from_env"):
        pickle.dumps(CREDENTIALS)

    assert copy.deepcopy([CREDENTIALS])[0] is CREDENTIALS is copy.copy(CREDENTIALS)


# A session that was borrowed.


async def test_what_a_borrowed_session_holds_for_others_stays_there() -> None:
    """Its cookies and its ``Authorization`` do not reach OKX, and no header of its own says who calls."""
    seen: list[Mapping[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers)
        return web.json_response({"code": "0", "data": []}, headers={"Set-Cookie": "__cf_bm=of-this-user"})

    theirs = {"Authorization": "Bearer theirs", "OK-ACCESS-KEY": "theirs", "x-simulated-trading": "1", "X-Team": "b"}
    async with (
        serving(answer) as url,
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


@pytest.mark.parametrize("raising", [None, OKXError("theirs")])
async def test_an_answer_that_a_middleware_keeps_frees_its_connection(raising: OKXError | None) -> None:
    """One that ends before it hands the answer on leaves no connection open."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b" " * 1000)
        await asyncio.sleep(5)
        return response

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
