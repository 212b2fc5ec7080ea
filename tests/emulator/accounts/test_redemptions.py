"""How a redemption is paid: fast by VIP level, until a pool is empty, and else in parts and after a queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import attrs
import pytest

from okx_sol_async.emulator import REPORTED_TIERS, Emulator, Product
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import NOON, Staker, okso


def exchange_with(product: Product, held: str = "5000") -> Emulator:
    exchange = Emulator(now=NOON.timestamp, product=product)
    exchange.user.balance = okso(held)
    return exchange


@pytest.mark.parametrize(("vip", "limit"), [(0, 50), (1, 500), (2, 800), (3, 1000), (9, 1000)])
def test_tiers_as_reported(vip: int, limit: int) -> None:
    """What can be redeemed fast in a day depends on the VIP level; all from the last tier on have the same."""
    user = exchange_with(REPORTED_TIERS).user
    user.vip = vip
    user.redeem(Decimal(limit))
    assert ("success", 0) == (user.orders[0].status, user.redeeming)
    user.redeem(Decimal(1))

    assert "pending" == user.orders[1].status


async def test_product_info_shows_the_tier(frozen_exchange: Emulator, staker: Staker) -> None:
    """The daily limit and what is left of it are the user's own, and a sub-account shares both."""
    frozen_exchange.product = REPORTED_TIERS
    frozen_exchange.user.vip = 1
    frozen_exchange.user.balance = okso("600")
    sub = frozen_exchange.add_user(main=frozen_exchange.user, vip=1, balance=okso("600"))
    frozen_exchange.user.redeem(Decimal(100))
    shown = await staker.data("product-info")
    assert ("500", "400") == (shown["fastRedemptionDailyLimit"], shown["fastRedemptionAvail"])
    sub.redeem(Decimal(300))

    assert "100" == (await staker.data("product-info"))["fastRedemptionAvail"]


@pytest.mark.parametrize("hour", [0, 1, 16, 23])
def test_the_hour_of_the_reset(hour: int) -> None:
    """A new day of fast redemption begins at the hour that the terms say, and not before."""
    exchange = exchange_with(attrs.evolve(REPORTED_TIERS, fast_redemption_reset_hour=hour))
    exchange.user.redeem(Decimal(50))
    begins = NOON.replace(hour=hour, minute=0, second=0, microsecond=0)
    begins += timedelta(days=begins <= NOON)
    exchange.set_time(begins - timedelta(seconds=1))
    exchange.user.redeem(Decimal(1))
    exchange.set_time(begins)
    exchange.user.redeem(Decimal(50))

    assert ["success", "pending", "success"] == [order.status for order in exchange.user.orders]


def test_a_pool() -> None:
    """All users together redeem fast until the pool is empty, and it is full again on the next day."""
    exchange = exchange_with(attrs.evolve(REPORTED_TIERS, fast_redemption_pool=Decimal(70)))
    other = exchange.add_user(balance=okso("100"))
    exchange.user.redeem(Decimal(50))
    other.redeem(Decimal(21))
    other.redeem(Decimal(20))
    assert ["pending", "success"] == [order.status for order in other.orders]
    exchange.advance(timedelta(days=1))
    exchange.user.redeem(Decimal(50))

    assert "success" == exchange.user.orders[1].status


def test_payouts_and_a_queue() -> None:
    """A redemption that is not fast waits in the queue, and is then paid in equal parts; what is left is shown."""
    terms = Product(redempt_days=2, redemption_payouts=3, redemption_queue_days=1)
    exchange = exchange_with(terms, "10")
    exchange.user.redeem(Decimal(10))
    seen: list[tuple[Decimal, Decimal, Decimal | None, datetime | None]] = []
    for hours in (24, 16, 16, 16):
        exchange.advance(timedelta(hours=hours))
        [order] = exchange.user.orders
        seen.append((exchange.user.sol - 100, exchange.user.redeeming, order.redeeming_amt, order.completed_time))

    part, done = Decimal("3.33333333"), NOON + timedelta(days=3)
    assert [
        (Decimal(0), Decimal(10), Decimal(10), None),
        (part, 10 - part, 10 - part, None),
        (2 * part, 10 - 2 * part, 10 - 2 * part, None),
        (Decimal(10), Decimal(0), None, done),
    ] == seen


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fast_redemption_tiers", ("50",)),
        ("fast_redemption_tiers", "50"),
        ("fast_redemption_pool", Decimal(-1)),
        ("fast_redemption_reset_hour", 24),
        ("redemption_payouts", 0),
        ("redemption_queue_days", -1),
    ],
)
def test_wrong_terms_are_named(field: str, value: object) -> None:
    """A wrong term is an error that names it."""
    with pytest.raises(ConfigurationError) as caught:
        Product(**{field: value})  # type: ignore[arg-type]

    assert field == caught.value.argument
