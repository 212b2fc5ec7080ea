"""Faults that replace the response of the exchange.

With ``processed=False``, the default, the exchange does not do what the call asked for. With ``processed=True`` it
does, and only its response is lost.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterator
from typing import Final

import attrs

from okx_sol_async.emulator._arguments import (
    check_code,
    check_flag,
    check_header,
    check_size,
    check_status,
    checked,
    unless_none,
)
from okx_sol_async.emulator.faults._base import Fault
from okx_sol_async.emulator.faults._plan import ResponsePlan
from okx_sol_async.emulator.gateway._responses import ExchangeResponse, refusal
from okx_sol_async.errors import ConfigurationError

_PAGE: Final = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_REASONS: Final = {
    200: "OK",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_BEFORE: Final = b'{"code":"0","msg":"'
_AFTER: Final = b'","data":[]}'
_CHUNK: Final = 65_536
_BLOCK: Final = 1_048_576


@attrs.frozen(kw_only=True)
class ResponseReplaced(Fault):
    """Replaces the response."""

    #: Whether the exchange does what the call asks for, although it does not respond so.
    processed: bool = attrs.field(default=False, validator=checked(check_flag))

    def apply(self, plan: ResponsePlan) -> None:
        """Keep the call from the exchange unless it is `processed`, and replace the response."""
        plan.processed = plan.processed and self.processed
        self.replace(plan)

    def replace(self, plan: ResponsePlan) -> None:
        """Set what is sent in place of the response."""
        raise NotImplementedError


@attrs.frozen
class Refusal(ResponseReplaced):
    """A refusal with one of OKX's codes. A code given as a number is a number in the JSON, as OKX wrote some of them."""

    #: The code, ``"50011"`` or ``50011``.
    code: str | int = attrs.field(validator=checked(check_code))
    #: The HTTP status; `None` for the one that OKX documents for the code, or else 200.
    status: int | None = attrs.field(default=None, validator=checked(unless_none(check_status)))
    #: The message; `None` for OKX's.
    msg: str | None = None

    def replace(self, plan: ResponsePlan) -> None:
        """Set the refusal."""
        plan.instead = refusal(self.code, status=self.status, msg=self.msg)


@attrs.frozen
class Page(ResponseReplaced):
    """A page of HTML or plain text, as a gateway or the CDN sends, with any status."""

    #: The HTTP status.
    status: int = attrs.field(default=502, validator=checked(check_status))
    #: The page; `None` makes one like nginx's.
    text: str | None = None
    #: The value of Content-Type.
    content_type: str = attrs.field(default="text/html", validator=checked(check_header))

    def replace(self, plan: ResponsePlan) -> None:
        """Set the page."""
        made_up = _PAGE.format(status=self.status, reason=_REASONS.get(self.status, "Error"))
        text = made_up if self.text is None else self.text
        body = text.encode("utf-8", "surrogatepass")
        plan.instead = ExchangeResponse(self.status, "", body, self.content_type)


@attrs.frozen
class Body(ResponseReplaced):
    """Any bytes as the body: broken JSON, wrong types, another charset."""

    #: The body; text is sent in UTF-8.
    body: bytes | str = attrs.field()
    #: The HTTP status.
    status: int = attrs.field(default=200, validator=checked(check_status))
    #: The value of Content-Type; `None` leaves the header out.
    content_type: str | None = attrs.field(default="application/json", validator=checked(unless_none(check_header)))
    #: The value of Content-Encoding; the body is sent as it is.
    encoding: str | None = attrs.field(default=None, validator=checked(unless_none(check_header)))

    @body.validator
    def _check(self, _field: object, body: object) -> None:
        if not isinstance(body, bytes | str):
            message = f"body must be bytes or text, not {type(body).__name__}"
            raise ConfigurationError(message, hint="json.dumps makes text of anything else.", argument="body")

    def replace(self, plan: ResponsePlan) -> None:
        """Set the body."""
        body = self.body.encode("utf-8", "surrogatepass") if isinstance(self.body, str) else self.body
        plan.instead = ExchangeResponse(self.status, "", body, self.content_type or "")
        plan.has_content_type = self.content_type is not None
        if self.encoding is not None:
            plan.headers.append(("Content-Encoding", self.encoding))


