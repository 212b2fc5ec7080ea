"""A server that responds to every request in one way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from ssl import SSLContext

from aiohttp import web
from aiohttp.test_utils import TestServer


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve one handler for every request and yield the URL."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def serving_raw(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ssl: SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[str]:
    """Let one function respond on each connection, byte by byte, and yield the URL. Connections end with it."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            # A client may leave in the middle.
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await answer(reader, writer)
        finally:
            writer.close()
            connections.discard(task)

    server = await asyncio.start_server(serve, host, 0, ssl=ssl)
    name = f"[{host}]" if ":" in host else host
    try:
        yield f"http{'s' if ssl else ''}://{name}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """Read the head of a request, and the body that it announces."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")), 0)
    return head + await reader.readexactly(length)


def http_response(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    """Return a response as it goes over the network."""
    head = [b"HTTP/1.1 %d x" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
