"""A write whose middleware fails, or whose session closes, ends with an error that is true."""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, web
from aiohttp.client_reqrep import ConnectionKey

from okx_sol_async import (
    ConfigurationError,
    LocalLimiter,
    OutcomeUnknown,
    Rejected,
    Session,
    SessionClosed,
    TransportError,
)
from tests.support.scripted import (
    CREDENTIALS,
    GOOD,
    WRITE,
    Script,
    coded,
    hang,
    page,
    reset,
    session_of,
)
from tests.support.serving import http_response, request_of, serving, serving_raw
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock


async def test_a_write_that_found_no_connection_did_not_happen() -> None:
    """Nothing was sent, so its outcome is known."""
    async with Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter()) as session:
        with pytest.raises(TransportError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert 1 == caught.value.attempts


class Mute(Exception):
    """An error that cannot be written out."""

    def __str__(self) -> str:
        raise RuntimeError


#: What may happen to a middleware elsewhere, at another host or in a rule of its own, after the call was answered or lost.
ELSEWHERE: dict[str, Callable[[], Exception]] = {
    "no connection": lambda: aiohttp.ClientConnectorDNSError(
        ConnectionKey(
            "audit.invalid", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
        ),
        OSError(None, "unknown"),
    ),
    "no connection in time": lambda: aiohttp.ConnectionTimeoutError("audit"),
    "a refusal": lambda: Rejected("no", code="51000"),
    "settings": lambda: ConfigurationError("no"),
    "a wrong value": lambda: ValueError("no"),
    "a missing key": lambda: KeyError("no"),
    "a programming error": lambda: RecursionError("no"),
    "a group": lambda: ExceptionGroup("no", [ValueError("no"), ExceptionGroup("no", [KeyError("no")])]),
    "no text": Mute,
}


@pytest.mark.parametrize("borrows", [False, True])
@pytest.mark.parametrize("answer", ["good", "reset"])
@pytest.mark.parametrize("name", ELSEWHERE)
async def test_a_failure_elsewhere_in_a_middleware_says_nothing_of_a_write(
    name: str,
    answer: str,
    borrows: bool,  # noqa: FBT001
) -> None:
    """The write has arrived, so no error says that it did not happen."""

    async def audit(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        with contextlib.suppress(aiohttp.ClientError):
            await handler(request)
        error = ELSEWHERE[name]()
        raise error

    script = Script(page(200, GOOD, "application/json") if answer == "good" else reset)
    async with (
        serving(script.handle) as url,
        aiohttp.ClientSession() as http,
        Session(
            base_url=url, limiter=LocalLimiter(), http=http if borrows else None, middlewares=[audit], timeout=0.5
        ) as session,
    ):
        with pytest.raises(OutcomeUnknown):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert 1 == len(script.bodies)


@pytest.mark.parametrize("borrows", [False, True])
async def test_a_middleware_may_try_a_write_again_that_found_no_connection(borrows: bool) -> None:  # noqa: FBT001
    """Nothing has left each time, and that is what the error says, even inside an error of the middleware's own."""
    tries = []

    async def persist(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        for number in range(3):
            tries.append(number)
            with contextlib.suppress(aiohttp.ClientConnectorError):
                return await handler(request)
        raise aiohttp.ClientPayloadError

    async with (
        aiohttp.ClientSession() as http,
        Session(
            base_url="http://127.0.0.1:9",
            limiter=LocalLimiter(),
            http=http if borrows else None,
            middlewares=[persist],
        ) as session,
    ):
        with pytest.raises(TransportError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert [0, 1, 2] == tries
    assert 3 == caught.value.attempts


async def test_a_write_that_a_proxy_does_not_connect_did_not_happen() -> None:
    """A proxy that does not lead to OKX has seen OKX's name, and nothing of the write."""
    heard = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await request_of(reader))
        writer.write(http_response(b"", 407))

    async with (
        serving_raw(refuse) as proxy,
        aiohttp.ClientSession(proxy=proxy) as http,
        Session(base_url="https://okx.invalid", limiter=LocalLimiter(), http=http) as session,
    ):
        with pytest.raises(TransportError, match="407"):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert [b"CONNECT"] == [request.split()[0] for request in heard]


async def test_a_write_that_was_refused_when_the_session_closes() -> None:
    """Its timestamp was refused, and it waits for OKX's time: it has certainly not happened, and its error says so."""
    asked_time = asyncio.Event()

    async def time_that_never_comes(request: web.BaseRequest) -> web.StreamResponse:
        asked_time.set()
        return await hang(request)

    script = Script(coded("50102", 401), time_that_never_comes)
    async with session_of(script, timeout=5) as session:
        call = asyncio.ensure_future(session.call(WRITE, CREDENTIALS, {"amt": "1"}))
        await asked_time.wait()
        await session.aclose()
        with pytest.raises(SessionClosed):
            await call

    assert [b'{"amt":"1"}', b""] == script.bodies


async def test_a_write_on_the_wire_when_the_session_closes() -> None:
    """What became of it is unknown, so no error says that nothing was sent."""
    script = Script(hang)
    async with session_of(script, timeout=5) as session:
        call = asyncio.ensure_future(session.call(WRITE, CREDENTIALS, {"amt": "1"}))
        await script.asked.wait()
        began = now()
        await session.aclose()
        with pytest.raises(OutcomeUnknown):
            await call

        assert now() - began < 0.5
