"""The users of the local exchange."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, get_args

import attrs

from okx_sol_async.emulator._arguments import check_amount, check_whole_number, wrong
from okx_sol_async.emulator.accounts._ledger import AccountLedger, DailyQuota
from okx_sol_async.emulator.accounts._orders import EmulatedOrder
from okx_sol_async.emulator.accounts._state import ApiKey, ExchangeState, Permission
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing._credentials import Credentials

#: What a new user holds unless set otherwise: the row of OKX's documentation.
DEFAULT_BALANCE: Final = Balance(
    ccy="OKSOL",
    amt=Decimal("0.01100012"),
    latest_interest_accrual=Decimal("0.00000012"),
    total_interest_accrual=Decimal("0.00000012"),
)
#: The SOL that a new user has in the funding account unless set otherwise.
DEFAULT_SOL: Final = Decimal(100)
#: What a new key may do unless set otherwise.
DEFAULT_PERMISSIONS: Final[tuple[Permission, ...]] = ("read_only", "trade")


def check_balance(name: str, balance: object) -> None:
    """Raise unless it is a `Balance` or `None`."""
    if balance is not None and not isinstance(balance, Balance):
        raise wrong(balance, name, "a Balance or None")


class EmulatedUser:
    """One user of the local exchange; `Emulator.add_user` makes it."""

    def __init__(
        self,
        state: ExchangeState,
        uid: str,
        *,
        balance: Balance | None,
        sol: Decimal,
        demo: bool,
        main: EmulatedUser | None,
        vip: int = 0,
    ) -> None:
        check_balance("balance", balance)
        check_amount("sol", sol)
        check_whole_number("vip", vip, least=0)
        self._state = state
        self._uid = uid
        self._demo = demo
        self._main_uid = uid if main is None else main.main_uid
        #: How much this account and those that share its limit have redeemed fast today.
        self.quota: DailyQuota = DailyQuota() if main is None else main.quota
        #: The VIP level, which the daily limit of fast redemption may depend on.
        self.vip = vip
        self._ledger = AccountLedger(sol, balance, state.clock.now())
        self._key_numbers = itertools.count(1)
        self._credentials = self.add_key()

    def __repr__(self) -> str:
        return f"<EmulatedUser {self._uid}{' (demo)' if self._demo else ''}>"

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
    def keys(self) -> tuple[ApiKey, ...]:
        """All keys, the first one first."""
        return tuple(key for key in self._state.keys.values() if key.uid == self._uid)

    @property
    def balance(self) -> Balance | None:
        """What the user holds, in OKSOL, with what is being redeemed; `None` is answered with no row at all.

        It may be set at any time.

        Raises:
            ConfigurationError: it is set to no `Balance`, or to less than is being redeemed.

        """
        with self._state.lock:
            return self.ledger().balance

    @balance.setter
    def balance(self, balance: Balance | None) -> None:
        check_balance("balance", balance)
        with self._state.lock:
            self.ledger().balance = balance

    @property
    def sol(self) -> Decimal:
        """The SOL in the funding account, with which the user can purchase; it may be set at any time.

        Raises:
            ConfigurationError: it is set to no finite `Decimal`, or to less than 0.

        """
        with self._state.lock:
            return self.ledger().sol

    @sol.setter
    def sol(self, sol: Decimal) -> None:
        check_amount("sol", sol)
        with self._state.lock:
            self.ledger().sol = sol

    @property
    def redeeming(self) -> Decimal:
        """How much of `balance` is being redeemed, in OKSOL."""
        with self._state.lock:
            return self.ledger().redeeming

    @property
    def purchasing(self) -> Decimal:
        """How much SOL has been paid for purchases that are still pending."""
        with self._state.lock:
            return self.ledger().purchasing

    @property
    def orders(self) -> tuple[EmulatedOrder, ...]:
        """Every purchase and redemption that the exchange accepted, in the order in which it did.

        A purchase that was sent twice and accepted twice is listed twice.
        """
        with self._state.lock:
            return self.ledger().orders

    def add_orders(self, orders: Iterable[EmulatedOrder]) -> None:
        """Add orders to the history, as if they had been made before; they move no money and never change.

        Raises:
            ConfigurationError: one of them is no `EmulatedOrder`.

        """
        records = tuple(orders)
        for order in records:
            if not isinstance(order, EmulatedOrder):
                raise wrong(order, "orders", "EmulatedOrders")
        with self._state.lock:
            self.ledger().record(records)

    def fail_order(self, order: EmulatedOrder) -> None:
        """End a pending one of `orders` as ``"failed"``; what was paid for it is returned.

        Raises:
            ConfigurationError: the order is not pending, or not the user's.

        """
        with self._state.lock:
            self.ledger().fail(order, self._state.clock.now())

    def ledger(self, *, interest: bool = False) -> AccountLedger:
        """Return the money with everything done that is due; the caller holds the state's lock.

        Interest accrues by a clock that was chosen for the exchange, and with ``interest`` by the machine's too: a
        test that runs at 16:00 UTC shall see what it sees at 15:00.
        """
        clock = self._state.clock
        self._ledger.settle(clock.now(), self._state.product, interest=interest or not clock.is_the_machines)
        return self._ledger

    def replace(self, uid: str, *, demo: bool, main: EmulatedUser | None, keys: Iterable[ApiKey] | None) -> None:
        """Become another user, with other keys unless they are `None`; the caller holds the state's lock."""
        kept = [attrs.evolve(key, uid=uid, demo=demo) for key in (self.keys if keys is None else keys)]
        for key in self.keys:
            del self._state.keys[key.credentials.api_key]
        self._uid = uid
        self._demo = demo
        self._main_uid = uid if main is None else main.main_uid
        self._state.keys |= {key.credentials.api_key: key for key in kept}
        self._credentials = kept[0].credentials

    def fast_redemption_left(self) -> Decimal:
        """Return how much OKSOL the user may still redeem fast today."""
        product = self._state.product
        day = product.quota_day(self._state.clock.now())
        left = self.quota.left(product.fast_redemption_limit_of(self.vip), day)
        pool = self._state.pool_left()
        return left if pool is None else min(left, pool)

    def redeem(self, amt: Decimal) -> None:
        """Redeem OKSOL, fast if the terms and what is left of today's limits allow it; the caller holds the lock."""
        product, now = self._state.product, self._state.clock.now()
        fast = product.fast_redemption and amt <= self.fast_redemption_left()
        if fast:
            for quota in (self.quota, self._state.pool):
                quota.use(amt, product.quota_day(now))
        self.ledger().redeem(amt, product, now, fast=fast)

    def purchase(self, amt: Decimal) -> None:
        """Purchase OKSOL; the caller holds the state's lock."""
        self.ledger().purchase(amt, self._state.product, self._state.clock.now())

    def add_key(
        self,
        credentials: Credentials | None = None,
        *,
        permissions: Iterable[Permission] = DEFAULT_PERMISSIONS,
        ips: Iterable[str] = (),
    ) -> Credentials:
        """Give the user one more key, which is counted together with the others.

        Args:
            credentials: the key; `None` makes one up.
            permissions: what the key may do. Purchases and redemptions need ``"trade"``.
            ips: the addresses that the key may be used from (else 50110); empty for all.

        Returns:
            The key, with `uid` as its ``user_id``.

        Raises:
            ConfigurationError: ``credentials`` are no `Credentials` or their ``api_key`` is in use,
                ``permissions`` has an unknown one, or ``ips`` has what is no address.

        """
        if credentials is None:
            credentials = _made_up_credentials(self.uid, next(self._key_numbers))
        elif not isinstance(credentials, Credentials):
            raise wrong(type(credentials).__name__, "credentials", "Credentials or None")
        granted = _checked_permissions(permissions)
        bound = tuple(_checked_address(ip) for ip in ips)
        with self._state.lock:
            if credentials.api_key in self._state.keys:
                message = "credentials: this api_key is in use already"
                raise ConfigurationError(message, argument="credentials")
            labelled = Credentials(credentials.api_key, credentials.secret_key, credentials.passphrase, self.uid)
            self._state.keys[labelled.api_key] = ApiKey(self._uid, self._demo, labelled, granted, bound)
        return labelled


def _checked_permissions(permissions: Iterable[Permission]) -> frozenset[Permission]:
    granted = frozenset(permissions)
    unknown = granted - set(get_args(Permission))
    if unknown:
        raise wrong(min(unknown, key=repr), "permissions", f"of {', '.join(get_args(Permission))}")
    return granted


def _checked_address(ip: object) -> str:
    try:
        return str(ipaddress.ip_address(ip if isinstance(ip, str) else ""))
    except ValueError:
        raise wrong(ip, "ips", "IP addresses") from None


def _made_up_credentials(uid: str, number: int) -> Credentials:
    digits = hashlib.sha512(f"key {number} of {uid}".encode()).hexdigest()
    return Credentials(str(uuid.UUID(digits[:32])), digits[32:64].upper(), f"Made-Up-{digits[64:76]}", uid)
