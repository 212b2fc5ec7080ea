"""A request as it comes in, and whether it is signed as it must be."""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async.emulator import answers

if TYPE_CHECKING:
    from okx_sol_async.emulator.answers import Answer
    from okx_sol_async.emulator.users import Key

#: A timestamp may be so far from the exchange's clock, in seconds, either way.
TIMESTAMP_TOLERANCE: Final = 30.0

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@attrs.frozen
class Arrival:
    """A request at the moment at which the exchange looks at it."""

    method: str
    #: Path and query, as they came.
    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes
    ip: str
    #: The loop's time, in seconds.
    at: float
    #: Seconds since 1970 (UTC).
    now: float
    #: By how many seconds the clock was moved; whoever signs need not have followed it.
    moved: float

    @property
    def endpoint(self) -> str:
        """Method and path."""
        return endpoint_of(self.method, self.target)

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.target.partition("?")[2]


def endpoint_of(method: str, target: str) -> str:
    """Return method and path."""
    return f"{method} {target.partition('?')[0]}"


def verify(arrival: Arrival, key: Key) -> Answer | None:
    """Return the refusal of a request that claims to be signed with ``key``, `None` when it is."""
    headers = arrival.headers
    signed_at = _seconds_of(headers["OK-ACCESS-TIMESTAMP"])
    if signed_at is None:
        return answers.BAD_TIMESTAMP
    age = arrival.now - signed_at
    if min(abs(age), abs(age - arrival.moved)) > TIMESTAMP_TOLERANCE:
        return answers.EXPIRED
    prehash = _bytes_of(headers["OK-ACCESS-TIMESTAMP"] + arrival.method + arrival.target) + arrival.body
    signature = b64encode(hmac.digest(key.credentials.secret_key.encode(), prehash, "sha256"))
    if not hmac.compare_digest(signature, _bytes_of(headers["OK-ACCESS-SIGN"])):
        return answers.BAD_SIGNATURE
    if not hmac.compare_digest(key.credentials.passphrase.encode(), _bytes_of(headers["OK-ACCESS-PASSPHRASE"])):
        return answers.BAD_PASSPHRASE
    # Absent and "0" both mean live.
    if (headers.get("x-simulated-trading") == "1") != key.user.demo:
        return answers.WRONG_MODE
    return None


def _seconds_of(timestamp: str) -> float | None:
    if _TIMESTAMP.fullmatch(timestamp) is None:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None


def _bytes_of(text: str) -> bytes:
    """Return the bytes that came, which aiohttp turned into ``text``."""
    return text.encode("utf-8", "surrogateescape")
