"""Responses of the exchange, before the network or a fault changes how they are sent."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Final

import attrs

#: These stand in for the placeholders of OKX's messages where the request does not give a value.
_PLACEHOLDERS: Final = {
    "ccy": "SOL",
    "crypto": "OKSOL",
    "minUnit": "0.01",
    "minAmt": "0.01",
    "maxRedemptionAmount": "0",
    "param": "amt",
    "param0": "amt",
    "param1": "ccy",
    "region": "your region",
    "x": "0",
    "0": "SOL",
}
#: The gateway in front of OKX's endpoints refuses with these, and sends no ``data``.
_GATEWAY_CODES: Final = ("50011", "501")


@attrs.frozen
class ExchangeResponse:
    """An HTTP status and a body, and the code that is in the body."""

    status: int
    #: ``"0"`` for success; empty where the body has no code.
    code: str
    body: bytes
    content_type: str = "application/json; charset=utf-8"


def success(data: object) -> ExchangeResponse:
    """Return a success with ``data``."""
    return _response(200, "0", {"code": "0", "msg": "", "data": data})


def refusal(code: str | int, *, status: int | None = None, msg: str | None = None, **values: str) -> ExchangeResponse:
    """Return the refusal that OKX sends for ``code``.

    Args:
        code: OKX's code; a number is written as a number.
        status: the HTTP status; `None` is OKX's, or 200 for a code that OKX does not document.
        msg: the message; `None` is OKX's, or "Operation failed." for a code that OKX does not document.
        values: what stands in place of OKX's placeholders, such as ``{param0}``.

    """
    text = str(code)
    documented_status, documented_msg = documented_refusals().get(text, (200, "Operation failed."))
    if msg is None:
        msg = _filled(documented_msg, _PLACEHOLDERS | values)
    is_gateways = text.startswith(_GATEWAY_CODES)
    body: dict[str, object] = {"msg": msg, "code": code} if is_gateways else {"code": code, "data": [], "msg": msg}
    return _response(documented_status if status is None else status, text, body)


@functools.cache
def documented_refusals() -> Mapping[str, tuple[int, str]]:
    """Return the HTTP status and the message of each code that OKX documents; as seen on the wire where known."""
    text = resources.files(__package__).joinpath("refusals.json").read_text("utf-8")
    return {code: (status, msg) for code, (status, msg) in json.loads(text).items()}


def _filled(msg: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        msg = msg.replace(f"{{{name}}}", value)
    return msg


def _response(status: int, code: str, envelope: Mapping[str, object]) -> ExchangeResponse:
    return ExchangeResponse(status, code, json.dumps(envelope, separators=(",", ":")).encode())


#: No response at all.
NO_RESPONSE: Final = ExchangeResponse(0, "", b"")
NOT_FOUND: Final = ExchangeResponse(404, "404", b'{"code":404,"msg":"Not Found","data":{}}')
