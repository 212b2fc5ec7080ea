"""The terms of SOL staking."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import attrs

from okx_sol_async.emulator._arguments import (
    check_amount,
    check_flag,
    check_seconds,
    check_whole_number,
    checked,
    unless_none,
    wrong,
)
from okx_sol_async.emulator._clock import day_number

_APY_MEAN: Final = 0.0557
_APY_SWING: Final = 0.004
_APY_NOISE: Final = 0.0008
_HOUR: Final = 3_600.0


def _frozen(apy: Mapping[date, Decimal]) -> Mapping[date, Decimal]:
    if not isinstance(apy, Mapping):
        raise wrong(apy, "apy", "a mapping of days to Decimals")
    return MappingProxyType(dict(apy))


def _check_apy(_name: str, apy: object) -> None:
    for day, rate in apy.items() if isinstance(apy, Mapping) else ():
        # A datetime is a date too, and would never be found.
        if type(day) is not date:
            raise wrong(day, "apy", "a mapping with days as its keys")
        if not isinstance(rate, Decimal) or not rate.is_finite() or rate < 0:
            raise wrong(rate, "apy", f"a mapping to finite Decimals from 0 on (apy[{day}])")


def _tiers(limits: object) -> tuple[Decimal, ...]:
    if isinstance(limits, str) or not isinstance(limits, Iterable):
        raise wrong(limits, "fast_redemption_tiers", "Decimals")
    return tuple(limits)


def _check_tiers(name: str, limits: object) -> None:
    for limit in limits if isinstance(limits, tuple) else ():
        check_amount(name, limit)


def _check_days(name: str, value: object) -> None:
    check_whole_number(name, value, least=0)


def _check_payouts(name: str, value: object) -> None:
    check_whole_number(name, value, least=1)


def _check_hour(name: str, value: object) -> None:
    check_whole_number(name, value, least=0, most=23)


@attrs.frozen
class Product:
    """The terms of SOL staking at the local exchange; use `attrs.evolve` to change one of them.

    Times are seconds, amounts SOL or OKSOL, and rates fractions: ``Decimal("0.0557")`` is 5.57 %.
    The defaults are those of `OKX's documentation
    <https://www.okx.com/docs-v5/en/#financial-product-sol-staking-get-product-info>`__ where it has any.

    Raises:
        ConfigurationError: a value is wrong, and `ConfigurationError.argument` names it.

    """

    #: The rate that product-info reports, as a fraction. On the wire it is a percentage, as OKX writes it: ``"5.57"``.
    rate: Decimal = attrs.field(default=Decimal("0.0557"), validator=checked(check_amount))
    #: The smallest purchase, in SOL (else 51727).
    min_amt: Decimal = attrs.field(default=Decimal("0.01"), validator=checked(check_amount))
    #: The largest purchase, in SOL (else 51728); `None` for no such limit.
    max_amt: Decimal | None = attrs.field(default=None, validator=checked(unless_none(check_amount)))
    #: Days from the request of a redemption to its completion.
    redempt_days: int = attrs.field(default=2, validator=checked(_check_days))
    #: How much a user may redeem fast in a day, in OKSOL; a main account and its sub-accounts share it.
    fast_redemption_daily_limit: Decimal = attrs.field(default=Decimal(240), validator=checked(check_amount))
    #: Whether a redemption is completed at once while that limit lasts. OKX does not document when one is.
    fast_redemption: bool = attrs.field(default=False, validator=checked(check_flag))
    #: Seconds for which a purchase is pending; 0 completes it at once.
    purchase_seconds: float = attrs.field(default=0.0, validator=checked(check_seconds))
    #: Whether purchases are suspended (51731).
    suspended: bool = attrs.field(default=False, validator=checked(check_flag))
    #: Whether sub-accounts may purchase and redeem (else 51735).
    sub_accounts: bool = attrs.field(default=True, validator=checked(check_flag))
    #: The APY of days, as fractions. A day is named by the date, in UTC, of the 16:00 UTC at which its interest
    #: accrues. The APY of all other days is made up, the same for every exchange.
    apy: Mapping[date, Decimal] = attrs.field(factory=dict, converter=_frozen, validator=checked(_check_apy))
    #: The daily limits of fast redemption by VIP level, in OKSOL; the last one holds for all higher levels. Empty:
    #: `fast_redemption_daily_limit` holds for everybody.
    fast_redemption_tiers: tuple[Decimal, ...] = attrs.field(
        default=(), converter=_tiers, validator=checked(_check_tiers)
    )
    #: How much all users together may redeem fast in a day, in OKSOL; `None` for no such limit. This, payouts and a
    #: queue are in `OKX's help <https://www.okx.com/help/how-does-fast-redemption-work-trld>`__, not in its API pages.
    fast_redemption_pool: Decimal | None = attrs.field(default=None, validator=checked(unless_none(check_amount)))
    #: The hour, in UTC, at which a new day of fast redemption begins.
    fast_redemption_reset_hour: int = attrs.field(default=16, validator=checked(_check_hour))
    #: In how many equal parts, at equal intervals, a redemption that is not fast is paid out.
    redemption_payouts: int = attrs.field(default=1, validator=checked(_check_payouts))
    #: Days that a redemption waits in a queue before its `redempt_days` begin.
    redemption_queue_days: int = attrs.field(default=0, validator=checked(_check_days))

    def apy_of(self, day: date) -> Decimal:
        """Return the APY of a day, as a fraction."""
        found = self.apy.get(day)
        return _made_up_apy(day) if found is None else found

    def fast_redemption_limit_of(self, vip: int) -> Decimal:
        """Return how much a user of a VIP level may redeem fast in a day, in OKSOL."""
        tiers = self.fast_redemption_tiers
        return tiers[min(vip, len(tiers) - 1)] if tiers else self.fast_redemption_daily_limit

    def quota_day(self, at: float) -> int:
        """Return the number of the day of fast redemption that contains ``at``, in seconds since 1970."""
        return day_number(at, self.fast_redemption_reset_hour * _HOUR)


#: Fast redemption by VIP level as users report it since 2026-04-27: 50, 500, 800 and 1,000 OKSOL a day, from 01:00 UTC.
#: This is second-hand, from `a report <https://cryptosigy.com/news/okx-beth-oksol-fast-redemption-tier-limits>`__ of
#: OKX's help: OKX's API documentation does not state it.
REPORTED_TIERS: Final = Product(
    fast_redemption=True,
    fast_redemption_tiers=(Decimal(50), Decimal(500), Decimal(800), Decimal(1000)),
    fast_redemption_reset_hour=1,
)


def _made_up_apy(day: date) -> Decimal:
    number = day.toordinal()
    noise = int.from_bytes(hashlib.sha256(f"apy {number}".encode()).digest()[:4]) / 2**32 - 0.5
    rate = _APY_MEAN + _APY_SWING * math.sin(number / 40) + _APY_NOISE * noise
    return Decimal(f"{rate:.4f}")
