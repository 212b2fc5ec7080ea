"""Purchases and redemptions as the exchange remembers them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

import attrs

from okx_sol_async.emulator.arguments import check_amount, checked
from okx_sol_async.errors import ConfigurationError

#: What an order did.
OrderType = Literal["purchase", "redeem"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _check_type(_order: object, _field: object, value: object) -> None:
    if value not in ("purchase", "redeem"):
        message = f"type must be 'purchase' or 'redeem', not {value!r}"
        raise ConfigurationError(message)


def _check_text(_order: object, field: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value:
        message = f"{field.name} must be text, not {value!r}"
        raise ConfigurationError(message)


def _check_time(_order: object, field: attrs.Attribute[datetime], value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        message = f"{field.name} must be an aware datetime, not {value!r}"
        raise ConfigurationError(message)


@attrs.frozen(kw_only=True)
class EmulatedOrder:
    """One purchase or redemption of a user of the local exchange.

    Raises:
        ConfigurationError: a value is wrong, and the message names it.

    """

    #: ``"purchase"`` or ``"redeem"``.
    type: OrderType = attrs.field(validator=_check_type)
    #: How much, in SOL of a purchase and in OKSOL of a redemption.
    amt: Decimal = attrs.field(validator=checked(check_amount))
    #: When it was asked for, as an aware datetime; OKX tells whole milliseconds.
    request_time: datetime = attrs.field(validator=_check_time)
    #: ``"pending"``, ``"success"``, ``"failed"``, or any other word that OKX may think of.
    status: str = attrs.field(default="success", validator=_check_text)
    #: When it was completed; `None` is answered with an empty string.
    completed_time: datetime | None = attrs.field(default=None, validator=attrs.validators.optional(_check_time))
    #: When it is likely to be completed; `None` is answered with an empty string.
    est_completed_time: datetime | None = attrs.field(default=None, validator=attrs.validators.optional(_check_time))
    #: How much of it is being redeemed, in OKSOL; `None` is answered with an empty string.
    redeeming_amt: Decimal | None = attrs.field(
        default=None, validator=attrs.validators.optional(checked(check_amount))
    )
    #: The id of the order, which OKX left out again in 2026; `None` leaves the field out.
    ord_id: str | None = attrs.field(default=None, validator=attrs.validators.optional(_check_text))


def milliseconds(at: datetime) -> int:
    """Return the whole milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND


def moment(seconds: float) -> datetime:
    """Return a time in seconds since 1970 as a datetime, in whole milliseconds."""
    return _EPOCH + int(seconds * 1000) * _MILLISECOND
