"""What a user holds and has ordered, and how both change with time.

Nothing here knows about HTTP. Times are seconds since 1970 (UTC) unless they are datetimes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import Final

import attrs

from okx_sol_async.emulator._clock import DAY, day_number, start_of_day
from okx_sol_async.emulator.accounts._orders import EmulatedOrder, OrderType, moment
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance

_ZERO: Final = Decimal(0)
_DAYS_OF_A_YEAR: Final = Decimal(365)
#: OKX writes amounts with eight digits after the point.
_SMALLEST: Final = Decimal("0.00000001")
# Sums are exact, however large the amounts.
_EXACT: Final = Context(prec=200)


@attrs.define
class DailyQuota:
    """How much was redeemed fast on one day, by a main account and its sub-accounts, or by all users."""

    day: int = 0
    used: Decimal = _ZERO

    def left(self, limit: Decimal, day: int) -> Decimal:
        """Return how much of ``limit`` is left on a day."""
        return max(_ZERO, limit - (self.used if day == self.day else _ZERO))

    def use(self, amt: Decimal, day: int) -> None:
        """Count an amount that is redeemed fast on a day."""
        self.used = amt + (self.used if day == self.day else _ZERO)
        self.day = day


@attrs.frozen(order=True)
class Payout:
    """A part of an order that is due; the one with the earliest time comes first."""

    #: When it is due.
    at: float
    #: The position of its order.
    number: int
    amt: Decimal


class AccountLedger:
    """The money of one user.

    OKSOL that is being redeemed is part of ``balance.amt`` until its redemption is completed, as at OKX.
    A purchase gives one OKSOL for one SOL, and a redemption the reverse. Interest is paid in OKSOL at 16:00 UTC, for
    one day of 365 at the APY of that day, on what is not being redeemed, rounded down to eight digits.
    """

    def __init__(self, sol: Decimal, balance: Balance | None, at: float) -> None:
        self.sol: Decimal = sol
        self._balance = balance
        self._orders: list[EmulatedOrder] = []
        self._due: list[Payout] = []
        self._settled_at = at

    @property
    def balance(self) -> Balance | None:
        """The OKSOL held, with what is being redeemed."""
        return self._balance

    @balance.setter
    def balance(self, balance: Balance | None) -> None:
        redeeming = self.redeeming
        if redeeming and (balance is None or balance.amt < redeeming):
            message = f"balance must hold the {redeeming:f} OKSOL that are being redeemed"
            raise ConfigurationError(message, argument="balance")
        self._balance = balance

    @property
    def orders(self) -> tuple[EmulatedOrder, ...]:
        """All orders, in the order in which they were made."""
        return tuple(self._orders)

    @property
    def due(self) -> tuple[Payout, ...]:
        """What pending orders still have to pay out."""
        return tuple(self._due)

    @property
    def redeeming(self) -> Decimal:
        """How much OKSOL is being redeemed."""
        return self._pending("redeem")

    @property
    def purchasing(self) -> Decimal:
        """How much SOL has been paid for purchases that are pending."""
        return self._pending("purchase")

    @property
    def redeemable(self) -> Decimal:
        """How much OKSOL is held that is not being redeemed."""
        with localcontext(_EXACT):
            return (_ZERO if self._balance is None else self._balance.amt) - self.redeeming

    def _pending(self, kind: OrderType) -> Decimal:
        with localcontext(_EXACT):
            return sum((part.amt for part in self._due if self._orders[part.number].type == kind), _ZERO)

    def record(self, orders: Iterable[EmulatedOrder]) -> None:
        """Add orders to the history that move no money."""
        self._orders.extend(orders)

    def restore(
        self,
        *,
        sol: Decimal,
        balance: Balance | None,
        orders: Iterable[EmulatedOrder],
        due: Iterable[Payout],
        at: float,
    ) -> None:
        """Replace everything; nothing that was due before ``at`` happens."""
        self.sol = sol
        self._balance = balance
        self._orders = list(orders)
        self._due = list(due)
        heapq.heapify(self._due)
        self._settled_at = at

    def purchase(self, amt: Decimal, product: Product, at: float) -> None:
        """Take SOL, and give OKSOL for it at once or when it is due."""
        with localcontext(_EXACT):
            self.sol -= amt
        self._orders.append(EmulatedOrder(type="purchase", amt=amt, request_time=moment(at), status="pending"))
        self._plan(amt, [at + product.purchase_seconds], at)

    def redeem(self, amt: Decimal, product: Product, at: float, *, fast: bool = False) -> None:
        """Give SOL for OKSOL, at once if ``fast`` and else in the days and parts of the product."""
        begins = at + product.redemption_queue_days * DAY
        parts = 1 if fast else product.redemption_payouts
        length = product.redempt_days * DAY
        times = [at] if fast else [begins + length * (part + 1) / parts for part in range(parts)]
        self._orders.append(
            EmulatedOrder(
                type="redeem",
                amt=amt,
                request_time=moment(at),
                status="pending",
                est_completed_time=moment(times[-1]),
                redeeming_amt=amt,
            )
        )
        self._plan(amt, times, at)

    def _plan(self, amt: Decimal, times: list[float], now: float) -> None:
        number = len(self._orders) - 1
        with localcontext(_EXACT):
            part = (amt / len(times)).quantize(_SMALLEST, ROUND_DOWN)
            last = amt - part * (len(times) - 1)
        for at in times[:-1]:
            heapq.heappush(self._due, Payout(at, number, part))
        heapq.heappush(self._due, Payout(times[-1], number, last))
        while self._due and self._due[0].number == number and self._due[0].at <= now:
            self._pay_next()

    def fail(self, order: EmulatedOrder, at: float) -> None:
        """End a pending order as failed, and give back what was paid for it and not paid out yet."""
        number = next((part.number for part in self._due if self._orders[part.number] is order), None)
        if number is None:
            message = "order must be a pending one of the user's orders"
            raise ConfigurationError(message, argument="order")
        with localcontext(_EXACT):
            left = sum((part.amt for part in self._due if part.number == number), _ZERO)
            self._due = [part for part in self._due if part.number != number]
            heapq.heapify(self._due)
            if order.type == "purchase":
                self.sol += left
        self._end(number, "failed", at)

    def settle(self, until: float, product: Product, *, interest: bool) -> None:
        """Do everything that is due by ``until``, in order; a clock that goes back changes nothing."""
        with localcontext(_EXACT):
            while True:
                accrual = start_of_day(day_number(self._settled_at) + 1) if interest else float("inf")
                due = self._due[0].at if self._due else float("inf")
                if min(accrual, due) > until:
                    break
                if due <= accrual:
                    self._pay_next()
                else:
                    self._accrue(product.apy_of(moment(accrual).date()))
                    self._settled_at = accrual
        self._settled_at = max(self._settled_at, until)

    def _pay_next(self) -> None:
        paid = heapq.heappop(self._due)
        order = self._orders[paid.number]
        with localcontext(_EXACT):
            if order.type == "purchase":
                self._add(paid.amt)
            else:
                self._add(-paid.amt)
                self.sol += paid.amt
            left = sum((part.amt for part in self._due if part.number == paid.number), _ZERO)
        if any(part.number == paid.number for part in self._due):
            self._orders[paid.number] = attrs.evolve(order, redeeming_amt=left)
        else:
            self._end(paid.number, "success", paid.at)

    def _end(self, number: int, status: str, at: float) -> None:
        self._orders[number] = attrs.evolve(
            self._orders[number],
            status=status,
            completed_time=moment(at),
            est_completed_time=None,
            redeeming_amt=None,
        )

    def _add(self, amt: Decimal) -> None:
        before = self._balance or Balance("OKSOL", _ZERO, _ZERO, _ZERO)
        self._balance = attrs.evolve(before, amt=before.amt + amt)

    def _accrue(self, apy: Decimal) -> None:
        if self._balance is None:
            return
        earning = max(_ZERO, self.redeemable)
        interest = (earning * apy / _DAYS_OF_A_YEAR).quantize(_SMALLEST, ROUND_DOWN)
        self._balance = attrs.evolve(
            self._balance,
            amt=self._balance.amt + interest,
            latest_interest_accrual=interest,
            total_interest_accrual=self._balance.total_interest_accrual + interest,
        )
