"""The endpoints: how often each may be called, what it asks of a request, and what it answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl

import attrs

from okx_sol_async.emulator import answers
from okx_sol_async.emulator.answers import Answer, success
from okx_sol_async.emulator.clock import beginning_of, day_number
from okx_sol_async.emulator.ledger import Ledger
from okx_sol_async.emulator.orders import EmulatedOrder, milliseconds, moment
from okx_sol_async.emulator.users import EmulatedUser, Key, Permission

if TYPE_CHECKING:
    from datetime import datetime

    from okx_sol_async.emulator.arrivals import Arrival
    from okx_sol_async.emulator.product import Product

_STAKING: Final = "/api/v5/finance/staking-defi/sol"
#: Rows of a page of the history, unless fewer are asked for, and at most.
_PAGE: Final = 100
#: Days of the APY at most.
_MOST_DAYS: Final = 365
_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,18}")
# SOL has nine digits after the point, and no account holds 10^18.
_AMOUNT: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


@attrs.frozen
class PublicRoute:
    """An endpoint that anybody may ask, counted by IP address."""

    endpoint: str
    requests: int
    seconds: float
    answer: Callable[[Arrival, Product], Answer]


@attrs.frozen
class SignedRoute:
    """An endpoint that asks for a signature, counted by user."""

    endpoint: str
    requests: int
    seconds: float
    answer: Callable[[Arrival, Product, Key], Answer]
    permission: Permission = "read_only"


@attrs.frozen
class _Refused(Exception):
    answer: Answer


def _time(arrival: Arrival, _product: Product) -> Answer:
    return success([{"ts": str(math.floor(arrival.now * 1000))}])


def _apy_history(arrival: Arrival, product: Product) -> Answer:
    days = _parameters(arrival).get("days")
    if not days:
        return answers.empty_parameter("days")
    if not _WHOLE_NUMBER.fullmatch(days) or not 1 <= int(days) <= _MOST_DAYS:
        return answers.wrong_parameter("days")
    newest = day_number(arrival.now)
    rows = []
    for day in range(newest, newest - int(days), -1):
        begins = moment(beginning_of(day))
        rate = product.apy_of(begins.date())
        rows.append({"rate": _eight_digits(rate), "ts": str(milliseconds(begins))})
    return success(rows)


def _account_config(_arrival: Arrival, _product: Product, key: Key) -> Answer:
    return success(
        [
            {
                "acctLv": "1",
                "autoLoan": False,
                "ip": "",
                "kycLv": "2",
                "label": "emulator",
                "level": "Lv1",
                "mainUid": key.user.main_uid,
                "opAuth": "0",
                "perm": ",".join(sorted(key.permissions)),
                "posMode": "net_mode",
                "roleType": "0",
                "traderInsts": [],
                "type": "0",
                "uid": key.user.uid,
            }
        ]
    )


def _balance(_arrival: Arrival, _product: Product, key: Key) -> Answer:
    balance = key.user.balance
    if balance is None:
        return success([])
    return success(
        [
            {
                "amt": format(balance.amt, "f"),
                "ccy": balance.ccy,
                "latestInterestAccrual": format(balance.latest_interest_accrual, "f"),
                "totalInterestAccrual": format(balance.total_interest_accrual, "f"),
            }
        ]
    )


def _product_info(arrival: Arrival, product: Product, key: Key) -> Answer:
    limit = product.fast_redemption_daily_limit
    return success(
        {
            "fastRedemptionAvail": _shortest(key.user.settled().quota.left(limit, arrival.now)),
            "fastRedemptionDailyLimit": _shortest(limit),
            "rate": _shortest(product.rate * 100),
            "redemptDays": str(product.redempt_days),
            "minAmt": _shortest(product.min_amt),
        }
    )


def _purchase(arrival: Arrival, product: Product, key: Key) -> Answer:
    try:
        amt = _amount_to_move(arrival, product, key.user)
    except _Refused as refused:
        return refused.answer
    ledger = key.user.settled()
    refusal = _refuse_purchase(amt, product, ledger)
    if refusal is None:
        ledger.purchase(amt, product, arrival.now)
    return refusal or success([])


def _refuse_purchase(amt: Decimal, product: Product, ledger: Ledger) -> Answer | None:
    if product.suspended:
        return answers.SUSPENDED
    if amt < product.min_amt:
        return answers.below_minimum(_shortest(product.min_amt))
    if product.max_amt is not None and amt > product.max_amt:
        return answers.ABOVE_MAXIMUM
    if amt > ledger.sol:
        return answers.NOT_ENOUGH_SOL
    return None


def _redeem(arrival: Arrival, product: Product, key: Key) -> Answer:
    try:
        amt = _amount_to_move(arrival, product, key.user)
    except _Refused as refused:
        return refused.answer
    ledger = key.user.settled()
    if amt > ledger.redeemable:
        return answers.redeem_at_most(_shortest(ledger.redeemable))
    ledger.redeem(amt, product, arrival.now)
    return success([])


def _amount_to_move(arrival: Arrival, product: Product, user: EmulatedUser) -> Decimal:
    """Return the amount that a purchase or redemption names, or raise why it may not be made at all."""
    if user.demo:
        raise _Refused(answers.NOT_IN_DEMO)
    body = _body(arrival)
    amt = body.get("amt")
    if amt is None or amt == "":
        raise _Refused(answers.empty_parameter("amt"))
    if not isinstance(amt, str) or not _AMOUNT.fullmatch(amt) or not Decimal(amt):
        raise _Refused(answers.wrong_parameter("amt"))
    if user.main_uid != user.uid and not product.sub_accounts:
        raise _Refused(answers.NO_SUB_ACCOUNTS)
    return Decimal(amt)


def _body(arrival: Arrival) -> dict[str, object]:
    kind = arrival.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Refused(answers.WRONG_CONTENT_TYPE)
    if not arrival.body:
        raise _Refused(answers.NO_BODY)
    try:
        body = json.loads(arrival.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _Refused(answers.BAD_JSON)
    return cast("dict[str, object]", body)


def _history(arrival: Arrival, _product: Product, key: Key) -> Answer:
    asked = _parameters(arrival)
    wrong = next((name for name, pattern in _HISTORY.items() if not pattern.fullmatch(asked.get(name, ""))), None)
    if wrong is not None:
        return answers.wrong_parameter(wrong)
    limit = int(asked.get("limit") or _PAGE)
    if not 1 <= limit <= _PAGE:
        return answers.wrong_parameter("limit")
    # Of those that share a millisecond, the one that came last is first on the page.
    oldest_first = sorted(key.user.settled().orders, key=lambda order: order.request_time)
    found = [order for order in reversed(oldest_first) if _is_asked_for(order, asked)]
    return success([_row(order) for order in found[:limit]])


# An empty value stands for none.
_HISTORY: Final = {
    "type": re.compile(r"(purchase|redeem)?"),
    "status": re.compile(r"(pending|success|failed)?"),
    "after": re.compile(r"([0-9]{1,18})?"),
    "before": re.compile(r"([0-9]{1,18})?"),
    "limit": re.compile(r"([0-9]{1,18})?"),
}


def _is_asked_for(order: EmulatedOrder, asked: Mapping[str, str]) -> bool:
    requested = milliseconds(order.request_time)
    after, before = asked.get("after"), asked.get("before")
    return (
        asked.get("type") in (None, "", order.type)
        and asked.get("status") in (None, "", order.status)
        # OKX's words: what comes after a row on the next page is earlier than it.
        and (not after or requested < int(after))
        and (not before or requested > int(before))
    )


def _row(order: EmulatedOrder) -> dict[str, str]:
    row = {
        "amt": _eight_digits(order.amt),
        "completedTime": _time_or_blank(order.completed_time),
        "estCompletedTime": _time_or_blank(order.est_completed_time),
        "redeemingAmt": "" if order.redeeming_amt is None else _eight_digits(order.redeeming_amt),
        "requestTime": str(milliseconds(order.request_time)),
        "status": order.status,
        "type": order.type,
    }
    return row if order.ord_id is None else row | {"ordId": order.ord_id}


def _time_or_blank(at: datetime | None) -> str:
    return "" if at is None else str(milliseconds(at))


def _parameters(arrival: Arrival) -> dict[str, str]:
    return dict(parse_qsl(arrival.query, keep_blank_values=True))


def _eight_digits(amt: Decimal) -> str:
    """Write an amount with eight digits after the point, or with all it has if they are more."""
    exponent = amt.as_tuple().exponent
    fewer = isinstance(exponent, int) and exponent > -8
    return format(amt, ".8f") if fewer else format(amt, "f")


def _shortest(number: Decimal) -> str:
    """Write a number without zeros at its end."""
    written = format(number, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


ROUTES: Final[Mapping[str, PublicRoute | SignedRoute]] = {
    route.endpoint: route
    for route in (
        PublicRoute("GET /api/v5/public/time", 10, 2.0, _time),
        SignedRoute("GET /api/v5/account/config", 5, 2.0, _account_config),
        SignedRoute(f"GET {_STAKING}/balance", 6, 1.0, _balance),
        SignedRoute(f"GET {_STAKING}/product-info", 3, 1.0, _product_info),
        SignedRoute(f"POST {_STAKING}/purchase", 2, 1.0, _purchase, permission="trade"),
        SignedRoute(f"POST {_STAKING}/redeem", 2, 1.0, _redeem, permission="trade"),
        SignedRoute(f"GET {_STAKING}/purchase-redeem-history", 6, 1.0, _history),
        PublicRoute(f"GET {_STAKING}/apy-history", 6, 1.0, _apy_history),
    )
}
