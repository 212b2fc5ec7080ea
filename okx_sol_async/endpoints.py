"""OKX's endpoints as values: how each is called, how often it may be, and what its answer is.

Adding an endpoint is adding one value here, one model, and one method.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Generic, TypeVar

import attrs

from okx_sol_async.errors import DecodeError
from okx_sol_async.models import AccountConfig, Apy, Balance, Order, ProductInfo, SystemTime
from okx_sol_async.ratelimit import RateLimit, Scope
from okx_sol_async.wire import read_row, read_rows

R = TypeVar("R")


@attrs.frozen
class Endpoint(Generic[R]):
    """One of OKX's endpoints, whose answer is an ``R``."""

    #: ``"GET"`` or ``"POST"``.
    method: str
    #: The path, from ``/api/v5`` on.
    path: str
    #: How often it may be called, and who is counted.
    limit: RateLimit
    #: Turns ``data``, as it comes out of the JSON, into the result; raises `DecodeError` and nothing else.
    decode: Callable[[object], R]
    #: Whether it needs a key (`True`) or is public.
    signed: bool = True
    #: Whether sending it twice does no more than sending it once. What is not is a write: it is sent again only when OKX
    #: has certainly refused it, and may end in `OutcomeUnknown`.
    safe_to_resend: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def content(self, parameters: Mapping[str, str] | None) -> bytes | None:
        """Return what is sent as the body: the parameters of a POST as a JSON object, else `None`."""
        if self.method == "GET":
            return None
        return json.dumps(dict(parameters or {}), separators=(",", ":")).encode()


def _read_balance(data: object) -> Balance:
    rows = read_rows(data, Balance)
    if len(rows) > 1:
        message = f"$.data must hold one row at most, not {len(rows)}"
        raise DecodeError(message)
    # No row is the sum of no assets.
    return rows[0] if rows else Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0))


def _read_account_config(data: object) -> AccountConfig:
    rows = read_rows(data, AccountConfig)
    if len(rows) != 1 or not rows[0].uid:
        message = (
            f"$.data must hold one row with a uid, not {len(rows)} rows" if len(rows) != 1 else "$.data[0].uid is empty"
        )
        raise DecodeError(message)
    return rows[0]


def _read_system_time(data: object) -> SystemTime:
    rows = read_rows(data, SystemTime)
    if len(rows) != 1:
        message = f"$.data must hold one row, not {len(rows)}"
        raise DecodeError(message)
    return rows[0]


def _read_product_info(data: object) -> ProductInfo:
    # An object, unlike everywhere else; but ETH's is an array of one.
    return read_row(data, ProductInfo)


def _read_orders(data: object) -> tuple[Order, ...]:
    return read_rows(data, Order)


def _read_apys(data: object) -> tuple[Apy, ...]:
    return read_rows(data, Apy)


def _read_nothing(_data: object) -> None:
    """Read the answer to a write: OKX says no more than that it was handled, and its code has said so."""


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

#: The OKSOL of an account: a read, 6 times a second per user.
#: `OKX: GET / Balance <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-balance>`_
BALANCE: Final[Endpoint[Balance]] = Endpoint(
    method="GET",
    path="/api/v5/finance/staking-defi/sol/balance",
    limit=RateLimit(6, 1.0, Scope.USER),
    decode=_read_balance,
)

#: The terms of SOL staking: a read, 3 times a second per user.
#: `OKX: GET / Product info <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-product-info>`_
PRODUCT_INFO: Final[Endpoint[ProductInfo]] = Endpoint(
    method="GET",
    path="/api/v5/finance/staking-defi/sol/product-info",
    limit=RateLimit(3, 1.0, Scope.USER),
    decode=_read_product_info,
)

#: SOL becomes OKSOL: a write, twice a second per user. Its parameter is ``amt``.
#: `OKX: POST / Purchase <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-post-purchase>`_
PURCHASE: Final[Endpoint[None]] = Endpoint(
    method="POST",
    path="/api/v5/finance/staking-defi/sol/purchase",
    limit=RateLimit(2, 1.0, Scope.USER),
    decode=_read_nothing,
    safe_to_resend=False,
)

#: OKSOL becomes SOL: a write, twice a second per user. Its parameter is ``amt``.
#: `OKX: POST / Redeem <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-post-redeem>`_
REDEEM: Final[Endpoint[None]] = Endpoint(
    method="POST",
    path="/api/v5/finance/staking-defi/sol/redeem",
    limit=RateLimit(2, 1.0, Scope.USER),
    decode=_read_nothing,
    safe_to_resend=False,
)

#: A page of the purchases and redemptions, newest first: a read, 6 times a second per user.
#: Its parameters are ``type``, ``status``, ``after``, ``before`` (both in milliseconds) and ``limit``.
#: `OKX: GET / Purchase&Redeem history
#: <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-purchase-redeem-history>`_
PURCHASE_REDEEM_HISTORY: Final[Endpoint[tuple[Order, ...]]] = Endpoint(
    method="GET",
    path="/api/v5/finance/staking-defi/sol/purchase-redeem-history",
    limit=RateLimit(6, 1.0, Scope.USER),
    decode=_read_orders,
)

#: The APY of each of the last days, newest first: public, 6 times a second per IP address. Its parameter is ``days``.
#: `OKX: GET / APY history (Public)
#: <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-apy-history-public>`_
APY_HISTORY: Final[Endpoint[tuple[Apy, ...]]] = Endpoint(
    method="GET",
    path="/api/v5/finance/staking-defi/sol/apy-history",
    limit=RateLimit(6, 1.0, Scope.IP),
    decode=_read_apys,
    signed=False,
)
