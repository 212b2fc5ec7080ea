"""HTTP through aiohttp: the connections of a session, the reading of a body, and what aiohttp's exceptions mean."""

from __future__ import annotations

import asyncio
import enum
import os
import re
import select
import ssl
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

import aiohttp

from okx_sol_async._checks import shown
from okx_sol_async.codec._envelope import MAX_BODY
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from aiohttp import ClientRequest, ClientResponse
    from yarl import URL

#: The most connections of a session of our own.
MAX_CONNECTIONS: Final = 256
#: Seconds for a free connection and for connecting together, so that no signature is older when it is sent.
CONNECT_TIMEOUT: Final = 5.0
USER_AGENT: Final = f"okx-sol-async/{__version__}"
#: The time on the network is limited by `AttemptTimeouts`: aiohttp's ``total`` would count the queue too.
CLIENT_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT)
# What a borrowed session adds for other hosts, and what only the signer may set.
_FOREIGN_HEADERS: Final = (
    "Authorization",
    "Cookie",
    "OK-ACCESS-KEY",
    "OK-ACCESS-SIGN",
    "OK-ACCESS-TIMESTAMP",
    "OK-ACCESS-PASSPHRASE",
    "x-simulated-trading",
)
# aiohttp refuses them when it writes the request; a write would then count as one that may have left.
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Characters of aiohttp's message that are read.
_QUOTED: Final = 4000
_REPR_OF_ERROR: Final = re.compile(r"<\w+: \d+, message=(['\"])(.*)\1>")


class Connections:
    """The connections of a session: its own, or those of a borrowed `aiohttp.ClientSession`.

    They are opened by the first call, and belong to the event loop and the process of that call.
    """

    __slots__ = ("__weakref__", "_borrowed", "_inherited", "_loop", "_reads", "_writes")

    def __init__(self, borrowed: aiohttp.ClientSession | None) -> None:
        self._borrowed = borrowed
        self._reads: aiohttp.ClientSession | None = None
        # A write goes over a new connection: one that was kept alive may be dead, and then its outcome is unknown.
        self._writes: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Whether they were opened by the parent of this process.
        self._inherited = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that they belong to; `None` before the first call."""
        return self._loop

    def open(self, *, for_write: bool) -> aiohttp.ClientSession:
        """Return the client session to send through, opened if need be."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.bind(loop)
        if self._borrowed is not None:
            _check_borrowed(self._borrowed, loop)
            return self._borrowed
        if for_write:
            if self._writes is None:
                self._writes = _open_http(keep_alive=False)
            return self._writes
        if self._reads is None:
            self._reads = _open_http(keep_alive=True)
        return self._reads

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the connections belong to ``loop``."""
        if self._loop is loop:
            return
        if self._inherited:
            message = "this session was opened by the parent of this process"
            raise ConfigurationError(message, hint="Make one in each process; the limits of its users carry over.")
        if self._loop is not None:
            raise another_loop()
        self._loop = loop
        _opened.add(self)

    async def aclose(self) -> None:
        opened, self._reads, self._writes = (self._reads, self._writes), None, None
        loop_is_gone = self._loop is not asyncio.get_running_loop()
        for http in opened:
            if http is not None:
                await _close(http, loop_is_gone=loop_is_gone)

    def leave_to_parent(self) -> None:
        """Forget the connections in a child process, without closing them.

        A connection that is closed here, even by the garbage collector, leaves the selector that both processes share,
        and the parent would wait for its responses in vain.
        """
        _kept.extend((self._reads, self._writes))
        self._reads = self._writes = self._loop = None
        self._inherited = True


_opened: Final[WeakSet[Connections]] = WeakSet()
_kept: Final[list[aiohttp.ClientSession | None]] = []


def _after_fork_in_child() -> None:
    for connections in tuple(_opened):
        connections.leave_to_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Connector(aiohttp.TCPConnector):
    """Drops a kept connection on which bytes arrived while no request was sent on it.

    They are a response to nothing, such as the 408 of a server that closes an idle connection. aiohttp would take them
    for the response to the next request.
    """

    def __init__(self, *, limit: int, force_close: bool) -> None:
        super().__init__(limit=limit, force_close=force_close)
        # Says whether a connection that was used has input, by what aiohttp keeps of each.
        self._input: WeakKeyDictionary[asyncio.BaseProtocol, Callable[[int], list[Any]]] = WeakKeyDictionary()

    async def connect(self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout) -> Any:  # noqa: ANN401, ASYNC109 - aiohttp's signature
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - one that is not closed has one
            poll = self._input.get(protocol)
            if poll is None:
                # A new one, on which a TLS server may send tickets.
                self._input[protocol] = _poll_of(connection.transport)
                return connection
            # The event loop may not have read what has arrived.
            if not protocol.should_close and not poll(0):
                return connection
            connection.close()


def _poll_of(transport: asyncio.Transport | None) -> Callable[[int], list[Any]]:
    """Return what says whether bytes, or the end of the connection, wait to be read."""
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):
        return lambda _: []
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return poll.poll


class _NoCookies(aiohttp.DummyCookieJar):
    """Gives the same empty cookies to each request. aiohttp's jar makes new ones."""

    _empty: Final[SimpleCookie] = SimpleCookie()

    def filter_cookies(self, request_url: URL) -> SimpleCookie:  # noqa: ARG002 - aiohttp's signature
        return self._empty


