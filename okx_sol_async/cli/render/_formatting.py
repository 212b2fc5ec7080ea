"""Values as text: exact, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final, TypeAlias

from okx_sol_async.codec._builtins import Builtin, to_builtins
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Apy, Balance, Order, OrderType, ProductInfo

#: A row of JSON or CSV. Amounts and rates are strings, because JSON numbers are often read as floats.
Plain: TypeAlias = dict[str, Builtin]

_EXACT: Final = Context(prec=100)

#: The currency of the amount of an order, by its type.
CURRENCY: Final = {OrderType.PURCHASE: "SOL", OrderType.REDEEM: "OKSOL"}


def number(value: Decimal) -> str:
    """Write a number with all its digits, and never with an exponent."""
    return format(value, "f")


def percent(rate: Decimal) -> str:
    """Write a fraction as per cent, with two decimals or as many more as it has."""
    whole, _, decimals = number(_EXACT.scaleb(rate, 2)).partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')} %"


def minute(at: datetime | None) -> str:
    """Write a time for people, to the minute; nothing for `None`."""
    return "" if at is None else f"{bare_minute(at)} UTC"


def bare_minute(at: datetime | None) -> str:
    """Write the same without ``UTC``, for a column whose heading has it."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def second(at: datetime) -> str:
    """Write a time for people, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def stamp(at: datetime) -> str:
    """Write a time for programs, to the millisecond: ``2026-11-22T16:00:00.000Z``."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def plain(value: Apy | Balance | Order | ProductInfo) -> Plain:
    """Return the fields of a result as programs read them."""
    return to_builtins(value)


def balance_fields(balance: Balance) -> list[tuple[str, str, str]]:
    """Return the label, the number and the unit of each field of a balance."""
    return [
        ("Staked", number(balance.amt), balance.ccy),
        ("Latest interest", number(balance.latest_interest_accrual), balance.ccy),
        ("Total interest", number(balance.total_interest_accrual), balance.ccy),
    ]


def time_of(option: str, text: str | None) -> datetime | None:
    """Read a time such as ``2026-11-22`` or ``2026-11-22 16:00``; UTC, unless it has an offset.

    Raises:
        ConfigurationError: it is not in this format.

    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip().removesuffix("UTC").rstrip())
    except ValueError:
        message = f"{option} must be a time such as 2026-11-22 or '2026-11-22 16:00', not {text[:40]!r}"
        raise ConfigurationError(message, hint="It is UTC, unless it ends in an offset such as +08:00.") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
