"""What the exchange offers: the terms of its SOL staking."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import attrs

from okx_sol_async.emulator.arguments import (
    check_amount,
    check_flag,
    check_seconds,
    check_whole_number,
    checked,
    unless_none,
)
from okx_sol_async.errors import ConfigurationError

_MADE_UP_AROUND: Final = 0.0557
_MADE_UP_SWING: Final = 0.004
_MADE_UP_NOISE: Final = 0.0008


def _frozen(apy: Mapping[date, Decimal]) -> Mapping[date, Decimal]:
    if not isinstance(apy, Mapping):
        message = f"apy must be a mapping of days to Decimals, not {type(apy).__name__}"
        raise ConfigurationError(message)
    return MappingProxyType(dict(apy))


def _check_apy(_product: object, _field: object, apy: Mapping[date, Decimal]) -> None:
    for day, rate in apy.items():
        # A datetime is a date too, and would never be found.
        if type(day) is not date:
            message = f"apy must have days as its keys, not {day!r}"
            raise ConfigurationError(message)
        check_amount(f"apy[{day}]", rate)


@attrs.frozen
class Product:
    """The terms of SOL staking at the local exchange; each may be set, with `attrs.evolve` for a change of one.

    The times are seconds, the amounts SOL or OKSOL, and the rates fractions: ``Decimal("0.0557")`` is 5.57 %.

    Raises:
        ConfigurationError: a value is wrong, and the message names it.

    """

    #: The rate that product-info tells, as a fraction. On the wire it is a percentage, as OKX writes it: ``"5.57"``.
    rate: Decimal = attrs.field(default=Decimal("0.0557"), validator=checked(check_amount))
    #: The least that may be purchased at once, in SOL (else 51727).
    min_amt: Decimal = attrs.field(default=Decimal("0.01"), validator=checked(check_amount))
    #: The most that may be purchased at once, in SOL (else 51728); `None` for no such limit.
    max_amt: Decimal | None = attrs.field(default=None, validator=checked(unless_none(check_amount)))
    #: So many days after its request a redemption is completed.
    redempt_days: int = attrs.field(
        default=2, validator=lambda _product, _field, days: check_whole_number("redempt_days", days, least=0)
    )
    #: How much a user may redeem fast in a day, in OKSOL; a main account and its sub-accounts share it.
    fast_redemption_daily_limit: Decimal = attrs.field(default=Decimal(240), validator=checked(check_amount))
    #: Whether a redemption is completed at once while that limit lasts. OKX does not say when one is.
    fast_redemption: bool = attrs.field(default=False, validator=checked(check_flag))
    #: For so many seconds a purchase is pending; 0 completes it at once.
    purchase_seconds: float = attrs.field(default=0.0, validator=checked(check_seconds))
    #: Whether purchases are suspended (51731).
    suspended: bool = attrs.field(default=False, validator=checked(check_flag))
    #: Whether sub-accounts may purchase and redeem (else 51735).
    sub_accounts: bool = attrs.field(default=True, validator=checked(check_flag))
    #: The APY of days, as fractions. A day is named by the date, in UTC, of the 16:00 UTC at which its interest
    #: accrues. The APY of all other days is made up, the same for every exchange.
    apy: Mapping[date, Decimal] = attrs.field(factory=dict, converter=_frozen, validator=_check_apy)

    def apy_of(self, day: date) -> Decimal:
        """Return the APY of a day, as a fraction."""
        found = self.apy.get(day)
        return _made_up_apy(day) if found is None else found


def _made_up_apy(day: date) -> Decimal:
    number = day.toordinal()
    noise = int.from_bytes(hashlib.sha256(f"apy {number}".encode()).digest()[:4]) / 2**32 - 0.5
    rate = _MADE_UP_AROUND + _MADE_UP_SWING * math.sin(number / 40) + _MADE_UP_NOISE * noise
    return Decimal(f"{rate:.4f}")
