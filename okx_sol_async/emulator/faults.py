"""What can go wrong with a call, as values for `Emulator.fail_next` and `Emulator.fail_sometimes`.

Faults of two kinds: some take the place of the exchange's answer, and with ``processed=False``, as they are unless told
otherwise, the exchange does not do what the call asked for. With ``processed=True`` it does, and only its answer is
lost. The others let the exchange answer, and spoil how the answer arrives. Several faults may befall one call.

Faults of a third kind befall no call but the way to the exchange, before there is a connection: the look-up of its name,
or the handshake of TLS. They come alone.

Each of these raises `ConfigurationError` for a value that makes no sense. Times are seconds.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, Literal, get_args

import attrs

from okx_sol_async.emulator.answers import Answer, refusal
from okx_sol_async.emulator.arguments import (
    check_code,
    check_finite,
    check_flag,
    check_header,
    check_rate,
    check_seconds,
    check_size,
    check_status,
    checked,
    unless_none,
)
from okx_sol_async.emulator.course import Course, Part
from okx_sol_async.emulator.handshakes import Shown, Wrong
from okx_sol_async.errors import ConfigurationError

#: What a fault may befall: a call, the handshake of a connection over TLS, or a look-up of the exchange's name.
Befallen = Literal["call", "handshake", "look-up"]

#: The HTTP status and the text of the refusals that users meet most, as OKX sends them.
_REFUSALS: Final = {
    "50001": (503, "Service temporarily unavailable. Please try again later."),
    "50004": (400, "API endpoint request timeout "),
    "50011": (429, "Too Many Requests"),
    "50013": (429, "Systems are busy. Please try again later."),
    "50026": (500, "System error. Try again later"),
    "50030": (200, "You don't have permission to use this API endpoint"),
    "50040": (200, "Too frequent operations, please try again later"),
    "50100": (400, "API frozen, please contact customer service."),
    "50101": (401, "APIKey does not match current environment."),
    "50102": (401, "Timestamp request expired"),
    "50103": (401, "Request header OK-ACCESS-KEY can not be empty."),
    "50105": (401, "Request header OK-ACCESS-PASSPHRASE incorrect."),
    "50110": (401, "Invalid IP"),
    "50111": (401, "Invalid OK-ACCESS-KEY"),
    "50112": (401, "Invalid OK-ACCESS-TIMESTAMP"),
    "50113": (401, "Invalid Sign"),
    "50119": (401, "API key doesn't exist"),
    "50120": (200, "This API key doesn't have permission to use this function"),
    "51054": (500, "Request timed out. Please try again."),
    "51720": (200, "Redeem error"),
    "51730": (200, "Sold out"),
    "51735": (200, "Sub-account is not supported"),
    "51738": (200, "Your funding account is frozen."),
    "51739": (200, "This function is unavailable temporarily"),
}
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


class Fault:
    """Something that goes wrong with a call, or on the way to the exchange."""

    #: What it befalls.
    befallen: ClassVar[Befallen] = "call"

    def shape(self, course: Course) -> None:
        """Change the course of a call, before the exchange looks at it."""
        raise NotImplementedError

    def befalls(self, *, kept_alive: bool) -> bool:
        """Return whether it can befall a call that comes over a connection which carried one before, or over a new."""
        del kept_alive
        return True


@attrs.frozen(kw_only=True)
class _Instead(Fault):
    """Takes the place of the answer."""

    #: Whether the exchange does what the call asks for, although it does not answer so.
    processed: bool = attrs.field(default=False, validator=checked(check_flag))

    def shape(self, course: Course) -> None:
        course.processed = course.processed and self.processed
        self.answer(course)

    def answer(self, course: Course) -> None:
        """Set what comes in place of the answer."""
        raise NotImplementedError


@attrs.frozen
class Refusal(_Instead):
    """OKX refuses, with a code. A code that is a number is a number in the JSON, as OKX wrote some of them."""

    #: The code, ``"50011"`` or ``50011``.
    code: str | int = attrs.field(validator=checked(check_code))
    #: The HTTP status; `None` for what OKX sends with the code, or else 200.
    status: int | None = attrs.field(default=None, validator=checked(unless_none(check_status)))
    #: The text; `None` for OKX's.
    msg: str | None = None

    def answer(self, course: Course) -> None:
        """Set the refusal."""
        status, msg = _REFUSALS.get(str(self.code), (200, "Operation failed."))
        course.instead = refusal(self.status or status, self.code, msg if self.msg is None else self.msg)


@attrs.frozen
class Page(_Instead):
    """A page that is not of OKX's API, as a gateway or the CDN sends: HTML or plain text, with any status."""

    #: The HTTP status.
    status: int = attrs.field(default=502, validator=checked(check_status))
    #: The page; `None` makes one like nginx's.
    text: str | None = None
    #: Its type.
    content_type: str = attrs.field(default="text/html", validator=checked(check_header))

    def answer(self, course: Course) -> None:
        """Set the page."""
        made_up = _PAGE.format(status=self.status, reason=_REASONS.get(self.status, "Error"))
        text = made_up if self.text is None else self.text
        course.instead = Answer(self.status, "", text.encode("utf-8", "surrogatepass"))
        course.content_type = self.content_type


