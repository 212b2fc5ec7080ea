"""The history of orders and that of the APY."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from okx_sol_async.emulator import EmulatedOrder, Emulator, Product
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOON,
    NOON_MS,
    ZERO,
    Staker,
    ms,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


def order(at: int, amt: str = "1", **fields: Any) -> EmulatedOrder:  # noqa: ANN401 - any field
    settings = {"type": "purchase", "request_time": NOON + timedelta(milliseconds=at), "amt": Decimal(amt)}
    return EmulatedOrder(**(settings | fields))  # type: ignore[arg-type]


class TestHistory:
    async def test_empty(self, staker: Staker) -> None:
        """Who has ordered nothing has no rows."""
        assert [] == await staker.data("purchase-redeem-history")

    async def test_filters(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Type and status filter, empty ones do not, and the newest is first."""
        frozen_exchange.user.add_orders(
            [
                order(1, "1", status="failed"),
                order(3, "3", type="redeem", status="pending", redeeming_amt=Decimal(3)),
                order(2, "2", type="redeem"),
                order(4, "4"),
            ]
        )

        async def amts(**parameters: object) -> list[str]:
            rows = await staker.data("purchase-redeem-history", **parameters)
            return [row["amt"].partition(".")[0] for row in rows]

        assert ["4", "3", "2", "1"] == await amts(type="", status="", after="", before="", limit="")
        assert ["3", "2"] == await amts(type="redeem")
        assert ["4", "2"] == await amts(status="success")
        assert ["3"] == await amts(type="redeem", status="pending")
        assert [] == await amts(type="purchase", status="pending")
        await asyncio.sleep(1.01)
        assert ["2", "1"] == await amts(after=NOON_MS + 3)
        assert ["4", "3"] == await amts(before=NOON_MS + 2)
        assert ["3", "2"] == await amts(after=NOON_MS + 4, before=NOON_MS + 1)
        assert ["4", "3"] == await amts(before=NOON_MS + 1, limit=2)

    @pytest.mark.parametrize(
        "parameter",
        [
            {"type": "stake"},
            {"status": "done"},
            {"status": "cancelled"},
            {"after": "yesterday"},
            {"after": "-1"},
            {"before": "1.5"},
            {"limit": "0"},
            {"limit": "101"},
            {"limit": "x"},
        ],
    )
    async def test_wrong_parameter(self, staker: Staker, parameter: dict[str, str]) -> None:
        """A wrong parameter is named."""
        status, answer = await staker.get("purchase-redeem-history", **parameter)

        assert (400, "51000") == (status, answer["code"])
        assert f"Parameter {next(iter(parameter))} error" == answer["msg"]

    async def test_rows_that_share_a_millisecond(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A page has 100 rows at most, and its bounds are exclusive: what shares a millisecond with one is beyond."""
        frozen_exchange.user.add_orders(order(n // 3, str(n + 1)) for n in range(150))
        page = await staker.data("purchase-redeem-history")
        last = page[-1]["requestTime"]
        rest = await staker.data("purchase-redeem-history", after=last)

        assert 100 == len(page)
        assert [f"{150 - n}.00000000" for n in range(100)] == [row["amt"] for row in page]
        # Rows 49 and 50 of that millisecond are on no page: the client must ask again for the millisecond itself.
        assert ["48.00000000", "1.00000000"] == [rest[0]["amt"], rest[-1]["amt"]]
        assert 48 == len(rest)

    async def test_unusual_rows(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Other states, nine digits and the id of the order, which OKX had for a while, can be shown too."""
        frozen_exchange.user.add_orders([order(0, "0.123456789", status="cancelled", ord_id="42")])
        [row] = await staker.data("purchase-redeem-history")

        assert ("0.123456789", "cancelled", "42") == (row["amt"], row["status"], row["ordId"])

    async def test_seeded_orders_move_nothing(self, frozen_exchange: Emulator) -> None:
        """Orders that are put into the history are only shown."""
        before = (frozen_exchange.user.sol, frozen_exchange.user.balance)
        frozen_exchange.user.add_orders([order(0, status="pending", est_completed_time=NOON)])
        frozen_exchange.advance(60)

        assert before == (frozen_exchange.user.sol, frozen_exchange.user.balance)
        assert (ZERO, "pending") == (frozen_exchange.user.purchasing, frozen_exchange.user.orders[0].status)
        with pytest.raises(ConfigurationError, match="pending"):
            frozen_exchange.user.fail_order(frozen_exchange.user.orders[0])


class TestAPY:
    async def test_rows(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Each day is a row at 16:00 UTC, newest first, with the APY as a fraction of eight digits."""
        frozen_exchange.product = Product(
            apy={date(2026, 1, 14): Decimal("0.1128"), date(2026, 1, 13): Decimal("0.112700001")}
        )
        rows = await staker.data("apy-history", days=3)

        assert {"rate": "0.11280000", "ts": ms(datetime(2026, 1, 14, 16, tzinfo=UTC))} == rows[0]
        assert {"rate": "0.112700001", "ts": ms(datetime(2026, 1, 13, 16, tzinfo=UTC))} == rows[1]
        assert ms(datetime(2026, 1, 12, 16, tzinfo=UTC)) == rows[2]["ts"]
        frozen_exchange.advance(timedelta(hours=2))
        [newest] = await staker.data("apy-history", days=1)
        assert ms(datetime(2026, 1, 15, 16, tzinfo=UTC)) == newest["ts"]

    async def test_a_year(self, staker: Staker) -> None:
        """A whole year may be asked for; what is made up is the same for everybody and looks like OKX's."""
        year = await staker.data("apy-history", days=365)
        async with Emulator(now=NOON.timestamp) as other:
            staker.exchange = other

            assert year == await staker.data("apy-history", days=365)

        rates = [Decimal(row["rate"]) for row in year]
        times = [int(row["ts"]) for row in year]

        assert 365 == len(year)
        assert {86_400_000} == {newer - older for newer, older in itertools.pairwise(times)}
        assert all(Decimal("0.05") < rate < Decimal("0.062") for rate in rates)
        assert 20 < len(set(rates))
        assert {10} == {len(row["rate"]) for row in year}

    @pytest.mark.parametrize(
        ("days", "code"), [("", "50014"), ("0", "51000"), ("366", "51000"), ("-1", "51000"), ("1.5", "51000")]
    )
    async def test_wrong_days(self, staker: Staker, days: str, code: str) -> None:
        """The number of days is required, and 365 at most."""
        status, answer = await staker.get("apy-history", days=days)

        assert (400, code) == (status, answer["code"])

    async def test_no_days(self, staker: Staker) -> None:
        """Without a number of days the request is refused."""
        assert "50014" == await staker.code("apy-history")
