"""Orders of every kind, and the environment of an emulator's user."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from okx_sol_async.emulator import EmulatedOrder, Emulator
from tests.support.terminals import set_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BIG = "1234567.123456789"


def orders() -> list[EmulatedOrder]:
    return [
        EmulatedOrder(
            type="redeem",
            amt=Decimal(BIG),
            request_time=NOW - timedelta(hours=3),
            status="pending",
            est_completed_time=NOW + timedelta(days=2),
            redeeming_amt=Decimal(BIG),
            ord_id="1579252543489413120",
        ),
        EmulatedOrder(
            type="purchase", amt=Decimal(5), request_time=NOW - timedelta(days=3, milliseconds=1), status="failed"
        ),
        EmulatedOrder(
            type="purchase",
            amt=Decimal("0.01100012"),
            request_time=NOW - timedelta(days=40),
            completed_time=NOW - timedelta(days=40, seconds=-1),
        ),
    ]


def set_environment(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the exchange and its first user in the environment."""
    for name, value in set_of(exchange).items():
        monkeypatch.setenv(name, value)
