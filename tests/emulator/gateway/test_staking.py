"""Purchases, redemptions and the terms, in the form of OKX."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from okx_sol_async.emulator import Emulator, Product
from okx_sol_async.emulator._clock import DAY
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import (
    BALANCE_PATH,
    DONE,
    NOON,
    NOON_MS,
    ZERO,
    Staker,
    ms,
    okso,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestProductInfo:
    async def test_documented_row(self, staker: Staker) -> None:
        """The product is an object, not an array, and its rate a percentage, as in OKX's documentation."""
        assert {
            "fastRedemptionAvail": "240",
            "fastRedemptionDailyLimit": "240",
            "rate": "5.57",
            "redemptDays": "2",
            "minAmt": "0.01",
        } == await staker.data("product-info")

    async def test_settable(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """What is set is answered from then on."""
        frozen_exchange.product = Product(
            rate=Decimal("0.1"),
            min_amt=Decimal(10),
            redempt_days=3,
            fast_redemption_daily_limit=Decimal("100.50"),
        )

        assert {
            "fastRedemptionAvail": "100.5",
            "fastRedemptionDailyLimit": "100.5",
            "rate": "10",
            "redemptDays": "3",
            "minAmt": "10",
        } == await staker.data("product-info")


class TestPurchase:
    async def test_done_at_once(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A purchase moves SOL to OKSOL, returns no rows, and is in the history without the id of an order."""
        assert DONE == await staker.post("purchase", {"amt": "10.5"})

        assert Decimal("89.5") == frozen_exchange.user.sol
        assert frozen_exchange.user.balance is not None
        assert Decimal("10.51100012") == frozen_exchange.user.balance.amt
        assert [
            {
                "amt": "10.50000000",
                "completedTime": str(NOON_MS),
                "estCompletedTime": "",
                "redeemingAmt": "",
                "requestTime": str(NOON_MS),
                "status": "success",
                "type": "purchase",
            }
        ] == await staker.data("purchase-redeem-history")

    async def test_pending_for_a_while(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A purchase may be pending first: its SOL is gone, and its OKSOL comes when it is completed."""
        frozen_exchange.user.balance = None
        frozen_exchange.product = Product(purchase_seconds=60)
        await staker.post("purchase", {"amt": "1"})
        [pending] = await staker.data("purchase-redeem-history")

        assert ("pending", "", "") == (pending["status"], pending["completedTime"], pending["redeemingAmt"])
        assert (Decimal(99), Decimal(1), None) == (
            frozen_exchange.user.sol,
            frozen_exchange.user.purchasing,
            frozen_exchange.user.balance,
        )

        frozen_exchange.advance(60)
        [completed] = await staker.data("purchase-redeem-history")

        assert ("success", str(NOON_MS + 60_000)) == (completed["status"], completed["completedTime"])
        assert (Decimal(99), ZERO, okso("1")) == (
            frozen_exchange.user.sol,
            frozen_exchange.user.purchasing,
            frozen_exchange.user.balance,
        )

    async def test_twice_is_twice(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """There is no idempotence at OKX: the same purchase again is another one, and `orders` shows both."""
        await staker.post("purchase", {"amt": "1"})
        await staker.post("purchase", {"amt": "1"})

        assert ["purchase"] * 2 == [order.type for order in frozen_exchange.user.orders]
        assert Decimal(98) == frozen_exchange.user.sol

    @pytest.mark.parametrize(
        ("product", "amt", "code", "msg"),
        [
            (Product(), "0.009999999", "51727", "The minimum subscription amount is 0.01 SOL"),
            (Product(min_amt=Decimal("1.50")), "1.49", "51727", "The minimum subscription amount is 1.5 SOL"),
            (Product(max_amt=Decimal(5)), "5.000000001", "51728", None),
            (Product(), "100.000000001", "51736", "Insufficient SOL balance"),
            (Product(suspended=True), "1", "51731", None),
        ],
    )
    async def test_refusals(
        self, frozen_exchange: Emulator, staker: Staker, product: Product, amt: str, code: str, msg: str | None
    ) -> None:
        """What the product or the account does not allow is refused with HTTP 200, a code of 517xx and no rows."""
        frozen_exchange.product = product
        status, answer = await staker.post("purchase", {"amt": amt})

        assert (200, code, []) == (status, answer["code"], answer["data"])
        assert msg in (None, answer["msg"])
        assert (Decimal(100), ()) == (frozen_exchange.user.sol, frozen_exchange.user.orders)

    @pytest.mark.parametrize("amt", ["0.01", "100", "100.000000000", "000.02"])
    async def test_bounds(self, staker: Staker, amt: str) -> None:
        """The minimum, and all there is, may be purchased."""
        assert DONE == await staker.post("purchase", {"amt": amt})

    async def test_a_failed_purchase_gives_the_sol_back(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A test may let a pending order fail."""
        frozen_exchange.product = Product(purchase_seconds=60)
        await staker.post("purchase", {"amt": "1"})
        [order] = frozen_exchange.user.orders
        frozen_exchange.user.fail_order(order)
        frozen_exchange.advance(61)
        [row] = await staker.data("purchase-redeem-history", status="failed")

        assert "purchase" == row["type"]
        assert (Decimal(100), ZERO) == (frozen_exchange.user.sol, frozen_exchange.user.purchasing)
        assert frozen_exchange.user.balance is not None
        assert Decimal("0.01100012") == frozen_exchange.user.balance.amt
        with pytest.raises(ConfigurationError, match="pending"):
            frozen_exchange.user.fail_order(order)


class TestRedeem:
    async def test_completed_days_later(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A redemption is pending for the days of the product; its OKSOL counts as held until it is completed."""
        frozen_exchange.product = Product(apy={})
        frozen_exchange.user.balance = okso("5")
        assert DONE == await staker.post("redeem", {"amt": "2"})
        due = NOON + timedelta(days=2)

        assert [
            {
                "amt": "2.00000000",
                "completedTime": "",
                "estCompletedTime": ms(due),
                "redeemingAmt": "2.00000000",
                "requestTime": str(NOON_MS),
                "status": "pending",
                "type": "redeem",
            }
        ] == await staker.data("purchase-redeem-history")
        assert (okso("5"), Decimal(2), Decimal(100)) == (
            frozen_exchange.user.balance,
            frozen_exchange.user.redeeming,
            frozen_exchange.user.sol,
        )

        frozen_exchange.advance(2 * DAY - 0.001)

        assert Decimal(100) == frozen_exchange.user.sol

        frozen_exchange.advance(0.001)
        [row] = await staker.data("purchase-redeem-history")

        assert ("success", ms(due), "", "") == (
            row["status"],
            row["completedTime"],
            row["estCompletedTime"],
            row["redeemingAmt"],
        )
        assert (Decimal(102), ZERO) == (frozen_exchange.user.sol, frozen_exchange.user.redeeming)
        assert frozen_exchange.user.balance is not None
        assert frozen_exchange.user.balance.amt == 3 + frozen_exchange.user.balance.total_interest_accrual

    async def test_more_than_is_held(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """No more can be redeemed than is held and not being redeemed already."""
        frozen_exchange.user.balance = okso("5")
        await staker.post("redeem", {"amt": "2"})
        status, answer = await staker.post("redeem", {"amt": "3.000000001"})

        assert (200, "51758", []) == (status, answer["code"], answer["data"])
        assert "You can redeem at most 3 OKSOL." == answer["msg"]
        with pytest.raises(ConfigurationError, match="being redeemed"):
            frozen_exchange.user.balance = okso("1.9")
        with pytest.raises(ConfigurationError, match="being redeemed"):
            frozen_exchange.user.balance = None

    async def test_without_any(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Who holds nothing can redeem nothing."""
        frozen_exchange.user.balance = None

        assert "51758" == await staker.code("redeem", {"amt": "1"})

    async def test_fast(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """If it is set so, a redemption is completed at once while the limit of the day lasts."""
        frozen_exchange.product = Product(fast_redemption=True, fast_redemption_daily_limit=Decimal(3))
        frozen_exchange.user.balance = okso("10")
        await staker.post("redeem", {"amt": "2"})
        await staker.post("redeem", {"amt": "2"})
        fast, slow = frozen_exchange.user.orders

        assert ("success", "pending") == (fast.status, slow.status)
        assert (Decimal(102), Decimal(2)) == (frozen_exchange.user.sol, frozen_exchange.user.redeeming)
        assert "1" == (await staker.data("product-info"))["fastRedemptionAvail"]

        # 16:00 UTC begins another day.
        frozen_exchange.advance(timedelta(hours=2))

        assert "3" == (await staker.data("product-info"))["fastRedemptionAvail"]

    async def test_a_failed_redemption(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """When a redemption fails, its OKSOL can be redeemed again."""
        frozen_exchange.user.balance = okso("5")
        await staker.post("redeem", {"amt": "5"})
        frozen_exchange.user.fail_order(frozen_exchange.user.orders[0])

        assert (okso("5"), ZERO) == (frozen_exchange.user.balance, frozen_exchange.user.redeeming)
        assert DONE == await staker.post("redeem", {"amt": "5"})
