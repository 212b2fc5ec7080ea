"""What rarely happens to a call: arguments of another kind, connections without a socket, and endings in between."""

import asyncio
import gc
import pickle
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from okx_sol_async import (
    BALANCE,
    ConfigurationError,
    Credentials,
    DecodeError,
    Endpoint,
    OKXError,
    RateLimit,
    Scope,
    Session,
    SessionClosed,
    Signer,
    TransportError,
)
from okx_sol_async.codec._envelope import MAX_BODY
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse
from okx_sol_async.transport import _shared_reads
from okx_sol_async.transport._clock_sync import TimeSample, best_sample
from okx_sol_async.transport._events import CallInfo, Observer
from okx_sol_async.transport._http import _close, _poll_of, read_body
from okx_sol_async.transport._shared_reads import SharedReads
from okx_sol_async.transport._state import check_call
from tests.support.responses import result_of

KEY = Credentials("key-of-corners", "secret-of-corners", "words-of-corners")


def test_credentials_are_not_pickled() -> None:
    """Nothing writes a secret into a file or a pipe unasked."""
    with pytest.raises(TypeError, match="from_env"):
        pickle.dumps(KEY)


@pytest.mark.parametrize(
    ("credentials", "origin", "argument"),
    [(KEY, "no origin", "origin"), (KEY, 5, "origin"), ("key", "https://openapi.okx.com", "credentials")],
)
def test_a_signer_names_the_wrong_argument(credentials: object, origin: object, argument: str) -> None:
    """What is no origin and what are no credentials is refused when the signer is made."""
    with pytest.raises(ConfigurationError) as caught:
        Signer(credentials, origin)  # type: ignore[arg-type]

    assert argument == caught.value.argument


