"""Whatever a server sends, a call ends with a result or an `OKXError`, and needs little memory for it."""

import asyncio
import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_sol_async import (
    DecodeError,
    LocalLimiter,
    OKXError,
    Session,
    Timeout,
    TransportError,
)
from tests.support.garbage import MEBIBYTE, bodies, mutated
from tests.support.scripted import CREDENTIALS, GOOD, READ
from tests.support.serving import http_response, request_of, serving_raw
from tests.support.virtual_time import VirtualSocketLoop

pytestmark = pytest.mark.virtual_clock

#: What one answer may cost in memory. The oldest aiohttp that is allowed decompresses 32 MiB before it stops, twice.
MEMORY = 80 * MEBIBYTE


def fixed(data: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(data)
        await writer.drain()

    return respond


def bomb(wbits: int, size: int = 200 * MEBIBYTE) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    first, again = (packer.compress(b" " * MEBIBYTE) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # What follows a full flush does not depend on what came before it. The checksum is not read.
    return first + again * (size // MEBIBYTE - 1)


RIGHT = {
    "no content type": http_response(GOOD),
    "wrong content type": http_response(GOOD, 200, b"Content-Type: image/png"),
    "charset that does not exist": http_response(GOOD, 200, b"Content-Type: application/json; charset=klingon"),
    "charset that is another": http_response(GOOD, 200, b"Content-Type: application/json; charset=utf-16"),
    "gzip": http_response(gzip.compress(GOOD), 200, b"Content-Encoding: gzip"),
    "deflate": http_response(zlib.compress(GOOD), 200, b"Content-Encoding: deflate"),
    "unknown encoding": http_response(GOOD, 200, b"Content-Encoding: rot13"),
    "a hint before": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http_response(GOOD),
    "until the end": b"HTTP/1.0 200 OK\r\n\r\n" + GOOD,
    "one byte in each chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD)
    + b"0\r\n\r\n",
    "strange Date": http_response(GOOD, 200, b"Date: \xff\xfe 99 Foo 99999999999"),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_what_is_only_strange_is_read(name: str) -> None:
    """OKX's responses are JSON in UTF-8, whatever their head says."""
    async with serving_raw(fixed(RIGHT[name])) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        assert Decimal(1) == (await session.call(READ, CREDENTIALS)).amt


WRONG: dict[str, tuple[bytes, type[OKXError]]] = {
    "nothing": (b"", TransportError),
    "not HTTP": (b"\x15\x03\x03\x00\x02\x02\x46\r\n\r\n", TransportError),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", TransportError),
    "HTTP/9.9": (b"HTTP/9.9 200 OK\r\n\r\n", TransportError),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", TransportError),
    "header without a colon": (b"HTTP/1.1 200 OK\r\nx\r\n\r\n", TransportError),
    "header without an end": (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, TransportError),
    "headers without an end": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000, TransportError),
    "NUL in a header": (b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", OKXError),
    "length that is none": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", TransportError),
    "length of many digits": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", TransportError),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456", TransportError),
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OKXError,
    ),
    "chunk that is too long": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        TransportError,
    ),
    "chunk that is none": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", TransportError),
    "cut in a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{", TransportError),
    "another protocol from here on": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\0\0\0", OKXError),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n" + GOOD, OKXError),
    "gzip that is none": (http_response(GOOD, 200, b"Content-Encoding: gzip"), TransportError),
    "gzip that is cut": (http_response(gzip.compress(GOOD)[:-12], 200, b"Content-Encoding: gzip"), OKXError),
    "gzip bomb": (http_response(bomb(31), 200, b"Content-Encoding: gzip"), OKXError),
    "deflate bomb": (http_response(bomb(15), 200, b"Content-Encoding: deflate"), OKXError),
    "raw deflate bomb": (http_response(bomb(-15), 200, b"Content-Encoding: deflate"), OKXError),
    "gzip bomb with a refusal": (http_response(bomb(31), 503, b"Content-Encoding: gzip"), OKXError),
    "many gzips": (http_response(gzip.compress(b"") * 50_000, 200, b"Content-Encoding: gzip"), OKXError),
    "brotli that is none": (http_response(GOOD + b"\xff", 200, b"Content-Encoding: br"), OKXError),
    "far redirect": (http_response(b"", 302, b"Location: \x01\xff://["), OKXError),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_ends_in_an_error_and_little_memory(name: str) -> None:
    """Each in one of ours, without a hint of aiohttp's frames, and with no connection left."""
    data, kind = WRONG[name]
    async with (
        serving_raw(fixed(data)) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=5.0, attempts=1) as session,
    ):
        tracemalloc.start()
        with pytest.raises(kind) as caught:
            await session.call(READ, CREDENTIALS)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert session._connections._reads is not None
        assert session._connections._reads.connector is not None
        assert not session._connections._reads.connector._acquired

    assert peak < MEMORY
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
    assert caught.value.__cause__ is None is caught.value.__context__