def _open_http(*, keep_alive: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(limit=MAX_CONNECTIONS, force_close=not keep_alive),
        cookie_jar=_NoCookies(),
        headers={"User-Agent": USER_AGENT},
        trace_configs=None if keep_alive else [DEPARTURES],
    )


def _check_borrowed(http: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
    if getattr(http, "closed", False):
        raise http_is_closed()
    # Its public property is deprecated.
    if getattr(http, "_loop", loop) is not loop:
        message = "http belongs to another event loop"
        raise ConfigurationError(message, argument="http", hint="Make the aiohttp session in the loop that uses it.")


async def _close(http: aiohttp.ClientSession, *, loop_is_gone: bool) -> None:
    try:
        await http.close()
    except RuntimeError:
        # Its transports cannot be closed on a loop that is closed; they are gone with it.
        if not loop_is_gone:
            raise


#: The trace config of client sessions that make writes: it calls ``depart`` on the ``trace_request_ctx`` of a request
#: when its first byte is about to leave.
DEPARTURES: Final = aiohttp.TraceConfig()


async def _note_departure(
    session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp passes it
    context: SimpleNamespace,
    headers: aiohttp.TraceRequestHeadersSentParams,  # noqa: ARG001 - as above
) -> None:
    # A request for OKX's time goes over the same connections, and has no context.
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.depart()


DEPARTURES.on_request_headers_sent.append(_note_departure)


def reports_departures(http: aiohttp.ClientSession) -> bool:
    """Return whether ``http`` reports when the first byte of a request is about to leave."""
    return DEPARTURES in getattr(http, "trace_configs", ())


def check_foreign_headers(request: ClientRequest) -> None:
    """Remove what a borrowed session adds for other hosts, and refuse what cannot be sent."""
    for name in _FOREIGN_HEADERS:
        request.headers.popall(name, None)
    for name, value in request.headers.items():
        if _CONTROL_CHARACTERS.search(name) or _CONTROL_CHARACTERS.search(value):
            message = f"http has a header with a control character: {shown(name)}"
            hint = "Check the headers of the aiohttp session that was passed."
            raise ConfigurationError(message, argument="http", hint=hint)


async def read_body(response: ClientResponse) -> bytes:
    """Read a body, or as much of it as shows that it is too long. Its connection is free, or closed, then."""
    content = response.content
    if content.is_eof() and not content.at_eof():
        # All of it came with the head.
        return content.read_nowait()
    if content.at_eof():
        # A middleware has read it already, or it is empty.
        return await response.read()
    try:
        first = await content.readany()
        if content.at_eof():
            return first
        body = bytearray(first)
        while len(body) <= MAX_BODY and not content.at_eof():
            body += await content.readany()
    except BaseException:
        response.close()
        raise
    if not content.at_eof():
        response.close()
    return bytes(body)


class ProblemKind(enum.Enum):
    """What kept a request from a whole response."""

    #: No connection in time.
    NOT_CONNECTED = "not connected"
    #: A TLS handshake was refused: the certificate is wrong, or the two sides do not agree.
    UNSAFE = "unsafe"
    #: Anything else: name resolution, refused, reset, cut off, not HTTP.
    NO_RESPONSE = "no response"


def problem_of(error: Exception) -> tuple[ProblemKind, str] | None:
    """Return what an exception of aiohttp's means, and its message; `None` if it is not one."""
    if not isinstance(error, aiohttp.ClientError):
        return None
    if isinstance(error, TimeoutError):
        kind = ProblemKind.NOT_CONNECTED
    elif isinstance(error, aiohttp.ClientSSLError) and not _handshake_broke_off(error):
        kind = ProblemKind.UNSAFE
    else:
        kind = ProblemKind.NO_RESPONSE
    return kind, _message_of(error)


def never_connected(error: BaseException) -> bool:
    """Return whether aiohttp had no connection to send anything on, also none to or through a proxy."""
    return isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )


def is_unusable(http: object, error: Exception) -> bool:
    """Return whether a borrowed session that has raised ``error`` before it sent anything will do so each time."""
    return isinstance(http, aiohttp.ClientSession) and not isinstance(error, aiohttp.ClientError | OSError)


def http_is_closed() -> ConfigurationError:
    message = "the aiohttp session that was passed as http is closed"
    return ConfigurationError(message, argument="http", hint="Keep it open for as long as this session is used.")


def another_loop() -> ConfigurationError:
    message = "this session belongs to another event loop"
    return ConfigurationError(message, hint="Make one in each event loop, and close it there.")


def _message_of(error: aiohttp.ClientError) -> str:
    """Return the message of an error of aiohttp's, without the objects whose whole repr it holds."""
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        # Half of a response's head.
        return "Server disconnected"
    try:
        text = _REPR_OF_ERROR.sub(r"\2", str(error)[:_QUOTED])
    except AttributeError:
        # A mock may have made it without the request that its text needs.
        return ""
    if isinstance(getattr(error, "os_error", None), ConnectionError):
        # asyncio has no words for a TLS handshake that ends without an alert.
        text = text.replace("[None]", "[broken off]")
    return text


def _handshake_broke_off(error: aiohttp.ClientSSLError) -> bool:
    """Return whether a TLS handshake was broken off and not refused, so that it may succeed the next time."""
    # One about a certificate has no such attribute.
    return isinstance(getattr(error, "os_error", None), ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
