"""What an endpoint is, and those about the account and OKX itself that a session uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import attrs

from okx_sol_async._checks import flag, text, wrong
from okx_sol_async.codec._structure import only_row, read_rows
from okx_sol_async.errors import DecodeError
from okx_sol_async.models import AccountConfig, FundingBalance, SystemStatus, SystemTime
from okx_sol_async.ratelimit._limit import RateLimit, Scope

_R = TypeVar("_R")

# Any other character would be sent in another spelling than it is signed in.
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)


@attrs.frozen
class Endpoint(Generic[_R]):
    """One of OKX's endpoints, whose result is an ``R``.

    Raises:
        ConfigurationError: a field is not as said here; its ``argument`` names it.

    """

    #: ``"GET"`` or ``"POST"``.
    method: str
    #: The path, from ``/api/v5`` on.
    path: str
    #: How often it may be called, and who is counted.
    limit: RateLimit
    #: Turns ``data``, as it comes out of the JSON, into the result; raises `DecodeError` and nothing else.
    decode: Callable[[object], _R]
    #: Whether it needs a key (`True`) or is public.
    signed: bool = True
    #: Whether sending it twice does no more than sending it once. What is not is a write: it is sent again only when OKX
    #: has certainly refused it, and may end in `OutcomeUnknown`.
    safe_to_resend: bool = True

    def __attrs_post_init__(self) -> None:
        if text("method", self.method) not in {"GET", "POST"}:
            raise wrong(self.method, "method", "'GET' or 'POST'")
        if not _PATH.fullmatch(text("path", self.path)):
            raise wrong(self.path, "path", "a path such as '/api/v5/public/time', without a query")
        if not isinstance(self.limit, RateLimit):
            raise wrong(self.limit, "limit", "a RateLimit")
        if not callable(self.decode):
            raise wrong(self.decode, "decode", "callable")
        flag("signed", self.signed)
        flag("safe_to_resend", self.safe_to_resend)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def content(self, parameters: Mapping[str, str] | None) -> bytes:
        """Return the body of a POST: its parameters as a JSON object."""
        return json.dumps(dict(parameters or {}), separators=(",", ":")).encode()


def _read_account_config(data: object) -> AccountConfig:
    account = only_row(read_rows(data, AccountConfig))
    if not account.uid:
        message = "$.data[0].uid is empty"
        raise DecodeError(message)
    return account


def _read_system_time(data: object) -> SystemTime:
    return only_row(read_rows(data, SystemTime))


def _read_funding_balances(data: object) -> tuple[FundingBalance, ...]:
    return read_rows(data, FundingBalance)


def _read_system_status(data: object) -> tuple[SystemStatus, ...]:
    return read_rows(data, SystemStatus)


#: Whose key it is: a read, 5 times in two seconds per user.
#: `OKX: Get account configuration
#: <https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration>`_
ACCOUNT_CONFIG: Final[Endpoint[AccountConfig]] = Endpoint(
    method="GET",
    path="/api/v5/account/config",
    limit=RateLimit(5, 2.0, Scope.USER),
    decode=_read_account_config,
)

#: OKX's clock: public, 10 times in two seconds per IP address.
#: `OKX: Get system time <https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time>`_
SYSTEM_TIME: Final[Endpoint[SystemTime]] = Endpoint(
    method="GET",
    path="/api/v5/public/time",
    limit=RateLimit(10, 2.0, Scope.IP),
    decode=_read_system_time,
    signed=False,
)

#: What the funding account holds: a read, 6 times a second per user. Its parameter is ``ccy``, such as ``"SOL,OKSOL"``.
#: `OKX: Get balance <https://www.okx.com/docs-v5/en/#funding-account-rest-api-get-balance>`_
ASSET_BALANCES: Final[Endpoint[tuple[FundingBalance, ...]]] = Endpoint(
    method="GET",
    path="/api/v5/asset/balances",
    limit=RateLimit(6, 1.0, Scope.USER),
    decode=_read_funding_balances,
)

#: OKX's maintenance, planned and under way: public, once in five seconds per IP address.
#: `OKX: Status <https://www.okx.com/docs-v5/en/#status-get-status>`_
SYSTEM_STATUS: Final[Endpoint[tuple[SystemStatus, ...]]] = Endpoint(
    method="GET",
    path="/api/v5/system/status",
    limit=RateLimit(1, 5.0, Scope.IP),
    decode=_read_system_status,
    signed=False,
)
