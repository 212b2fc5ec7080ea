"""The users of the local exchange, and their keys."""

from __future__ import annotations

import hashlib
import itertools
import threading
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

import attrs

from okx_sol_async.emulator.arguments import check_amount
from okx_sol_async.emulator.clock import Clock
from okx_sol_async.emulator.ledger import FastQuota, Ledger
from okx_sol_async.emulator.orders import EmulatedOrder
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing.credentials import Credentials

if TYPE_CHECKING:
    from okx_sol_async.emulator.product import Product

#: What a key may do.
Permission = Literal["read_only", "trade", "withdraw"]

#: What the first user holds, and every other unless told otherwise: the row of OKX's documentation.
DEFAULT_BALANCE: Final = Balance(
    ccy="OKSOL",
    amt=Decimal("0.01100012"),
    latest_interest_accrual=Decimal("0.00000012"),
    total_interest_accrual=Decimal("0.00000012"),
)
#: The SOL that the first user has in the funding account, and every other unless told otherwise.
DEFAULT_SOL: Final = Decimal(100)
#: What a key may do unless told otherwise.
DEFAULT_PERMISSIONS: Final[tuple[Permission, ...]] = ("read_only", "trade")


class Key(NamedTuple):
    """A key, whose it is, and what it may do."""

    user: EmulatedUser
    credentials: Credentials
    permissions: frozenset[Permission]


@attrs.define
class World:
    """What all users of one exchange have in common."""

    clock: Clock
    product: Product
    #: By the name of the key.
    keys: dict[str, Key] = attrs.field(factory=dict, repr=False)
    #: Whoever reads or changes what users hold has it: that is the thread that serves, and those of tests.
    lock: threading.RLock = attrs.field(factory=threading.RLock, repr=False)


def check_balance(balance: object) -> None:
    """Refuse what is no `Balance` and not `None`."""
    if balance is not None and not isinstance(balance, Balance):
        message = f"balance must be a Balance or None, not {type(balance).__name__}"
        raise ConfigurationError(message)