async def drip_head(writer: asyncio.StreamWriter) -> None:
    for byte in http_response(GOOD):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.02)


async def hint_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("drip", [drip_head, drip_body, hint_for_ever], ids=lambda f: f.__name__)
async def test_a_response_that_drips_times_out(drip: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    """``timeout`` is for the whole response, not for each piece."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await drip(writer)

    async with (
        serving_raw(respond) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=0.2, attempts=1) as session,
    ):
        with pytest.raises(Timeout):
            await session.call(READ, CREDENTIALS)
        assert session._connections._reads is not None
        assert session._connections._reads.connector is not None
        assert not session._connections._reads.connector._acquired


@pytest.mark.parametrize("encoding", [b"", b"Transfer-Encoding: chunked\r\n"])
async def test_no_more_is_read_than_is_needed_to_refuse_it(encoding: bytes) -> None:
    """Of a response without end, a mebibyte, and what was in flight."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + encoding + b"\r\n")
        block = b"10000\r\n" + b" " * 65536 + b"\r\n" if encoding else b" " * 65536
        while True:
            writer.write(block)
            await writer.drain()
            sent += len(block)

    async with (
        serving_raw(flood) as url,
        Session(base_url=url, limiter=LocalLimiter(), attempts=1) as session,
    ):
        with pytest.raises(DecodeError, match="longer than"):
            await session.call(READ, CREDENTIALS)

    # The buffers of the two sockets hold some mebibytes.
    assert sent < 20 * MEBIBYTE


class Wire:
    """A session, and a server that responds with the bytes it was given, on a loop of their own."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._stack = contextlib.AsyncExitStack()
        self.complaints: list[dict[str, object]] = []
        self.data = b""
        self.runner_loop = runner.get_loop()
        self.runner_loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.session = runner.run(self._open())

    async def _open(self) -> Session:
        url = await self._stack.enter_async_context(serving_raw(self._respond))
        return await self._stack.enter_async_context(
            Session(base_url=url, limiter=LocalLimiter(), timeout=2.0, attempts=1)
        )

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(self.data)
        await writer.drain()

    def call(self, data: bytes) -> object:
        self.data = data
        return self._runner.run(self._call())

    async def _call(self) -> object:
        try:
            return await self.session.call(READ, CREDENTIALS)
        except OKXError as error:
            return error

    def close(self) -> None:
        self._runner.run(self._stack.aclose())


@pytest.fixture(name="wire", scope="module")
def _wire() -> Iterator[Wire]:
    with asyncio.Runner(loop_factory=VirtualSocketLoop) as runner:
        wire = Wire(runner)
        yield wire
        wire.close()


tokens = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 503 No\r\n",
        b"HTTP/1.0 ",
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: deflate\r\n",
        b"Connection: close\r\n",
        b"Set-Cookie: a=\xff\r\n",
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        b"x-trace-id: \xff\xfe\r\n",
        b"0\r\n\r\n",
        b"5",
        b"ffff\r\n",
        b": ",
        gzip.compress(GOOD),
        GOOD,
    ]
)


wires = (
    st.binary(max_size=100)
    | st.lists(tokens | st.binary(max_size=8), max_size=12).map(b"".join)
    | mutated(http_response(GOOD, 200, b"Content-Type: application/json", b"Date: Sun, 06 Nov 1994 08:49:37 GMT"))
    | mutated(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD))
    | bodies.map(http_response)
)


@settings(max_examples=100, deadline=None)
@given(data=wires)
def test_any_bytes_from_the_wire_are_a_result_or_an_error_of_ours(wire: Wire, data: bytes) -> None:
    """Never anything else, nothing hangs, no connection is left, and the event loop has nothing to complain of."""
    outcome = wire.call(data)

    assert isinstance(outcome, OKXError) or type(outcome).__name__ == "Balance"
    assert not isinstance(outcome, Timeout)
    http = wire.session._connections._reads
    assert http is not None
    assert http.connector is not None
    assert not http.connector._acquired
    assert [] == wire.complaints
    assert {} == wire.session._options.timeouts._due
