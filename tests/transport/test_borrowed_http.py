"""Whatever a borrowed `aiohttp.ClientSession` does, each failure is an `OKXError` that says what is known."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

import aiohttp
import pytest

from okx_sol_async import (
    BALANCE,
    ConfigurationError,
    LocalLimiter,
    MemoryWriteLog,
    OKXError,
    OutcomeUnknown,
    Session,
    SolStaking,
    TransportError,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay

Kind: TypeAlias = Literal["read", "write"]
#: The hooks of aiohttp's tracing that run around one request, and whether its bytes have left then.
HOOKS: Final = {
    "on_request_start": False,
    "on_connection_create_start": False,
    "on_connection_create_end": False,
    "on_request_headers_sent": True,
    "on_request_chunk_sent": True,
    "on_request_end": True,
}


def client_of(exchange: Emulator, http: aiohttp.ClientSession) -> SolStaking:
    """Return a client whose session has borrowed ``http``."""
    session = Session(base_url=exchange.url, http=http, limiter=LocalLimiter(), write_log=MemoryWriteLog(), attempts=1)
    return SolStaking(exchange.credentials, session)


async def call(staking: SolStaking, kind: Kind) -> object:
    return await (staking.balance() if kind == "read" else staking.purchase("1"))


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_one_of_another_event_loop_is_reported(exchange: Emulator, kind: Kind) -> None:
    """Before anything is sent, also while that loop runs."""
    made, done = threading.Event(), threading.Event()
    borrowed: list[aiohttp.ClientSession] = []

    async def lend() -> None:
        async with aiohttp.ClientSession() as http:
            borrowed.append(http)
            made.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(lend(),))
    thread.start()
    try:
        await asyncio.to_thread(made.wait)
        with pytest.raises(ConfigurationError, match=r"^http belongs to another event loop") as caught:
            await call(client_of(exchange, borrowed[0]), kind)
    finally:
        done.set()
        await asyncio.to_thread(thread.join)

    assert "http" == caught.value.argument
    assert 0 == exchange.tally().received


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_one_that_is_closed_is_reported(exchange: Emulator, kind: Kind) -> None:
    """Before anything is sent."""
    async with aiohttp.ClientSession() as http:
        staking = client_of(exchange, http)
    with pytest.raises(ConfigurationError, match="passed as http is closed") as caught:
        await call(staking, kind)

    assert "http" == caught.value.argument


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_an_authorization_that_aiohttp_refuses_is_reported(
    exchange: Emulator, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header ``Authorization`` together with credentials of a netrc file: nothing is sent, and no write is left open."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login user password words\n")
    monkeypatch.setenv("NETRC", str(file))
    async with aiohttp.ClientSession(headers={"Authorization": "x"}, trust_env=True) as http:
        staking = client_of(exchange, http)
        with pytest.raises(ConfigurationError, match=r"^http cannot make this call: ValueError") as caught:
            await call(staking, kind)

    assert "http" == caught.value.argument
    assert [] == [write async for write in staking.unresolved()]
    assert 0 == exchange.tally().received


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("headers", [{"X-Name": "a\r\nX-Other: b"}, {"X-Name": "\x00"}, {"X-\x7f": "a"}])
async def test_a_header_that_cannot_be_sent_is_reported(
    exchange: Emulator, kind: Kind, headers: dict[str, str]
) -> None:
    """Before anything is sent, and no write is left open."""
    async with aiohttp.ClientSession(headers=headers) as http:
        staking = client_of(exchange, http)
        with pytest.raises(ConfigurationError, match=r"^http has a header with a control character: 'X-") as caught:
            await call(staking, kind)

    assert "http" == caught.value.argument
    assert [] == [write async for write in staking.unresolved()]
    assert 0 == exchange.tally().received


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", [ValueError("no"), ExceptionGroup("no", [KeyError("no")])], ids=["one", "group"])
async def test_a_trace_that_raises_ends_in_an_error_of_this_package(
    exchange: Emulator, kind: Kind, hook: str, error: Exception
) -> None:
    """A write that may have left ends in `OutcomeUnknown`, and the log has it; one that has not is never open."""

    async def fail(*_: object) -> None:
        raise error

    trace = aiohttp.TraceConfig()
    getattr(trace, hook).append(fail)
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        staking = client_of(exchange, http)
        caught: OKXError | None = None
        try:
            await call(staking, kind)
        except OKXError as raised:
            caught = raised

        opened = [write async for write in staking.unresolved()]
    if kind == "write" and HOOKS[hook]:
        assert isinstance(caught, OutcomeUnknown)
        assert [caught.write] == opened
    if hook == "on_request_start":
        assert isinstance(caught, ConfigurationError)
        assert [] == opened


async def test_an_error_of_this_package_stays_what_it_is(exchange: Emulator) -> None:
    """Also where the borrowed session was closed meanwhile."""

    async def close(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        await http.close()
        message = "theirs"
        raise OKXError(message)

    async with aiohttp.ClientSession() as http:
        session = Session(base_url=exchange.url, http=http, limiter=LocalLimiter(), middlewares=[close])
        with pytest.raises(OKXError, match=r"^theirs") as caught:
            await session.call(BALANCE, exchange.credentials)

    assert OKXError is type(caught.value)


async def test_a_middleware_that_fails_is_not_the_fault_of_the_borrowed_session(exchange: Emulator) -> None:
    """The error names the middleware, and nothing was sent."""

    async def fail(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise ValueError

    async with aiohttp.ClientSession() as http:
        session = Session(base_url=exchange.url, http=http, limiter=LocalLimiter(), middlewares=[fail])
        with pytest.raises(TransportError, match="a middleware"):
            await session.call(BALANCE, exchange.credentials)

    assert 0 == exchange.tally().received


@pytest.mark.parametrize("close", [lambda http: http.close(), lambda http: http.connector.close()], ids=["it", "pool"])
async def test_a_write_during_which_it_is_closed_has_an_unknown_outcome(
    exchange: Emulator, close: Callable[[aiohttp.ClientSession], object]
) -> None:
    """The session or its connector: the write was sent, and is found by another session."""
    log = MemoryWriteLog()
    exchange.fail_next(Delay(back=0.2))
    async with aiohttp.ClientSession() as http:
        session = Session(base_url=exchange.url, http=http, limiter=LocalLimiter(), write_log=log)
        purchase = asyncio.create_task(SolStaking(exchange.credentials, session).purchase("1"))
        while not exchange.tally().received:  # noqa: ASYNC110 - there is no notification
            await asyncio.sleep(0)
        closing = close(http)
        with suppress(TypeError):
            await closing  # type: ignore[misc]
        with pytest.raises(OutcomeUnknown) as caught:
            await purchase
    async with Session(base_url=exchange.url, limiter=LocalLimiter(), write_log=log) as later:
        assert caught.value.write is not None
        assert await SolStaking(exchange.credentials, later).resolve(caught.value.write) is not None


async def test_one_that_is_none_of_aiohttp_is_no_proof(exchange: Emulator) -> None:
    """An object that only looks like one may have sent a write before it failed."""

    class Pretender:
        async def request(self, *_: object, **__: object) -> object:
            raise KeyError

    staking = client_of(exchange, Pretender())  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknown):
        await staking.purchase("1")
    with pytest.raises(TransportError):
        await staking.balance()