@attrs.frozen
class Body(_Instead):
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
            raise ConfigurationError(message, hint="json.dumps makes text of anything else.")

    def answer(self, course: Course) -> None:
        """Set the body."""
        body = self.body.encode("utf-8", "surrogatepass") if isinstance(self.body, str) else self.body
        course.instead = Answer(self.status, "", body)
        course.content_type = self.content_type
        if self.encoding is not None:
            course.headers.append(("Content-Encoding", self.encoding))


@attrs.frozen
class HugeBody(_Instead):
    """A success whose body, one long string in an envelope, is so big; it is made while it is sent."""

    #: Bytes.
    size: int = attrs.field(default=1_000_000_000, validator=checked(check_size))
    #: Whether Content-Length tells it; else the body ends with the connection.
    declared: bool = attrs.field(default=True, validator=checked(check_flag), kw_only=True)

    def answer(self, course: Course) -> None:
        """Set the body."""
        course.instead = Answer(200, "", b"")
        course.stream = functools.partial(_huge, self.size)
        course.stream_bytes = max(self.size, len(_BEFORE + _AFTER))
        course.length_is_told = self.declared


def _huge(size: int) -> Iterator[bytes]:
    yield _BEFORE
    left = size - len(_BEFORE + _AFTER)
    while left > 0:
        yield b"a" * min(left, _CHUNK)
        left -= _CHUNK
    yield _AFTER


@attrs.frozen
class GzipBomb(_Instead):
    """A success that is small on its way and so big when it is unpacked."""

    #: Bytes after unpacking; about a thousandth of them are sent.
    size: int = attrs.field(default=100_000_000, validator=checked(check_size))

    def answer(self, course: Course) -> None:
        """Set the body."""
        course.instead = Answer(200, "", _bomb(self.size))
        course.headers.append(("Content-Encoding", "gzip"))


