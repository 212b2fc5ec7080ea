"""Whether a request is signed as OKX demands, checked without the signer of this package."""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from okx_sol_async.emulator.accounts._state import ApiKey
from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import ExchangeResponse, refusal

#: The largest difference, in seconds, between a timestamp and the exchange's clock.
TIMESTAMP_TOLERANCE: Final = 30.0

#: The headers of a signed request, in the order in which OKX checks them, with the code for a missing one.
_HEADERS: Final = {
    "OK-ACCESS-KEY": "50103",
    "OK-ACCESS-PASSPHRASE": "50104",
    "OK-ACCESS-SIGN": "50106",
    "OK-ACCESS-TIMESTAMP": "50107",
}
# OKX documents milliseconds; clients that send other fractions are known to work (OKX.Net sends two digits).
_TIMESTAMP: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{1,9}Z")


def authenticate(request: ReceivedRequest, keys: Mapping[str, ApiKey]) -> ApiKey | ExchangeResponse:
    """Return the key that a request is signed with, or the refusal."""
    headers = request.headers
    for header, code in _HEADERS.items():
        if not headers.get(header):
            return refusal(code)
    key = keys.get(headers["OK-ACCESS-KEY"])
    if key is None:
        return refusal("50119")
    mistake = _mistake(request, key)
    return key if mistake is None else refusal(mistake)


def _mistake(request: ReceivedRequest, key: ApiKey) -> str | None:
    headers, secrets = request.headers, key.credentials
    signed_at = _seconds_of(headers["OK-ACCESS-TIMESTAMP"])
    if signed_at is None:
        return "50112"
    age = request.now - signed_at
    if min(abs(age), abs(age - request.moved)) > TIMESTAMP_TOLERANCE:
        return "50102"
    prehash = _bytes_of(headers["OK-ACCESS-TIMESTAMP"] + request.method + request.target) + request.body
    signature = b64encode(hmac.digest(secrets.secret_key.encode(), prehash, "sha256"))
    if not hmac.compare_digest(signature, _bytes_of(headers["OK-ACCESS-SIGN"])):
        return "50113"
    return _mistaken_identity(request, key)


def _mistaken_identity(request: ReceivedRequest, key: ApiKey) -> str | None:
    headers, secrets = request.headers, key.credentials
    if not hmac.compare_digest(secrets.passphrase.encode(), _bytes_of(headers["OK-ACCESS-PASSPHRASE"])):
        return "50105"
    # Absent and "0" both mean live trading.
    if (headers.get("x-simulated-trading") == "1") != key.demo:
        return "50101"
    if key.ips and request.ip not in key.ips:
        return "50110"
    return None


def _seconds_of(timestamp: str) -> float | None:
    if _TIMESTAMP.fullmatch(timestamp) is None:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None


def _bytes_of(text: str) -> bytes:
    """Return the bytes that were sent, which aiohttp decoded to ``text``."""
    return text.encode("utf-8", "surrogateescape")
