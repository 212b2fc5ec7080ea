"""What users hold, and how time changes it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from okx_sol_async.emulator import Emulator, Product
from okx_sol_async.emulator._clock import DAY
from okx_sol_async.emulator.accounts._ledger import AccountLedger
from okx_sol_async.models import Balance
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOON,
    ZERO,
    okso,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


amounts = st.decimals(min_value=Decimal("0.000000001"), max_value=1000, places=9)


class Books(RuleBasedStateMachine):
    """Whatever a user does and however long it takes, nothing is made out of nothing and nothing gets lost."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOON.timestamp()
        self.product = Product(fast_redemption=True, fast_redemption_daily_limit=Decimal(500))
        self.had = Decimal(1000)
        self.ledger = AccountLedger(self.had, None, self.at)
        self.orders = 0

    @rule(amt=amounts, seconds=st.sampled_from([0.0, 30.0, 3 * DAY]))
    def purchase(self, amt: Decimal, seconds: float) -> None:
        if amt <= self.ledger.sol:
            self.product = attrs.evolve(self.product, purchase_seconds=seconds)
            self.ledger.purchase(amt, self.product, self.at)
            self.orders += 1

    @rule(amt=amounts, days=st.integers(0, 4))
    def redeem(self, amt: Decimal, days: int) -> None:
        if amt <= self.ledger.redeemable:
            self.product = attrs.evolve(self.product, redempt_days=days)
            self.ledger.redeem(amt, self.product, self.at)
            self.orders += 1

    @precondition(lambda self: any(order.status == "pending" for order in self.ledger.orders))
    @rule()
    def fail(self) -> None:
        pending = next(order for order in self.ledger.orders if order.status == "pending")
        self.ledger.fail(pending, self.at)

    @rule(seconds=st.one_of(st.floats(0, 3600), st.floats(0, 5 * DAY)))
    def wait(self, seconds: float) -> None:
        self.at += seconds
        self.ledger.settle(self.at, self.product, interest=True)

    @invariant()
    def is_conserved(self) -> None:
        balance = self.ledger.balance
        held, interest = (balance.amt, balance.total_interest_accrual) if balance else (ZERO, ZERO)

        assert self.had == self.ledger.sol + held + self.ledger.purchasing - interest

    @invariant()
    def nothing_is_overdrawn(self) -> None:
        assert self.ledger.sol >= 0
        assert self.ledger.redeemable >= 0

    @invariant()
    def orders_are_reported(self) -> None:
        orders = self.ledger.orders
        pending = [order for order in orders if order.status == "pending"]

        assert self.orders == len(orders)
        assert self.ledger.redeeming == sum((o.amt for o in pending if o.type == "redeem"), ZERO)
        assert self.ledger.purchasing == sum((o.amt for o in pending if o.type == "purchase"), ZERO)
        assert all(order.completed_time is None for order in pending)
        assert all(order.completed_time is not None for order in orders if order not in pending)


TestBooks = Books.TestCase


TestBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(steps=st.lists(st.floats(0, 2 * DAY), max_size=12), redeems=st.lists(amounts, max_size=4))
@settings(max_examples=60, deadline=None)
def test_how_often_the_clock_is_read_does_not_matter(steps: list[float], redeems: list[Decimal]) -> None:
    """What is due happens at its time and in its order, whether the books are settled at every step or at the end."""
    at, product = NOON.timestamp(), Product()
    often = AccountLedger(ZERO, okso("10000"), at)
    seldom = AccountLedger(ZERO, okso("10000"), at)
    for ledger in (often, seldom):
        for amt in redeems:
            ledger.redeem(amt, product, at)
    for step in steps:
        at += step
        often.settle(at, product, interest=True)
    seldom.settle(at, product, interest=True)

    assert (often.sol, often.balance, often.orders) == (seldom.sol, seldom.balance, seldom.orders)


def test_an_amount_of_any_size_is_exact() -> None:
    """Sums are exact, beyond the 28 digits that Decimal keeps by itself."""
    huge = Decimal("12345678901234567890.10")
    ledger = AccountLedger(huge, okso("98765432109876543210.123456789"), 0.0)
    ledger.purchase(Decimal("0.000000001"), Product(), 0.0)

    assert Decimal("12345678901234567890.099999999") == ledger.sol
    assert ledger.balance is not None
    assert Decimal("98765432109876543210.123456790") == ledger.balance.amt


