"""The endpoints of SOL staking: https://www.okx.com/docs-v5/en/#financial-product-sol-staking."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from okx_sol_async.emulator._clock import day_number, start_of_day
from okx_sol_async.emulator.accounts._orders import EmulatedOrder, milliseconds, moment
from okx_sol_async.emulator.accounts._users import EmulatedUser
from okx_sol_async.emulator.gateway._parameters import (
    WHOLE_NUMBER,
    RequestRefused,
    amount_of,
    missing_parameter,
    query_of,
    wrong_parameter,
)
from okx_sol_async.emulator.gateway._responses import ExchangeResponse, refusal, success
from okx_sol_async.emulator.gateway._routes import EndpointRoute, SignedCall, UnsignedCall
from okx_sol_async.emulator.gateway._rows import order_row, padded, shortest

STAKING: Final = "/api/v5/finance/staking-defi/sol"
#: Rows of a page of the history, unless fewer are requested, and at most.
_PAGE: Final = 100
#: The most days of the APY history.
_MAX_DAYS: Final = 365


def _apy_history(call: UnsignedCall) -> ExchangeResponse:
    days = query_of(call.request).get("days")
    if not days:
        raise RequestRefused(missing_parameter("days"))
    if not WHOLE_NUMBER.fullmatch(days) or not 1 <= int(days) <= _MAX_DAYS:
        raise RequestRefused(wrong_parameter("days"))
    newest = day_number(call.request.now)
    rows = []
    for day in range(newest, newest - int(days), -1):
        begins = moment(start_of_day(day))
        rate = call.state.product.apy_of(begins.date())
        rows.append({"rate": padded(rate), "ts": str(milliseconds(begins))})
    return success(rows)


def _balance(call: SignedCall) -> ExchangeResponse:
    balance = call.user.balance
    if balance is None:
        return success([])
    row = {
        "amt": padded(balance.amt),
        "ccy": balance.ccy,
        "latestInterestAccrual": padded(balance.latest_interest_accrual),
        "totalInterestAccrual": padded(balance.total_interest_accrual),
    }
    return success([row])


def _product_info(call: SignedCall) -> ExchangeResponse:
    product = call.state.product
    return success(
        {
            "fastRedemptionAvail": shortest(call.user.fast_redemption_left()),
            "fastRedemptionDailyLimit": shortest(product.fast_redemption_limit_of(call.user.vip)),
            "rate": shortest(product.rate * 100),
            "redemptDays": str(product.redempt_days),
            "minAmt": shortest(product.min_amt),
        }
    )


def _purchase(call: SignedCall) -> ExchangeResponse:
    amt = _amount_to_move(call)
    product = call.state.product
    if product.suspended:
        return refusal("51731")
    if amt < product.min_amt:
        return refusal("51727", minUnit=shortest(product.min_amt))
    if product.max_amt is not None and amt > product.max_amt:
        return refusal("51728")
    if amt > call.user.sol:
        return refusal("51736")
    call.user.purchase(amt)
    return success([])


def _redeem(call: SignedCall) -> ExchangeResponse:
    amt = _amount_to_move(call)
    redeemable = call.user.ledger().redeemable
    if amt > redeemable:
        return refusal("51758", maxRedemptionAmount=shortest(redeemable))
    call.user.redeem(amt)
    return success([])


def _amount_to_move(call: SignedCall) -> Decimal:
    """Return the amount of a purchase or redemption, or raise the refusal that both have in common."""
    user: EmulatedUser = call.user
    if user.demo:
        raise RequestRefused(refusal("50038"))
    amt = amount_of(call.request)
    if user.main_uid != user.uid and not call.state.product.sub_accounts:
        raise RequestRefused(refusal("51735"))
    return amt


def _history(call: SignedCall) -> ExchangeResponse:
    wanted = query_of(call.request)
    for name, pattern in _HISTORY.items():
        if not pattern.fullmatch(wanted.get(name, "")):
            raise RequestRefused(wrong_parameter(name))
    limit = int(wanted.get("limit") or _PAGE)
    if not 1 <= limit <= _PAGE:
        raise RequestRefused(wrong_parameter("limit"))
    # Of those that share a millisecond, the one that came last is first on the page.
    oldest_first = sorted(call.user.orders, key=lambda order: order.request_time)
    found = [order for order in reversed(oldest_first) if _is_wanted(order, wanted)]
    return success([order_row(order) for order in found[:limit]])


# An empty value stands for none.
_HISTORY: Final = {
    "type": re.compile(r"(purchase|redeem)?"),
    "status": re.compile(r"(pending|success|failed)?"),
    "after": re.compile(r"([0-9]{1,18})?"),
    "before": re.compile(r"([0-9]{1,18})?"),
    "limit": re.compile(r"([0-9]{1,18})?"),
}


def _is_wanted(order: EmulatedOrder, wanted: Mapping[str, str]) -> bool:
    requested = milliseconds(order.request_time)
    after, before = wanted.get("after"), wanted.get("before")
    return (
        wanted.get("type") in (None, "", order.type)
        and wanted.get("status") in (None, "", order.status)
        # OKX's words: what comes after a row on the next page is earlier than it.
        and (not after or requested < int(after))
        and (not before or requested > int(before))
    )


ROUTES: Final = (
    EndpointRoute.signed(f"GET {STAKING}/balance", 6, 1.0, _balance),
    EndpointRoute.signed(f"GET {STAKING}/product-info", 3, 1.0, _product_info),
    EndpointRoute.signed(f"POST {STAKING}/purchase", 2, 1.0, _purchase, permission="trade"),
    EndpointRoute.signed(f"POST {STAKING}/redeem", 2, 1.0, _redeem, permission="trade"),
    EndpointRoute.signed(f"GET {STAKING}/purchase-redeem-history", 6, 1.0, _history),
    EndpointRoute.unsigned(f"GET {STAKING}/apy-history", 6, 1.0, _apy_history),
)
