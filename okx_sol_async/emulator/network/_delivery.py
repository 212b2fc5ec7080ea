"""How a response is sent, byte by byte, so that any of it can go wrong."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from okx_sol_async.emulator.faults._plan import ResponsePlan

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from okx_sol_async.emulator.gateway._responses import ExchangeResponse
    from okx_sol_async.emulator.network._connections import ClientConnection

# A slow response is sent in slices of this many seconds.
_SLICE: Final = 0.05


class SentResponse(web.StreamResponse):
    """Reports to aiohttp that a response has been sent, and whether the connection is kept."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self._kept = kept

    @property
    def keep_alive(self) -> bool:
        """Whether the connection is kept."""
        return self._kept

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send nothing."""
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""
        del data


@attrs.frozen
class ResponseHead:
    """A response and everything else that its head is made of."""

    response: ExchangeResponse
    trace_id: str
    #: The exchange's time, in seconds since 1970.
    now: float
    #: Whether the client wants the connection kept.
    keep_alive: bool
    #: Whether the client speaks HTTP/1.0, which asks for the promise to keep a connection.
    old: bool = False
    #: Whether the request was a HEAD.
    head_only: bool = False


async def deliver(connection: ClientConnection, head: ResponseHead, plan: ResponsePlan) -> bool:
    """Send a response as planned, and return whether the connection is kept."""
    if plan.silent:
        await connection.wait_closed()
        return False
    if plan.responds:
        pieces = _pieces(head, plan)
        if plan.bytes_per_second is None:
            await _send(connection, pieces)
        else:
            await _send_slowly(connection, pieces, plan.bytes_per_second)
    return _end(connection, head, plan)


def _end(connection: ClientConnection, head: ResponseHead, plan: ResponsePlan) -> bool:
    if plan.ending == "reset":
        connection.reset()
        return False
    if plan.ending == "close" and plan.ends_after == 0:
        # The client must see the end, also where aiohttp would wait for the rest of a request.
        connection.close()
        return False
    if plan.ending == "close":
        asyncio.get_running_loop().call_later(plan.ends_after, connection.close)
    return head.keep_alive and plan.has_length


async def _send(connection: ClientConnection, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        if not connection.is_open:
            return
        await connection.send(piece)


async def _send_slowly(connection: ClientConnection, pieces: Iterable[bytes], bytes_per_second: float) -> None:
    size = max(1, int(bytes_per_second * _SLICE))
    for piece in pieces:
        for start in range(0, len(piece), size):
            if not connection.is_open:
                return
            part = piece[start : start + size]
            await connection.send(part)
            await asyncio.sleep(len(part) / bytes_per_second)


def _pieces(head: ResponseHead, plan: ResponsePlan) -> Iterator[bytes]:
    written = _head(head, plan)
    body = _body(head, plan)
    if plan.truncated is None:
        yield from _joined(written, body)
        return
    part, left = plan.truncated
    if part == "body":
        left += len(written)
    for piece in _joined(written, body):
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _joined(head: bytes, body: bytes | Iterable[bytes]) -> Iterator[bytes]:
    # A short response is sent in one piece, as OKX does.
    if isinstance(body, bytes):
        yield head + body
    else:
        yield head
        yield from body


def _body(head: ResponseHead, plan: ResponsePlan) -> bytes | Iterable[bytes]:
    if head.head_only:
        return b""
    return head.response.body if plan.stream is None else plan.stream()


def _head(head: ResponseHead, plan: ResponsePlan) -> bytes:
    status = head.response.status
    reason = http.HTTPStatus(status).phrase if status in _STATUSES else ""
    lines = [f"HTTP/1.1 {status} {reason}", f"x-trace-id: {head.trace_id}"]
    if plan.has_content_type:
        lines.append(f"Content-Type: {head.response.content_type}")
    if plan.has_length:
        length = len(head.response.body) if plan.stream is None else plan.stream_bytes
        lines.append(f"Content-Length: {length}")
    date = _date(head, plan)
    if date is not None:
        lines.append(f"Date: {date}")
    if not (head.keep_alive and plan.has_length):
        lines.append("Connection: close")
    elif head.old:
        lines.append("Connection: keep-alive")
    lines += [f"{name}: {value}" for name, value in plan.headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _date(head: ResponseHead, plan: ResponsePlan) -> str | None:
    if isinstance(plan.date, str):
        return plan.date
    return None if plan.date is None else formatdate(head.now + plan.date, usegmt=True)


_STATUSES: Final = frozenset(status.value for status in http.HTTPStatus)
