"""What a request asks for: its query and its body, read as OKX reads them."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final, cast
from urllib.parse import parse_qsl

import attrs

from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import ExchangeResponse, refusal

WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,18}")
# SOL has nine digits after the point, and no account holds 10^18.
_AMOUNT: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


@attrs.frozen
class RequestRefused(Exception):
    """The request cannot be done; `response` is the refusal to send."""

    response: ExchangeResponse


def query_of(request: ReceivedRequest) -> dict[str, str]:
    """Return the parameters of a query."""
    return dict(parse_qsl(request.query, keep_blank_values=True))


def missing_parameter(name: str) -> ExchangeResponse:
    """Return the refusal of a request without a parameter that it needs."""
    return refusal("50014", param0=name)


def wrong_parameter(name: str) -> ExchangeResponse:
    """Return the refusal of a request for the value of a parameter."""
    return refusal("51000", param0=name)


def amount_of(request: ReceivedRequest) -> Decimal:
    """Return the amount in the body of a purchase or redemption."""
    amt = _json_object(request).get("amt")
    if amt is None or amt == "":
        raise RequestRefused(missing_parameter("amt"))
    if not isinstance(amt, str) or not _AMOUNT.fullmatch(amt) or not Decimal(amt):
        raise RequestRefused(wrong_parameter("amt"))
    return Decimal(amt)


def _json_object(request: ReceivedRequest) -> dict[str, object]:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestRefused(refusal("50006"))
    if not request.body:
        raise RequestRefused(refusal("50000"))
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RequestRefused(refusal("50002"))
    return cast("dict[str, object]", body)
