"""How an answer is put on the wire, byte by byte, so that any of it can go wrong."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import attrs
from aiohttp import web

from okx_sol_async.emulator.course import Course

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from okx_sol_async.emulator.answers import Answer
    from okx_sol_async.emulator.connections import Connection

# A slow answer is sent in slices of so many seconds.
_SLICE: Final = 0.05


class Delivered(web.StreamResponse):
    """Tells aiohttp that an answer has been sent, and whether the connection is kept."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self._kept = kept

    @property
    def keep_alive(self) -> bool:
        """Whether the connection carries more calls."""
        return self._kept

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send nothing."""
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""
        del data


@attrs.frozen
class Parcel:
    """An answer and all that its head tells."""

    answer: Answer
    trace_id: str
    #: The exchange's time, in seconds since 1970.
    now: float
    #: Whether the client wants the connection kept.
    keep_alive: bool
    #: Whether the client speaks HTTP/1.0, which asks for the promise to keep a connection.
    old: bool = False
    #: Whether the request was a HEAD.
    head_only: bool = False


async def deliver(connection: Connection, parcel: Parcel, course: Course) -> bool:
    """Send an answer as its course has it, and return whether the connection is kept."""
    if course.silent:
        await connection.wait_closed()
        return False
    if course.answered:
        pieces = _pieces(parcel, course)
        if course.bytes_per_second is None:
            await _send(connection, pieces)
        else:
            await _drip(connection, pieces, course.bytes_per_second)
    return _end(connection, parcel, course)


def _end(connection: Connection, parcel: Parcel, course: Course) -> bool:
    if course.ending == "reset":
        connection.reset()
        return False
    if course.ending == "close" and course.ends_after == 0:
        # The client shall see the end in any case, also where aiohttp would wait for the rest of a request.
        connection.close()
        return False
    if course.ending == "close":
        asyncio.get_running_loop().call_later(course.ends_after, connection.close)
    return parcel.keep_alive and course.length_is_told


async def _send(connection: Connection, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        if not connection.is_open:
            return
        await connection.send(piece)


async def _drip(connection: Connection, pieces: Iterable[bytes], bytes_per_second: float) -> None:
    size = max(1, int(bytes_per_second * _SLICE))
    for piece in pieces:
        for start in range(0, len(piece), size):
            if not connection.is_open:
                return
            drop = piece[start : start + size]
            await connection.send(drop)
            await asyncio.sleep(len(drop) / bytes_per_second)


def _pieces(parcel: Parcel, course: Course) -> Iterator[bytes]:
    head = _head(parcel, course)
    body = _body(parcel, course)
    if course.cut is None:
        yield from _joined(head, body)
        return
    part, left = course.cut
    if part == "body":
        left += len(head)
    for piece in _joined(head, body):
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _joined(head: bytes, body: bytes | Iterable[bytes]) -> Iterator[bytes]:
    # What is short leaves in one piece, as it would from OKX.
    if isinstance(body, bytes):
        yield head + body
    else:
        yield head
        yield from body


def _body(parcel: Parcel, course: Course) -> bytes | Iterable[bytes]:
    if parcel.head_only:
        return b""
    return parcel.answer.body if course.stream is None else course.stream()


def _head(parcel: Parcel, course: Course) -> bytes:
    status = parcel.answer.status
    reason = http.HTTPStatus(status).phrase if status in _STATUSES else ""
    lines = [f"HTTP/1.1 {status} {reason}", f"x-trace-id: {parcel.trace_id}"]
    if course.content_type is not None:
        lines.append(f"Content-Type: {course.content_type}")
    if course.length_is_told:
        length = len(parcel.answer.body) if course.stream is None else course.stream_bytes
        lines.append(f"Content-Length: {length}")
    date = _date(parcel, course)
    if date is not None:
        lines.append(f"Date: {date}")
    if not (parcel.keep_alive and course.length_is_told):
        lines.append("Connection: close")
    elif parcel.old:
        lines.append("Connection: keep-alive")
    lines += [f"{name}: {value}" for name, value in course.headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _date(parcel: Parcel, course: Course) -> str | None:
    if isinstance(course.date, str):
        return course.date
    return None if course.date is None else formatdate(parcel.now + course.date, usegmt=True)


_STATUSES: Final = frozenset(status.value for status in http.HTTPStatus)
