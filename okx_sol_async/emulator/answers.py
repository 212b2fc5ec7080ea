"""What the exchange answers, and its refusals in OKX's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs


@attrs.frozen
class Answer:
    """An HTTP status and a body, and the code that is in the body."""

    status: int
    code: str
    body: bytes


def success(data: object) -> Answer:
    """Answer with what was asked for."""
    return _answer(200, "0", {"code": "0", "msg": "", "data": data})


def refusal(status: int, code: str | int, msg: str) -> Answer:
    """Refuse as OKX's gateway does, without any data; a code that is a number is written as one."""
    return _answer(status, str(code), {"msg": msg, "code": code})


def declined(status: int, code: str, msg: str) -> Answer:
    """Refuse as an endpoint of OKX does, with no rows."""
    return _answer(status, code, {"code": code, "data": [], "msg": msg})


def _answer(status: int, code: str, envelope: Mapping[str, object]) -> Answer:
    return Answer(status, code, json.dumps(envelope, separators=(",", ":")).encode())


#: No answer at all.
NOTHING: Final = Answer(0, "", b"")
NOT_FOUND: Final = Answer(404, "404", b'{"code":404,"msg":"Not Found","data":{}}')
UNKNOWN_KEY: Final = refusal(401, "50119", "API key doesn't exist")
BAD_TIMESTAMP: Final = refusal(401, "50112", "Invalid OK-ACCESS-TIMESTAMP")
EXPIRED: Final = refusal(401, "50102", "Timestamp request expired")
BAD_SIGNATURE: Final = refusal(401, "50113", "Invalid Sign")
BAD_PASSPHRASE: Final = refusal(401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect.")
WRONG_MODE: Final = refusal(401, "50101", "APIKey does not match current environment.")
NO_PERMISSION: Final = refusal(200, "50120", "This API key doesn't have permission to use this function")
TOO_MANY: Final = refusal(429, "50011", "Too Many Requests")
#: The headers of a signed request, in the order in which OKX misses them.
MISSING: Final = {
    header: refusal(401, code, f"Request header {header} can not be empty.")
    for header, code in (
        ("OK-ACCESS-KEY", "50103"),
        ("OK-ACCESS-PASSPHRASE", "50104"),
        ("OK-ACCESS-SIGN", "50106"),
        ("OK-ACCESS-TIMESTAMP", "50107"),
    )
}

NOT_IN_DEMO: Final = declined(200, "50038", "This feature is unavailable in demo trading")
WRONG_CONTENT_TYPE: Final = declined(400, "50006", 'Invalid Content-Type. Please use "application/JSON".')
NO_BODY: Final = declined(400, "50000", "Body for POST request cannot be empty.")
BAD_JSON: Final = declined(400, "50002", "JSON syntax error")
SUSPENDED: Final = declined(200, "51731", "Product is currently suspended for purchase")
NO_SUB_ACCOUNTS: Final = declined(200, "51735", "Sub-account is not supported")
ABOVE_MAXIMUM: Final = declined(200, "51728", "The subscription quantity is above the maximum limit")
NOT_ENOUGH_SOL: Final = declined(200, "51736", "Insufficient SOL balance")


def empty_parameter(name: str) -> Answer:
    """Refuse a request without a parameter that it needs."""
    return declined(400, "50014", f"Parameter {name} can not be empty.")


def wrong_parameter(name: str) -> Answer:
    """Refuse a request for the value of a parameter."""
    return declined(400, "51000", f"Parameter {name} error")


def below_minimum(amt: str) -> Answer:
    """Refuse a purchase that is too small."""
    return declined(200, "51727", f"The minimum subscription amount is {amt} SOL")


def redeem_at_most(amt: str) -> Answer:
    """Refuse a redemption of more than there is."""
    return declined(200, "51758", f"You can redeem at most {amt} OKSOL.")
