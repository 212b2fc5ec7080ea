"""Amounts, times and orders as OKX writes them in JSON."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from okx_sol_async.emulator.accounts._orders import EmulatedOrder, milliseconds


def padded(amt: Decimal) -> str:
    """Write an amount with eight digits after the point, or with all it has if they are more."""
    exponent = amt.as_tuple().exponent
    fewer = isinstance(exponent, int) and exponent > -8
    return format(amt, ".8f") if fewer else format(amt, "f")


def shortest(number: Decimal) -> str:
    """Write a number without zeros at its end."""
    written = format(number, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def order_row(order: EmulatedOrder) -> dict[str, str]:
    """Write an order as a row of the history."""
    row = {
        "amt": padded(order.amt),
        "completedTime": _time_or_blank(order.completed_time),
        "estCompletedTime": _time_or_blank(order.est_completed_time),
        "redeemingAmt": "" if order.redeeming_amt is None else padded(order.redeeming_amt),
        "requestTime": str(milliseconds(order.request_time)),
        "status": order.status,
        "type": order.type,
    }
    return row if order.ord_id is None else row | {"ordId": order.ord_id}


def _time_or_blank(at: datetime | None) -> str:
    return "" if at is None else str(milliseconds(at))
