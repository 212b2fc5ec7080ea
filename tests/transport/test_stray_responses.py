"""A response that came before its request was sent, or belongs to another, is never taken for ours."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from okx_sol_async import LocalLimiter, OutcomeUnknown, Session
from okx_sol_async.transport import _http
from tests.support.scripted import CREDENTIALS, READ, ROW, WRITE

Serve = Callable[["Connection"], None]


def response(amount: int | str, status: str = "200 OK", headers: str = "") -> bytes:
    """Return a response with a balance."""
    body = json.dumps({"code": "0", "msg": "", "data": [{**ROW, "amt": str(amount)}]}).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: Not every server says that it closes the connection.
SILENTLY_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection: each request on it gets the next reply, which may have more bytes after it."""

    def __init__(self, server: "RawServer") -> None:
        self.server = server
        self.requests = 0
        self.number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.number = len(self.server.connections)
        self.server.connections.append(self)

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self.requests += 1
            self.server.reply(self)


class RawServer:
    """Replies with bytes, on as many connections as are opened."""

    def __init__(self, reply: Serve) -> None:
        self.reply = reply
        self.connections: list[Connection] = []

    @property
    def requests(self) -> list[int]:
        """How many requests came on each connection."""
        return [connection.requests for connection in self.connections]


@asynccontextmanager
async def session_of(server: RawServer) -> AsyncIterator[Session]:
    listening = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with (
        listening,
        Session(base_url=f"http://127.0.0.1:{port}", limiter=LocalLimiter(), timeout=5, attempts=3) as session,
    ):
        yield session


async def amount(session: Session) -> Decimal:
    return (await session.call(READ, CREDENTIALS)).amt


def with_extra(extra: bytes) -> Serve:
    """Return what replies with the number of the connection and the request, and sends more with the first reply."""

    def reply(connection: Connection) -> None:
        more = extra if connection.requests == 1 and connection.number == 0 else b""
        connection.transport.write(response(f"{connection.number + 1}.{connection.requests}") + more)

    return reply


STRAY = {
    "a balance": response(99),
    "an idle timeout": TIMED_OUT,
    "two of them": response(98) + response(99),
}


@pytest.mark.parametrize("extra", STRAY.values(), ids=STRAY)
async def test_a_connection_with_bytes_behind_the_response_is_dropped(extra: bytes) -> None:
    """They came with the response before, and the next call opens another connection."""
    server = RawServer(with_extra(extra))
    async with session_of(server) as session:
        assert [Decimal("1.1"), Decimal("2.1"), Decimal("2.2")] == [await amount(session) for _ in range(3)]

    assert [1, 2] == server.requests


@pytest.mark.parametrize("extra", [response(99), TIMED_OUT, SILENTLY_TIMED_OUT])
async def test_an_idle_connection_that_received_bytes_is_dropped(extra: bytes) -> None:
    """They came while no request was in flight."""
    server = RawServer(with_extra(b""))
    async with session_of(server) as session:
        assert Decimal("1.1") == await amount(session)
        server.connections[0].transport.write(extra)
        await asyncio.sleep(0.01)
        assert Decimal("2.1") == await amount(session)

    assert [1, 1] == server.requests


async def test_a_response_whose_beginning_came_before_the_request_is_refused() -> None:
    """Its end makes no response, and the call is sent again on a fresh connection."""
    cut = len(b"HTTP/1.1 200 OK\r\nContent-")

    def reply(connection: Connection) -> None:
        rest = response(99)[cut:] if connection.requests == 2 else b""
        connection.transport.write(rest + response(f"{connection.number + 1}.{connection.requests}"))

    server = RawServer(reply)
    async with session_of(server) as session:
        assert Decimal("1.1") == await amount(session)
        server.connections[0].transport.write(response(99)[:cut])
        await asyncio.sleep(0.01)
        assert Decimal("2.1") == await amount(session)

    assert [2, 1] == server.requests


async def test_bytes_that_the_event_loop_has_not_read_yet_count_too() -> None:
    """The program was busy with something else when they arrived."""
    server = RawServer(with_extra(b""))
    async with session_of(server) as session:
        assert Decimal("1.1") == await amount(session)
        # Written to the socket at once, and the loop does not run before the next call.
        server.connections[0].transport.write(response(99))
        assert Decimal("2.1") == await amount(session)

    assert [1, 1] == server.requests


async def test_no_time_is_spent_on_looking_for_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is used again is asked what it has, and nothing waits for it."""
    waited: list[int] = []

    def poll(milliseconds: int) -> list[object]:
        waited.append(milliseconds)
        return []

    monkeypatch.setattr(_http, "_poll_of", lambda _: poll)
    async with session_of(RawServer(with_extra(b""))) as session:
        for _ in range(3):
            await amount(session)

    assert [0, 0] == waited


@pytest.mark.parametrize("timed_out", [TIMED_OUT, SILENTLY_TIMED_OUT])
async def test_an_idle_timeout_that_crosses_a_request_is_resent_on_a_fresh_connection(timed_out: bytes) -> None:
    """The server closes the connection while the request is on its way."""

    def reply(connection: Connection) -> None:
        if connection.number == 0 and connection.requests == 2:
            connection.transport.write(timed_out)
            connection.transport.close()
        else:
            connection.transport.write(response(connection.number + 1))

    server = RawServer(reply)
    async with session_of(server) as session:
        assert [1, 2] == [await amount(session) for _ in range(2)]

    assert [2, 1] == server.requests


async def test_a_write_never_uses_a_kept_connection() -> None:
    """So a response to something else cannot be taken for the one of a purchase, and a 408 leaves it open."""

    def reply(connection: Connection) -> None:
        connection.transport.write(TIMED_OUT if connection.number == 1 else response(connection.number + 1))

    server = RawServer(reply)
    async with session_of(server) as session:
        assert 1 == await amount(session)
        server.connections[0].transport.write(response(99))
        with pytest.raises(OutcomeUnknown):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert [1, 1] == server.requests
