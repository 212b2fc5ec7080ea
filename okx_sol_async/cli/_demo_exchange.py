"""The local exchange of the command line, whose user has a history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from okx_sol_async.emulator import EmulatedOrder, Emulator, OrderType

#: The history: how many days ago, milliseconds of that day (UTC), kind, amount and status.
_PAST: Final[tuple[tuple[int, int, OrderType, str, str], ...]] = (
    (41, 33_120_512, "purchase", "0.05", "success"),
    (33, 53_043_207, "purchase", "250", "failed"),
    (33, 53_121_880, "purchase", "0.25", "success"),
    (19, 28_214_096, "redeem", "0.27", "success"),
    (12, 70_502_731, "purchase", "0.031", "success"),
    (5, 24_360_345, "redeem", "0.05", "success"),
)
_PURCHASE_TAKES: Final = timedelta(seconds=1.2)


def with_history(exchange: Emulator) -> Emulator:
    """Give the first user of ``exchange`` a history, and return it.

    Interest accrues as the days go by only by a clock that was passed in, ``now=time.time``.
    """
    exchange.user.add_orders(_orders(exchange.now(), timedelta(days=exchange.product.redempt_days)))
    return exchange


def _orders(now: datetime, redemption_takes: timedelta) -> Iterator[EmulatedOrder]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for days, milliseconds, kind, amt, status in _PAST:
        asked = today - timedelta(days=days) + timedelta(milliseconds=milliseconds)
        yield EmulatedOrder(
            type=kind,
            amt=Decimal(amt),
            request_time=asked,
            status=status,
            completed_time=asked + (redemption_takes if kind == "redeem" else _PURCHASE_TAKES),
        )
