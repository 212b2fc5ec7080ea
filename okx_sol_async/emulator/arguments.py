"""What a caller of the local exchange hands in is checked here, and a mistake is named."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from okx_sol_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


def check_seconds(field: str, value: object) -> None:
    """Refuse what is no finite number of seconds from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        message = f"{field} must be a finite number of seconds from 0 on, not {value!r}"
        raise ConfigurationError(message, argument=field)


def check_whole_number(field: str, value: object, *, least: int | None = None) -> None:
    """Refuse what is no whole number, or less than ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{field} must be a whole number, not {value!r}"
        raise ConfigurationError(message, argument=field)
    if least is not None and value < least:
        message = f"{field} must be {least} or more, not {value}"
        raise ConfigurationError(message, argument=field)


def check_flag(field: str, value: object) -> None:
    """Refuse what is neither `True` nor `False`."""
    if not isinstance(value, bool):
        message = f"{field} must be True or False, not {value!r}"
        raise ConfigurationError(message, argument=field)


def check_amount(field: str, value: object) -> None:
    """Refuse what is no finite `Decimal` from 0 on."""
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        message = f"{field} must be a finite Decimal from 0 on, not {value!r}"
        raise ConfigurationError(message, argument=field)


def checked(check: Callable[[str, object], None]) -> Callable[[object, object, Any], None]:
    """Return a check as a validator of an attrs field, which names the field."""

    # attrs takes the type of a field from that of its validator, and this one is of no type.
    def validate(_instance: object, field: object, value: Any) -> None:  # noqa: ANN401
        check(getattr(field, "name", ""), value)

    return validate


def unless_none(check: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Return a check that lets `None` pass."""

    def check_or_pass(field: str, value: object) -> None:
        if value is not None:
            check(field, value)

    return check_or_pass


def check_finite(field: str, value: object) -> None:
    """Refuse what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        message = f"{field} must be a finite number, not {value!r}"
        raise ConfigurationError(message, argument=field)


def check_rate(field: str, value: object) -> None:
    """Refuse what is no finite number above 0."""
    check_finite(field, value)
    if isinstance(value, int | float) and value <= 0:
        message = f"{field} must be above 0, not {value!r}"
        raise ConfigurationError(message, argument=field)


def check_share(field: str, value: object) -> None:
    """Refuse what is no number from 0 to 1."""
    check_seconds(field, value)
    if isinstance(value, int | float) and value > 1:
        message = f"{field} must be from 0 to 1, not {value!r}"
        raise ConfigurationError(message, argument=field)


def check_size(field: str, value: object) -> None:
    """Refuse what is no number of bytes."""
    check_whole_number(field, value, least=0)


def check_status(field: str, value: object) -> None:
    """Refuse what is no HTTP status."""
    check_whole_number(field, value)
    if isinstance(value, int) and not 200 <= value <= 999:
        message = f"{field} must be an HTTP status from 200 to 999, not {value}"
        raise ConfigurationError(message, argument=field)


def check_code(field: str, value: object) -> None:
    """Refuse what is neither text nor a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        message = f"{field} must be text or a whole number, not {value!r}"
        raise ConfigurationError(message, argument=field)


def check_header(field: str, value: object) -> None:
    """Refuse what cannot stand in a line of the head."""
    if not isinstance(value, str) or "\r" in value or "\n" in value:
        message = f"{field} must be text in one line, not {value!r}"
        raise ConfigurationError(message, argument=field)