@attrs.frozen
class HugeBody(ResponseReplaced):
    """A success whose body, one long string in an envelope, has a given size; it is made while it is sent."""

    #: Bytes.
    size: int = attrs.field(default=1_000_000_000, validator=checked(check_size))
    #: Whether Content-Length states it; else the body ends with the connection.
    declared: bool = attrs.field(default=True, validator=checked(check_flag), kw_only=True)

    def replace(self, plan: ResponsePlan) -> None:
        """Set the body."""
        plan.instead = ExchangeResponse(200, "", b"")
        plan.stream = functools.partial(_huge, self.size)
        plan.stream_bytes = max(self.size, len(_BEFORE + _AFTER))
        plan.has_length = self.declared


def _huge(size: int) -> Iterator[bytes]:
    yield _BEFORE
    left = size - len(_BEFORE + _AFTER)
    while left > 0:
        yield b"a" * min(left, _CHUNK)
        left -= _CHUNK
    yield _AFTER


@attrs.frozen
class GzipBomb(ResponseReplaced):
    """A success that is small when sent and large when unpacked."""

    #: Bytes after unpacking; about a thousandth of them are sent.
    size: int = attrs.field(default=100_000_000, validator=checked(check_size))

    def replace(self, plan: ResponsePlan) -> None:
        """Set the body."""
        plan.instead = ExchangeResponse(200, "", _bomb(self.size))
        plan.headers.append(("Content-Encoding", "gzip"))


@functools.lru_cache(maxsize=4)
def _bomb(size: int) -> bytes:
    blocks = max(1, -(-size // _BLOCK))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    before = packer.compress(_BEFORE) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the packer has no history, so one packed block may be repeated.
    block = packer.compress(b"a" * _BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(_AFTER) + packer.flush(zlib.Z_FINISH)
    checksum = zlib.crc32(_BEFORE)
    for _ in range(blocks):
        checksum = zlib.crc32(b"a" * _BLOCK, checksum)
    length = len(_BEFORE + _AFTER) + blocks * _BLOCK
    trailer = struct.pack("<II", zlib.crc32(_AFTER, checksum), length % 2**32)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + before + block * blocks + end + trailer


@attrs.frozen
class Redirect(ResponseReplaced):
    """A redirect to another URL."""

    #: The URL.
    url: str = attrs.field(validator=checked(check_header))
    #: The HTTP status.
    status: int = attrs.field(default=302, validator=checked(check_status))

    def replace(self, plan: ResponsePlan) -> None:
        """Set the redirect."""
        plan.instead = ExchangeResponse(self.status, "", b"")
        plan.headers.append(("Location", self.url))


@attrs.frozen
class Reset(ResponseReplaced):
    """Resets the connection (RST) in place of a response."""

    def replace(self, plan: ResponsePlan) -> None:
        """Send nothing and reset."""
        plan.responds = False
        plan.ending = "reset"


@attrs.frozen
class CloseConnection(ResponseReplaced):
    """Closes the connection (FIN) in place of a response."""

    def replace(self, plan: ResponsePlan) -> None:
        """Send nothing and close."""
        plan.responds = False
        plan.ending = "close"


@attrs.frozen
class StaleConnection(CloseConnection):
    """Closes a connection that was kept alive when the next call is sent over it; new connections are unaffected."""

    def matches(self, *, kept_alive: bool) -> bool:
        """Return whether the connection has carried a call before."""
        return kept_alive


@attrs.frozen
class NoResponse(ResponseReplaced):
    """Never responds, and keeps the connection open until the client closes it."""

    def replace(self, plan: ResponsePlan) -> None:
        """Send nothing."""
        plan.responds = False
        plan.silent = True