class EmulatedUser:
    """One user of the local exchange; `Emulator.add_user` makes it."""

    def __init__(
        self, world: World, uid: str, *, balance: Balance | None, sol: Decimal, demo: bool, main: EmulatedUser | None
    ) -> None:
        check_balance(balance)
        check_amount("sol", sol)
        self._world = world
        self._uid = uid
        self._demo = demo
        self._main_uid = uid if main is None else main.main_uid
        quota = FastQuota() if main is None else main._ledger.quota  # noqa: SLF001 - of the same class
        self._ledger: Ledger = Ledger(sol, balance, quota, world.clock.now())
        self._key_numbers = itertools.count(1)
        self._credentials = self.add_key()

    def __repr__(self) -> str:
        return f"<EmulatedUser {self._uid}{' of demo trading' if self._demo else ''}>"

    @property
    def uid(self) -> str:
        """OKX's id of the user, a decimal number of 17 digits."""
        return self._uid

    @property
    def main_uid(self) -> str:
        """The id of the user's main account; `uid` itself unless it is a sub-account."""
        return self._main_uid

    @property
    def demo(self) -> bool:
        """Whether the user's keys are for demo trading."""
        return self._demo

    @property
    def credentials(self) -> Credentials:
        """The first key, with `uid` as its ``user_id``."""
        return self._credentials

    @property
    def balance(self) -> Balance | None:
        """What the user holds, in OKSOL, with what is being redeemed; `None` is answered with no row at all.

        It may be set at any time.

        Raises:
            ConfigurationError: it is set to no `Balance`, or to less than is being redeemed.

        """
        with self._world.lock:
            return self.settled().balance

    @balance.setter
    def balance(self, balance: Balance | None) -> None:
        check_balance(balance)
        with self._world.lock:
            self.settled().balance = balance

    @property
    def sol(self) -> Decimal:
        """The SOL in the funding account, with which the user can purchase; it may be set at any time.

        Raises:
            ConfigurationError: it is set to no finite `Decimal`, or to less than 0.

        """
        with self._world.lock:
            return self.settled().sol

    @sol.setter
    def sol(self, sol: Decimal) -> None:
        check_amount("sol", sol)
        with self._world.lock:
            self.settled().sol = sol

    @property
    def redeeming(self) -> Decimal:
        """How much of `balance` is being redeemed, in OKSOL."""
        with self._world.lock:
            return self.settled().redeeming

    @property
    def purchasing(self) -> Decimal:
        """How much SOL has been paid for purchases that are still pending."""
        with self._world.lock:
            return self.settled().purchasing

    @property
    def orders(self) -> tuple[EmulatedOrder, ...]:
        """Every purchase and redemption that the exchange took, in the order in which it took them.

        A purchase that was sent twice and taken twice is here twice.
        """
        with self._world.lock:
            return self.settled().orders

    def add_orders(self, orders: Iterable[EmulatedOrder]) -> None:
        """Put orders into the history, as if they had been made before; they move no money and stay as they are.

        Raises:
            ConfigurationError: one of them is no `EmulatedOrder`.

        """
        records = tuple(orders)
        for order in records:
            if not isinstance(order, EmulatedOrder):
                message = f"orders must be EmulatedOrders, not {type(order).__name__}"
                raise ConfigurationError(message)
        with self._world.lock:
            self.settled().record(records)

    def fail_order(self, order: EmulatedOrder) -> None:
        """End a pending one of `orders` as ``"failed"``; what was paid for it comes back.

        Raises:
            ConfigurationError: the order is not pending, or not the user's.

        """
        with self._world.lock:
            self.settled().fail(order, self._world.clock.now())

    def settled(self) -> Ledger:
        """Return the books with all that is due; whoever calls has the lock of the world."""
        clock = self._world.clock
        # Nobody chose the machine's clock, so a test that runs at 16:00 UTC shall find what it would find at 15:00.
        self._ledger.settle(clock.now(), self._world.product, interest=not clock.is_the_machines)
        return self._ledger

    def settle_with_interest(self) -> None:
        """Let happen what is due, interest too; whoever calls has the lock of the world."""
        self._ledger.settle(self._world.clock.now(), self._world.product, interest=True)

    def add_key(
        self,
        credentials: Credentials | None = None,
        *,
        permissions: Iterable[Permission] = DEFAULT_PERMISSIONS,
    ) -> Credentials:
        """Give the user one more key, which is counted together with the others.

        Args:
            credentials: the key to hold; `None` makes one up.
            permissions: what the key may do. Purchases and redemptions need ``"trade"``.

        Returns:
            The key, with `uid` as its ``user_id``.

        Raises:
            ConfigurationError: ``credentials`` are none, the exchange holds their ``api_key`` already,
                or ``permissions`` are none.

        """
        if credentials is None:
            credentials = _make_up_credentials(self.uid, next(self._key_numbers))
        elif not isinstance(credentials, Credentials):
            message = f"credentials must be Credentials or None, not {type(credentials).__name__}"
            raise ConfigurationError(message)
        granted = frozenset(permissions)
        unknown = granted - set(get_args(Permission))
        if unknown:
            message = f"permissions must be of {', '.join(get_args(Permission))}, not {min(map(repr, unknown))}"
            raise ConfigurationError(message)
        if credentials.api_key in self._world.keys:
            message = "credentials: the exchange holds this api_key already"
            raise ConfigurationError(message)
        labelled = Credentials(credentials.api_key, credentials.secret_key, credentials.passphrase, self.uid)
        self._world.keys[labelled.api_key] = Key(self, labelled, granted)
        return labelled


def _make_up_credentials(uid: str, number: int) -> Credentials:
    digits = hashlib.sha512(f"key {number} of {uid}".encode()).hexdigest()
    return Credentials(str(uuid.UUID(digits[:32])), digits[32:64].upper(), f"Made-Up-{digits[64:76]}", uid)