@functools.lru_cache(maxsize=4)
def _bomb(size: int) -> bytes:
    blocks = max(1, -(-size // _BLOCK))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    before = packer.compress(_BEFORE) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the packer has forgotten what came before, so one packed block may be repeated.
    block = packer.compress(b"a" * _BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(_AFTER) + packer.flush(zlib.Z_FINISH)
    checksum = zlib.crc32(_BEFORE)
    for _ in range(blocks):
        checksum = zlib.crc32(b"a" * _BLOCK, checksum)
    length = len(_BEFORE + _AFTER) + blocks * _BLOCK
    trailer = struct.pack("<II", zlib.crc32(_AFTER, checksum), length % 2**32)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + before + block * blocks + end + trailer


@attrs.frozen
class Redirect(_Instead):
    """Sends whoever follows it to another place."""

    #: Where to.
    url: str = attrs.field(validator=checked(check_header))
    #: The HTTP status.
    status: int = attrs.field(default=302, validator=checked(check_status))

    def answer(self, course: Course) -> None:
        """Set the redirect."""
        course.instead = Answer(self.status, "", b"")
        course.headers.append(("Location", self.url))


@attrs.frozen
class Reset(_Instead):
    """Resets the connection (RST) in place of an answer."""

    def answer(self, course: Course) -> None:
        """Answer nothing."""
        course.answered = False
        course.ending = "reset"


@attrs.frozen
class HangUp(_Instead):
    """Closes the connection (FIN) in place of an answer."""

    def answer(self, course: Course) -> None:
        """Answer nothing."""
        course.answered = False
        course.ending = "close"


@attrs.frozen
class StaleConnection(HangUp):
    """Closes a connection that was kept alive just when the next call comes over it; new connections are spared."""

    def befalls(self, *, kept_alive: bool) -> bool:
        """Return whether the connection has carried a call before."""
        return kept_alive


@attrs.frozen
class Silence(_Instead):
    """Never answers, and keeps the connection open until the client closes it."""

    def answer(self, course: Course) -> None:
        """Answer nothing."""
        course.answered = False
        course.silent = True


@attrs.frozen
class Cut(Fault):
    """Ends the connection in the middle of the answer."""

    #: So many bytes of the head or of the body are sent.
    at: int = attrs.field(validator=checked(check_size))
    #: ``"body"`` sends the whole head and counts from its end; ``"head"`` counts from the first byte of all.
    of: Part = attrs.field(default="body", kw_only=True)
    #: Whether the connection is reset (RST) and not closed (FIN). What was sent just before a reset may be lost too.
    reset: bool = attrs.field(default=False, validator=checked(check_flag), kw_only=True)

    @of.validator
    def _check(self, _field: object, of: object) -> None:
        if of not in ("head", "body"):
            message = f"of must be 'head' or 'body', not {of!r}"
            raise ConfigurationError(message)

    def shape(self, course: Course) -> None:
        """Set where the answer ends."""
        course.cut = (self.of, self.at)
        course.ending = "reset" if self.reset else "close"


@attrs.frozen
class Drip(Fault):
    """Sends the answer slowly."""

    #: How slowly.
    bytes_per_second: float = attrs.field(default=10.0, validator=checked(check_rate))

    def shape(self, course: Course) -> None:
        """Set the pace."""
        course.bytes_per_second = self.bytes_per_second


@attrs.frozen
class Delay(Fault):
    """Lets a call travel longer."""

    #: So many seconds more until the exchange looks at the request.
    there: float = attrs.field(default=0.0, validator=checked(check_seconds))
    #: So many seconds more until the answer is sent.
    back: float = attrs.field(default=0.0, validator=checked(check_seconds))

    def shape(self, course: Course) -> None:
        """Add to both ways."""
        course.there += self.there
        course.back += self.back


@attrs.frozen
class Held(Fault):
    """Holds the answer back until `Injection.stop`, or the end of its ``with`` block; meanwhile its connection is busy.

    As many of them as a client may have connections make its pool full.
    """

    def shape(self, course: Course) -> None:
        """Hold the answer."""
        course.held = True


@attrs.frozen
class DateHeader(Fault):
    """Sends another Date than the exchange's time, which stays what it is."""

    #: By how many seconds it is ahead of the exchange's time, or any text; `None` leaves the header out.
    value: float | str | None = attrs.field()

    @value.validator
    def _check(self, _field: object, value: object) -> None:
        if isinstance(value, str):
            check_header("value", value)
        elif value is not None:
            check_finite("value", value)

    def shape(self, course: Course) -> None:
        """Set the header."""
        course.date = self.value


@attrs.frozen
class WrongClock(Fault):
    """Lets the exchange's clock be off for the call: for the check of its timestamp and for Date."""

    #: By how many seconds it is ahead; less than 0 for behind.
    seconds: float = attrs.field(validator=checked(check_finite))

    def shape(self, course: Course) -> None:
        """Put the clock off."""
        course.clock_off += self.seconds


@attrs.frozen
class ExtraHeader(Fault):
    """Sends one more header, also if it is there already: a second Content-Length, a second Date."""

    #: Its name.
    name: str = attrs.field(validator=checked(check_header))
    #: Its value.
    value: str = attrs.field(validator=checked(check_header))

    def shape(self, course: Course) -> None:
        """Add the header."""
        course.headers.append((self.name, self.value))


@attrs.frozen
class CloseIdle(Fault):
    """Answers, and closes the connection without having said so; the next call may find it dead."""

    #: So many seconds after the answer.
    after: float = attrs.field(default=0.0, validator=checked(check_seconds))

    def shape(self, course: Course) -> None:
        """Set the end of the connection."""
        course.ending = "close"
        course.ends_after = self.after


class OfHandshake(Fault):
    """Befalls the handshake of a new connection to an exchange over TLS."""

    befallen = "handshake"
    #: What the client is shown.
    shown: Shown


@attrs.frozen
class WrongCertificate(OfHandshake):
    """A certificate that a careful client does not take, although it trusts `Emulator.certificate`."""

    #: What is wrong with it: ``"untrusted"`` (nobody trusts who issued it), ``"ended"`` or ``"of another host"``.
    shown: Wrong = attrs.field(default="untrusted")

    @shown.validator
    def _check(self, _field: object, shown: object) -> None:
        if shown not in get_args(Wrong):
            message = f"shown must be one of {', '.join(map(repr, get_args(Wrong)))}, not {shown!r}"
            raise ConfigurationError(message)


@attrs.frozen
class BrokenHandshake(OfHandshake):
    """Ends the connection in the middle of the handshake."""

    shown: Shown = attrs.field(default="nothing", init=False, repr=False)


@attrs.frozen
class UnknownName(Fault):
    """Lets a look-up of `Emulator.named_url` in this process find nothing, as when the DNS does not answer.

    Python's look-up is stood in for, which asyncio's own loops and all that is not asynchronous use; uvloop and aiodns
    have their own, and find the exchange. aiohttp remembers for ten seconds what it has looked up.
    """

    befallen = "look-up"


__all__ = [
    "Body",
    "BrokenHandshake",
    "CloseIdle",
    "Cut",
    "DateHeader",
    "Delay",
    "Drip",
    "ExtraHeader",
    "Fault",
    "GzipBomb",
    "HangUp",
    "Held",
    "HugeBody",
    "Page",
    "Redirect",
    "Refusal",
    "Reset",
    "Silence",
    "StaleConnection",
    "UnknownName",
    "WrongCertificate",
    "WrongClock",
]


def check_faults(faults: Iterable[object]) -> tuple[Fault, ...]:
    """Return the faults, of which there must be one at least.

    Raises:
        ConfigurationError: there are none, or something else is among them.

    """
    found = tuple(faults)
    for fault in found:
        if not isinstance(fault, Fault):
            message = f"faults must be of okx_sol_async.emulator.faults, not {fault!r}"
            raise ConfigurationError(message, hint="Write Reset() and not Reset, for example.")
    if not found:
        message = "faults must be one at least"
        raise ConfigurationError(message)
    them: tuple[Fault, ...] = tuple(fault for fault in found if isinstance(fault, Fault))
    if len(them) > 1 and any(fault.befallen != "call" for fault in them):
        message = "what befalls no call but the way to the exchange must come alone"
        raise ConfigurationError(message, hint="Several calls of fail_next are a script.")
    return them
