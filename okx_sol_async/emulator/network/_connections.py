"""The port and its connections, between the network and aiohttp's server."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

from okx_sol_async.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiohttp import web

# Thousands of users may connect at once; with a full backlog they would wait for a second.
_BACKLOG: Final = 4096
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """One connection: aiohttp reads the requests from it, and the responses are written to it here."""

    def __init__(self, inner: asyncio.Protocol, gone: Callable[[ClientConnection], object]) -> None:
        self.inner = inner
        #: How many calls were sent over it before the current one.
        self.carried = 0
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment] # asyncio gives protocols what they can write to
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass received bytes to aiohttp."""
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Report to aiohttp that the client sends no more."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """Send no more for now."""
        self._writable.clear()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Send on."""
        self._writable.set()
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._transport = None
        self._closed.set()
        self._writable.set()
        self._gone(self)
        self.inner.connection_lost(exc)

    @property
    def is_open(self) -> bool:
        """Whether anything can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, data: bytes) -> None:
        """Send bytes, as fast as the client reads them; nothing happens once it has closed the connection."""
        await self._writable.wait()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def wait_closed(self) -> None:
        """Wait until the client or the exchange has closed it."""
        await self._closed.wait()

    def close(self) -> None:
        """Close it once everything written has been sent."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Abort it at once, so that the client gets a reset."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._transport.abort()


class ListeningPort:
    """The port on which an exchange listens, or for a while refuses to."""

    def __init__(self, server: web.Server, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Bind the port.

        Raises:
            ConfigurationError: it cannot be bound.

        """
        self._server = server
        self._tls = tls
        self._connections: dict[asyncio.BaseProtocol, ClientConnection] = {}
        self._listening: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._outages = 0
        self._closed = False
        try:
            self._socket = _bound(host, port)
            self._socket.listen(_BACKLOG)
        except OSError as error:
            message = f"port {port} on {host} cannot be served: {error.strerror}"
            raise ConfigurationError(message, argument="port") from error
        self._host = host
        self.number: int = self._socket.getsockname()[1]

    def connection_of(self, request: web.BaseRequest) -> ClientConnection | None:
        """Return the connection of a request; `None` if it has been closed."""
        return self._connections.get(request.protocol)

    async def open(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        # No await before the server exists, so that an outage finds it, or nothing started.
        listening = await loop.create_server(
            self._connect, sock=self._socket, backlog=_BACKLOG, start_serving=False, ssl=self._tls
        )
        self._listening = listening
        await listening.start_serving()

    def _connect(self) -> ClientConnection:
        inner = self._server()
        connection = ClientConnection(inner, lambda gone: self._connections.pop(gone.inner, None))
        self._connections[inner] = connection
        return connection

    def begin_outage(self) -> None:
        """Refuse connections, and reset the open ones."""
        self._outages += 1
        if self._outages > 1:
            return
        self._stop_listening()
        # It is bound and does not listen: connections are refused, and no other program can bind it.
        self._socket = _bound(self._host, self.number)
        for connection in list(self._connections.values()):
            connection.reset()

    def end_outage(self) -> None:
        """Accept connections again, once all outages have ended."""
        self._outages -= 1
        if self._outages or self._closed:
            return
        # From here on the system accepts connections, and asyncio takes them over.
        self._socket.listen(_BACKLOG)
        self._reopening = asyncio.get_running_loop().create_task(self.open())

    def _stop_listening(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        if self._listening is None:
            self._socket.close()
        else:
            # It closes the socket too, uvloop's a little later.
            self._listening.close()
            self._listening = None

    def close(self) -> None:
        """Release the port."""
        self._closed = True
        self._stop_listening()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.setblocking(False)  # noqa: FBT003 - the socket's own signature
    except OSError:
        bound.close()
        raise
    return bound
