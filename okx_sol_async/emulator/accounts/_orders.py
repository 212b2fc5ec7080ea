"""Purchases and redemptions as the exchange remembers them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, get_args

import attrs

from okx_sol_async.emulator._arguments import (
    check_amount,
    check_choice,
    check_text,
    check_time,
    checked,
    unless_none,
)

#: What an order did.
OrderType = Literal["purchase", "redeem"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _check_type(name: str, value: object) -> None:
    check_choice(name, value, get_args(OrderType))


@attrs.frozen(kw_only=True)
class EmulatedOrder:
    """One purchase or redemption of a user of the local exchange.

    Raises:
        ConfigurationError: a value is wrong, and `ConfigurationError.argument` names it.

    """

    #: ``"purchase"`` or ``"redeem"``.
    type: OrderType = attrs.field(validator=checked(_check_type))
    #: The amount, in SOL of a purchase and in OKSOL of a redemption.
    amt: Decimal = attrs.field(validator=checked(check_amount))
    #: When it was requested, as an aware datetime; OKX reports whole milliseconds.
    request_time: datetime = attrs.field(validator=checked(check_time))
    #: ``"pending"``, ``"success"``, ``"failed"``, or any other text.
    status: str = attrs.field(default="success", validator=checked(check_text))
    #: When it was completed; `None` is sent as an empty string.
    completed_time: datetime | None = attrs.field(default=None, validator=checked(unless_none(check_time)))
    #: When it is likely to be completed; `None` is sent as an empty string.
    est_completed_time: datetime | None = attrs.field(default=None, validator=checked(unless_none(check_time)))
    #: How much of it is still being redeemed, in OKSOL; `None` is sent as an empty string.
    redeeming_amt: Decimal | None = attrs.field(default=None, validator=checked(unless_none(check_amount)))
    #: The id of the order, which OKX removed from its documentation in 2026; `None` leaves the field out.
    ord_id: str | None = attrs.field(default=None, validator=checked(unless_none(check_text)))


def milliseconds(at: datetime) -> int:
    """Return the whole milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND


def moment(seconds: float) -> datetime:
    """Return a time in seconds since 1970 as a datetime, in whole milliseconds."""
    return _EPOCH + int(seconds * 1000) * _MILLISECOND
