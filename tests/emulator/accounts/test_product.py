"""The terms and the orders of the exchange are checked."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from okx_sol_async.emulator import EmulatedOrder, Emulator, Product
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOON,
    ZERO,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"rate": 0.05},
            {"rate": Decimal(-1)},
            {"min_amt": Decimal("NaN")},
            {"max_amt": 1},
            {"redempt_days": 1.5},
            {"redempt_days": -1},
            {"fast_redemption_daily_limit": "240"},
            {"fast_redemption": 1},
            {"purchase_seconds": -1},
            {"suspended": "no"},
            {"sub_accounts": None},
            {"apy": [Decimal(1)]},
            {"apy": {date(2026, 1, 1): 0.05}},
            {"apy": {NOON: Decimal("0.05")}},
        ],
    )
    def test_wrong_product(self, arguments: dict[str, Any]) -> None:
        """A wrong term is named."""
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            Product(**arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"type": "stake"},
            {"amt": 1.0},
            {"amt": Decimal(-1)},
            {"request_time": NOON.replace(tzinfo=None)},
            {"request_time": 5},
            {"status": ""},
            {"completed_time": "now"},
            {"est_completed_time": 1},
            {"redeeming_amt": "1"},
            {"ord_id": 42},
        ],
    )
    def test_wrong_order(self, arguments: dict[str, Any]) -> None:
        """A wrong field is named."""
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            EmulatedOrder(**({"type": "redeem", "amt": ZERO, "request_time": NOON} | arguments))

    def test_wrong_user(self) -> None:
        """What a user cannot have is named."""
        exchange, other, bad = Emulator(), Emulator(), 5
        wrong: Any = bad

        with pytest.raises(ConfigurationError, match="sol"):
            exchange.add_user(sol=wrong)
        with pytest.raises(ConfigurationError, match="sol"):
            exchange.user.sol = Decimal(-1)
        with pytest.raises(ConfigurationError, match="main"):
            exchange.add_user(main=other.user)
        with pytest.raises(ConfigurationError, match="permissions"):
            exchange.user.add_key(permissions=["read_only", "steal"])  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="orders"):
            exchange.user.add_orders([wrong])
        with pytest.raises(ConfigurationError, match="product"):
            exchange.product = wrong
        with pytest.raises(ConfigurationError, match="product"):
            Emulator(product=wrong)
