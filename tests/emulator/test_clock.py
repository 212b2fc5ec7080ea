"""The exchange's clock, which a test can move."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator._clock import ExchangeClock
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOON,
    NOON_MS,
    STAKING,
    Staker,
    okso,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestClock:
    async def test_every_response_has_the_time(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Date follows the exchange's clock and not the machine's, for refusals too."""
        for path, headers in (("balance", {}), ("apy-history?days=1", {}), ("nothing", {})):
            async with staker.http.get(f"{frozen_exchange.url}{STAKING}/{path}", headers=headers) as response:
                assert ["Thu, 15 Jan 2026 14:00:00 GMT"] == response.headers.getall("Date")

    async def test_advance(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A moved clock is reported, and a request may be signed with the time before or after the move, and no other."""
        frozen_exchange.advance(timedelta(days=3))

        assert NOON + timedelta(days=3) == frozen_exchange.now()
        assert "0" == await staker.code("balance")
        staker.timestamp = "2026-01-18T14:00:00.149Z"
        assert "0" == await staker.code("balance")
        staker.timestamp = "2026-01-17T14:00:00.149Z"
        assert "50102" == await staker.code("balance")
        async with staker.http.get(frozen_exchange.url + "/api/v5/public/time") as response:
            assert "Sun, 18 Jan 2026 14:00:00 GMT" == response.headers["Date"]
            assert [{"ts": str(NOON_MS + 3 * 86_400_000)}] == (await response.json())["data"]

    @pytest.mark.parametrize("by", [-1, timedelta(seconds=-1), float("nan"), float("inf"), "1", None, True])
    def test_wrong_move(self, by: Any) -> None:  # noqa: ANN401 - that is the point
        """The clock is moved forward, by seconds or a timedelta."""
        with pytest.raises(ConfigurationError, match="by"):
            Emulator().advance(by)

    @pytest.mark.real_clock
    async def test_moved_from_another_thread(self) -> None:
        """A test in another thread than the exchange's moves the clock and reads what users hold."""
        with Emulator() as exchange:
            async with aiohttp.ClientSession() as http:
                staker = Staker(http, exchange)
                exchange.user.balance = okso("2")
                await staker.post("redeem", {"amt": "2"})
                exchange.advance(timedelta(days=2))

                assert Decimal(102) == exchange.user.sol
                assert "success" == (await staker.data("purchase-redeem-history"))[0]["status"]


def test_a_clock_without_a_source_is_the_machines() -> None:
    """A clock without a source is the machine's."""
    assert ExchangeClock().is_the_machines
    assert not ExchangeClock(lambda: 0.0).is_the_machines


def test_set_back() -> None:
    """The clock may be set back, which undoes nothing."""
    exchange = Emulator(now=NOON.timestamp)
    exchange.user.balance = okso("2")
    exchange.user.redeem(Decimal(2))
    exchange.set_time(NOON + timedelta(days=3))
    exchange.set_time(NOON - timedelta(days=1))

    assert (NOON - timedelta(days=1), Decimal(102)) == (exchange.now(), exchange.user.sol)