class TestInterest:
    def test_accrues_at_the_hour(self) -> None:
        """At each 16:00 UTC a day's interest at that day's APY is added, on what is not being redeemed."""
        exchange = Emulator(now=NOON.timestamp, product=Product(apy={date(2026, 1, 15): Decimal("0.0365")}))
        exchange.user.balance = okso("10")
        exchange.advance(timedelta(hours=2) - timedelta(milliseconds=150))

        assert okso("10") == exchange.user.balance

        exchange.advance(timedelta(milliseconds=1))

        # 10 * 0.0365 / 365
        assert Balance("OKSOL", Decimal("10.001"), Decimal("0.001"), Decimal("0.001")) == exchange.user.balance

    def test_what_is_being_redeemed_earns_nothing(self) -> None:
        """Only what stays staked earns interest."""
        ledger = AccountLedger(ZERO, okso("10"), NOON.timestamp())
        product = Product(apy={date(2026, 1, 15): Decimal("0.0365")})
        ledger.redeem(Decimal(4), product, NOON.timestamp())
        ledger.settle(NOON.timestamp() + DAY, product, interest=True)

        # 6 * 0.0365 / 365
        assert Balance("OKSOL", Decimal("10.0006"), Decimal("0.0006"), Decimal("0.0006")) == ledger.balance

    def test_a_purchase_that_is_completed_at_the_hour_earns(self) -> None:
        """What is completed at 16:00 UTC is completed before the interest of that moment accrues."""
        at = NOON.replace(hour=16, microsecond=0).timestamp()
        ledger = AccountLedger(Decimal(10), okso("10"), at)
        product = Product(apy={date(2026, 1, 16): Decimal("0.0365")}, purchase_seconds=DAY)
        ledger.purchase(Decimal(10), product, at)
        ledger.settle(at + DAY, product, interest=True)

        # 20 * 0.0365 / 365
        assert Balance("OKSOL", Decimal("20.002"), Decimal("0.002"), Decimal("0.002")) == ledger.balance

    def test_is_rounded_down(self) -> None:
        """Interest has eight digits, and never more than was earned."""
        exchange = Emulator(now=NOON.timestamp, product=Product(apy={date(2026, 1, 15): Decimal("0.05")}))
        exchange.user.balance = okso("0.0001")
        exchange.advance(DAY)

        # 0.0001 * 0.05 / 365 = 0.0000000136...
        assert Balance("OKSOL", Decimal("0.00010001"), *[Decimal("0.00000001")] * 2) == exchange.user.balance

    def test_the_latest_is_of_one_day(self) -> None:
        """After several days the latest accrual is that of the last, and the total that of all, on a growing amount."""
        apy = {date(2026, 1, 15) + timedelta(days=n): Decimal("0.365") for n in range(3)}
        exchange = Emulator(now=NOON.timestamp, product=Product(apy=apy))
        exchange.user.balance = okso("1000")
        exchange.advance(3 * DAY)

        # 1000 * 1.001 ** 3
        assert Balance("OKSOL", Decimal("1003.003001"), Decimal("1.002001"), Decimal("3.003001")) == (
            exchange.user.balance
        )

    def test_nothing_earns_nothing(self) -> None:
        """Without any OKSOL no row appears, and the clock going back changes nothing."""
        now = [NOON.timestamp()]
        exchange = Emulator(now=lambda: now[0])
        exchange.user.balance = None
        now[0] += 10 * DAY

        assert exchange.user.balance is None

        exchange.user.balance = okso("1")
        now[0] -= 20 * DAY

        assert okso("1") == exchange.user.balance

        now[0] += 20 * DAY

        assert okso("1") == exchange.user.balance

    def test_a_clock_that_is_given_is_followed(self) -> None:
        """With `now` interest accrues as it goes on, without `advance`."""
        now = [NOON.timestamp()]
        exchange = Emulator(now=lambda: now[0], product=Product(apy={date(2026, 1, 15): Decimal("0.0365")}))
        exchange.user.balance = okso("10")
        now[0] += DAY

        assert exchange.user.balance is not None
        assert Decimal("10.001") == exchange.user.balance.amt

    def test_the_machines_clock_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A test that happens to run at 16:00 UTC finds the balance that it would find at any other time."""
        now = [NOON.timestamp()]
        monkeypatch.setattr("okx_sol_async.emulator._clock.time.time", lambda: now[0])
        exchange = Emulator()
        exchange.user.balance = okso("10")
        now[0] += 10 * DAY

        assert okso("10") == exchange.user.balance

        exchange.advance(timedelta(days=1))

        assert exchange.user.balance is not None
        assert exchange.user.balance.latest_interest_accrual == exchange.user.balance.total_interest_accrual > 0

    def test_a_new_product_holds_from_then_on(self) -> None:
        """Interest of the days before is that of the terms before."""
        day, apy = date(2026, 1, 15), Decimal("0.0365")
        now = [NOON.timestamp()]
        exchange = Emulator(now=lambda: now[0], product=Product(apy={day: apy}))
        exchange.user.balance = okso("10")
        now[0] += DAY
        exchange.product = attrs.evolve(exchange.product, apy={day: ZERO})

        assert exchange.user.balance is not None
        assert Decimal("10.001") == exchange.user.balance.amt
