"""What a user holds and has ordered, and what happens to it as time goes by.

Nothing here knows of HTTP. All times are seconds since 1970 (UTC) unless they are datetimes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async.emulator.clock import DAY, beginning_of, day_number
from okx_sol_async.emulator.orders import EmulatedOrder, OrderType, moment
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance

if TYPE_CHECKING:
    from okx_sol_async.emulator.product import Product

_ZERO: Final = Decimal(0)
_DAYS_OF_A_YEAR: Final = Decimal(365)
#: OKX tells amounts with eight digits after the point.
_SMALLEST: Final = Decimal("0.00000001")
# Sums are exact, however much somebody holds.
_EXACT: Final = Context(prec=200)


@attrs.define
class FastQuota:
    """How much was redeemed fast today, by a main account and its sub-accounts together."""

    _day: int = 0
    _used: Decimal = _ZERO

    def left(self, limit: Decimal, at: float) -> Decimal:
        """Return how much of ``limit`` is left on the day of ``at``."""
        used = self._used if day_number(at) == self._day else _ZERO
        return max(_ZERO, limit - used)

    def use(self, amt: Decimal, at: float) -> None:
        """Count what is redeemed fast at ``at``."""
        today = day_number(at)
        self._used = amt + (self._used if today == self._day else _ZERO)
        self._day = today


class Ledger:
    """The books of one user.

    OKSOL that is being redeemed is part of ``balance.amt`` until its redemption is completed, as at OKX.
    A purchase is worth one OKSOL a SOL, and so is a redemption. Interest is paid in OKSOL at 16:00 UTC, for one day of
    365 at the APY of that day, on what is not being redeemed, and rounded down to eight digits.
    """

    def __init__(self, sol: Decimal, balance: Balance | None, quota: FastQuota, at: float) -> None:
        self.sol = sol
        self.quota = quota
        self._balance = balance
        self._orders: list[EmulatedOrder] = []
        # When it is due, and which order it is: the first one due comes first.
        self._due: list[tuple[float, int]] = []
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
            raise ConfigurationError(message)
        self._balance = balance

    @property
    def orders(self) -> tuple[EmulatedOrder, ...]:
        """All orders, in the order in which they came here."""
        return tuple(self._orders)

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
            return sum((self._orders[n].amt for _, n in self._due if self._orders[n].type == kind), _ZERO)

    def record(self, orders: Iterable[EmulatedOrder]) -> None:
        """Remember orders that moved nothing here."""
        self._orders.extend(orders)

    def purchase(self, amt: Decimal, product: Product, at: float) -> None:
        """Take SOL, and give OKSOL for it at once or when it is due."""
        with localcontext(_EXACT):
            self.sol -= amt
        self._order(EmulatedOrder(type="purchase", amt=amt, request_time=moment(at), status="pending"))
        self._complete_at(at, at + product.purchase_seconds)

    def redeem(self, amt: Decimal, product: Product, at: float) -> None:
        """Begin to give SOL for OKSOL, which is completed at once if that can be done fast."""
        fast = product.fast_redemption and amt <= self.quota.left(product.fast_redemption_daily_limit, at)
        if fast:
            self.quota.use(amt, at)
        due = at if fast else at + product.redempt_days * DAY
        self._order(
            EmulatedOrder(
                type="redeem",
                amt=amt,
                request_time=moment(at),
                status="pending",
                est_completed_time=moment(due),
                redeeming_amt=amt,
            )
        )
        self._complete_at(at, due)

    def _order(self, order: EmulatedOrder) -> None:
        self._orders.append(order)

    def _complete_at(self, now: float, due: float) -> None:
        heapq.heappush(self._due, (due, len(self._orders) - 1))
        if due <= now:
            self._complete_next()

    def fail(self, order: EmulatedOrder, at: float) -> None:
        """End an order that is pending without success, and give back what was paid for it."""
        for entry in self._due:
            number = entry[1]
            if self._orders[number] is order:
                break
        else:
            message = "order must be one of the user's that is pending"
            raise ConfigurationError(message)
        self._due.remove(entry)
        heapq.heapify(self._due)
        self._end(number, "failed", at)
        if order.type == "purchase":
            with localcontext(_EXACT):
                self.sol += order.amt

    def settle(self, until: float, product: Product, *, interest: bool) -> None:
        """Let everything happen that is due by ``until``, in its order; a clock that goes back changes nothing."""
        with localcontext(_EXACT):
            while True:
                day = day_number(self._settled_at) + 1
                accrual = beginning_of(day) if interest else float("inf")
                due = self._due[0][0] if self._due else float("inf")
                if min(accrual, due) > until:
                    break
                if due <= accrual:
                    self._complete_next()
                else:
                    self._accrue(product.apy_of(moment(accrual).date()))
                    self._settled_at = accrual
        self._settled_at = max(self._settled_at, until)

    def _complete_next(self) -> None:
        due, number = heapq.heappop(self._due)
        order = self._orders[number]
        with localcontext(_EXACT):
            if order.type == "purchase":
                self._add(order.amt)
            else:
                self._add(-order.amt)
                self.sol += order.amt
        self._end(number, "success", due)

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
