"""What all users of one exchange share: the clock, the terms and the keys."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Literal

import attrs

from okx_sol_async.emulator._clock import ExchangeClock
from okx_sol_async.emulator.accounts._ledger import DailyQuota
from okx_sol_async.emulator.accounts._maintenance import Maintenance
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.signing._credentials import Credentials

#: What a key may do.
Permission = Literal["read_only", "trade", "withdraw"]


@attrs.frozen
class ApiKey:
    """A key, whose it is, and what it may do."""

    #: The user that it belongs to.
    uid: str
    #: Whether it is a key for demo trading.
    demo: bool
    #: API key, secret key and passphrase.
    credentials: Credentials
    #: What it may do.
    permissions: frozenset[Permission]
    #: The addresses that it may be used from; empty for all.
    ips: tuple[str, ...] = ()


@attrs.define
class ExchangeState:
    """The clock, the terms and the keys of one exchange."""

    clock: ExchangeClock
    product: Product
    #: By their ``api_key``.
    keys: dict[str, ApiKey] = attrs.field(factory=dict, repr=False)
    #: Planned and ongoing maintenance, which ``system/status`` lists.
    maintenance: tuple[Maintenance, ...] = ()
    #: What all users together have redeemed fast today.
    pool: DailyQuota = attrs.field(factory=DailyQuota, repr=False)
    #: Held by the serving thread and by tests while they read or change what users hold.
    lock: threading.RLock = attrs.field(factory=threading.RLock, repr=False)

    def pool_left(self) -> Decimal | None:
        """Return how much OKSOL all users together may still redeem fast today; `None` for no such limit."""
        total = self.product.fast_redemption_pool
        return None if total is None else self.pool.left(total, self.product.quota_day(self.clock.now()))
