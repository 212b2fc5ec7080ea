"""The endpoints of SOL staking as values.

Adding one is adding its value here, its model, and one method of `SolStaking`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from okx_sol_async.codec._structure import read_row, read_rows
from okx_sol_async.endpoint import Endpoint
from okx_sol_async.errors import DecodeError
from okx_sol_async.models import Apy, Balance, Order, ProductInfo
from okx_sol_async.ratelimit._limit import RateLimit, Scope


def _read_balance(data: object) -> Balance:
    rows = read_rows(data, Balance)
    if len(rows) > 1:
        message = f"$.data must hold one row at most, not {len(rows)}"
        raise DecodeError(message)
    # No row is the sum of no assets.
    return rows[0] if rows else Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0))


def _read_product_info(data: object) -> ProductInfo:
    # An object, unlike everywhere else; but ETH's is an array of one.
    return read_row(data, ProductInfo)


def _read_orders(data: object) -> tuple[Order, ...]:
    return read_rows(data, Order)


def _read_apys(data: object) -> tuple[Apy, ...]:
    return read_rows(data, Apy)


def _read_nothing(_data: object) -> None:
    """Read the response to a write: OKX says no more than that it was handled, and its code has said so."""


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