@pytest.mark.parametrize(
    ("endpoint", "credentials", "parameters", "argument"),
    [
        ("balance", KEY, None, "endpoint"),
        (BALANCE, "key", None, "credentials"),
        (BALANCE, KEY, ["ccy"], "parameters"),
        (BALANCE, KEY, {"ccy": 5}, "parameters"),
        (BALANCE, KEY, {5: "SOL"}, "parameters"),
    ],
)
def test_a_call_names_the_wrong_argument(
    endpoint: object, credentials: object, parameters: object, argument: str
) -> None:
    """Arguments of another kind are refused before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        check_call(endpoint, credentials, parameters)

    assert argument == caught.value.argument


def test_the_methods_of_an_observer_do_nothing() -> None:
    """A subclass defines those that it needs."""

    class Nothing(Observer):
        """Defines nothing."""

    observer = Nothing()
    methods = (observer.queued, observer.sent, observer.responded, observer.refused, observer.ended)

    assert [None] * 5 == [method(cast("CallInfo", None)) for method in methods]  # type: ignore[arg-type]


def test_a_connection_without_a_socket_has_no_stray_bytes() -> None:
    """A transport of a test has none to ask."""
    assert [] == _poll_of(None)(0)


@pytest.mark.parametrize("loop_is_gone", [True, False])
async def test_connections_that_cannot_be_closed(loop_is_gone: bool) -> None:  # noqa: FBT001
    """That is no error if the loop is gone, and it is one if not."""

    async def close() -> None:
        raise RuntimeError

    http = cast("aiohttp.ClientSession", SimpleNamespace(close=close))
    outcomes = await asyncio.gather(_close(http, loop_is_gone=loop_is_gone), return_exceptions=True)

    assert loop_is_gone == (outcomes == [None])


async def test_a_body_that_comes_at_once_after_the_head() -> None:
    """It is returned as it is, without a copy."""
    whole = b"x" * 1000
    pieces = [whole]

    async def readany() -> bytes:
        return pieces.pop()

    content = SimpleNamespace(is_eof=lambda: False, at_eof=lambda: not pieces, readany=readany)

    assert await read_body(cast("ClientResponse", SimpleNamespace(content=content))) is whole


async def test_a_body_of_the_greatest_length_is_read_to_its_end() -> None:
    """What comes after it shows that it is too long, and the rest is not read."""
    pieces = [b"x" * MAX_BODY, b"y", b"the rest"]
    closed: list[bool] = []

    async def readany() -> bytes:
        return pieces.pop(0)

    content = SimpleNamespace(is_eof=lambda: False, at_eof=lambda: not pieces, readany=readany)
    response = SimpleNamespace(content=content, close=lambda: closed.append(True))

    assert MAX_BODY + 1 == len(await read_body(cast("ClientResponse", response)))
    assert [True] == closed


def _endpoint(decode: object) -> Endpoint[object]:
    limit = RateLimit(6, 1.0, Scope.USER)
    return Endpoint(method="GET", path="/api/v5/x", limit=limit, decode=decode)  # type: ignore[arg-type]


def test_a_decoder_that_fails() -> None:
    """Whatever a decoder raises is a `DecodeError` that says what it should raise."""

    def decode(_: object) -> object:
        raise ZeroDivisionError

    with pytest.raises(DecodeError, match="decode raised ZeroDivisionError") as caught:
        result_of(_endpoint(decode), 200, b'{"code":"0","data":[]}')

    assert "DecodeError" in str(caught.value.hint)


def test_a_decoder_that_fails_once() -> None:
    """A response that can be read without the secrets in it, and not with them, echoes the request."""
    results = iter([ZeroDivisionError, None])

    def decode(_: object) -> object:
        error = next(results)
        if error is not None:
            raise error
        return 5

    with pytest.raises(DecodeError, match="echoes the request"):
        result_of(_endpoint(decode), 200, b'{"code":"0","data":[]}')


async def test_the_best_of_the_samples_that_came() -> None:
    """Once there is a sample, a failure ends the measurement; without one it is raised."""
    sample = TimeSample(5.0, cast("object", SimpleNamespace(took=0.2)))  # type: ignore[arg-type]
    responses: list[TimeSample | OKXError] = [sample, TransportError("gone")]

    async def ask() -> TimeSample:
        response = responses.pop(0)
        if isinstance(response, OKXError):
            raise response
        return response

    assert await best_sample(ask, 3, 0.0) is sample
    responses = [TransportError("gone")]
    with pytest.raises(TransportError, match="gone"):
        await best_sample(ask, 3, 0.0)


async def test_a_session_keeps_a_number_of_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are dropped, and read again when they are asked for."""
    monkeypatch.setattr(_shared_reads, "MAX_RESULTS", 3)
    reads, calls = SharedReads(), list[int]()

    def call(number: int) -> Awaitable[int]:
        async def run() -> int:
            calls.append(number)
            return number

        return run()

    for number in (0, 1, 2, 3, 3, 0):
        assert number == await reads.read(number, 60.0, lambda number=number: call(number))

    assert [0, 1, 2, 3, 0] == calls


async def test_a_shared_read_that_is_cancelled_from_elsewhere() -> None:
    """All who wait for it are cancelled, and the next one reads anew."""
    reads = SharedReads()
    inner: list[asyncio.Task[object] | None] = []
    began = asyncio.Event()

    async def call() -> int:
        inner.append(asyncio.current_task())
        began.set()
        await asyncio.sleep(3600)
        return 5

    waiting = [asyncio.create_task(reads.read("x", 60.0, call)) for _ in range(2)]
    await began.wait()
    assert inner[0] is not None
    inner[0].cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert [asyncio.CancelledError] * 2 == [type(outcome) for outcome in outcomes]
    assert not reads._reads
    gc.collect()


async def test_a_middleware_that_fails_because_its_session_closes(exchange: Emulator) -> None:
    """The call ends with `SessionClosed`, whatever the middleware makes of it."""
    began = asyncio.Event()

    async def stubborn(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        began.set()
        try:
            return await handler(request)
        except SessionClosed:
            raise LookupError from None

    exchange.fail_next(NoResponse())
    session = Session(base_url=exchange.url, middlewares=[stubborn])
    call = asyncio.create_task(session.call(BALANCE, exchange.credentials))
    await began.wait()
    await session.aclose()

    with pytest.raises(SessionClosed):
        await call
