"""Checks of arguments; each raises `ConfigurationError` that names the argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from okx_sol_async.errors import ConfigurationError


def wrong(value: object, name: str, expected: str) -> ConfigurationError:
    """Return the error for the argument ``name`` that is not ``expected``."""
    return ConfigurationError(f"{name} must be {expected}, not {value!r}", argument=name)


def check_number(name: str, value: object, expected: str, accepts: Callable[[float], bool]) -> None:
    """Raise unless ``value`` is a finite number that is accepted."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not accepts(value):
        raise wrong(value, name, expected)


def check_seconds(name: str, value: object) -> None:
    """Raise unless it is a finite number of seconds, 0 or more."""
    check_number(name, value, "a finite number of seconds from 0 on", lambda number: number >= 0)


def check_finite(name: str, value: object) -> None:
    """Raise unless it is a finite number."""
    check_number(name, value, "a finite number", lambda _: True)


def check_rate(name: str, value: object) -> None:
    """Raise unless it is a finite number above 0."""
    check_number(name, value, "a finite number above 0", lambda number: number > 0)


def check_share(name: str, value: object) -> None:
    """Raise unless it is a number from 0 to 1."""
    check_number(name, value, "a number from 0 to 1", lambda number: 0 <= number <= 1)


def check_whole_number(name: str, value: object, *, least: int | None = None, most: int | None = None) -> None:
    """Raise unless it is a whole number within the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(value, name, "a whole number")
    if least is not None and most is not None and not least <= value <= most:
        raise wrong(value, name, f"from {least} to {most}")
    if least is not None and value < least:
        raise wrong(value, name, f"{least} or more")


def check_size(name: str, value: object) -> None:
    """Raise unless it is a number of bytes."""
    check_whole_number(name, value, least=0)


def check_status(name: str, value: object) -> None:
    """Raise unless it is an HTTP status."""
    check_whole_number(name, value, least=200, most=999)


def check_flag(name: str, value: object) -> None:
    """Raise unless it is `True` or `False`."""
    if not isinstance(value, bool):
        raise wrong(value, name, "True or False")


def check_amount(name: str, value: object) -> None:
    """Raise unless it is a finite `Decimal`, 0 or more."""
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        raise wrong(value, name, "a finite Decimal from 0 on")


def check_text(name: str, value: object) -> None:
    """Raise unless it is text with at least one character."""
    if not isinstance(value, str) or not value:
        raise wrong(value, name, "text")


def check_header(name: str, value: object) -> None:
    """Raise unless it is text in one line."""
    if not isinstance(value, str) or "\r" in value or "\n" in value:
        raise wrong(value, name, "text in one line")


def check_code(name: str, value: object) -> None:
    """Raise unless it is text or a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong(value, name, "text or a whole number")


def check_time(name: str, value: object) -> None:
    """Raise unless it is an aware datetime."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise wrong(value, name, "an aware datetime")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise unless it is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise wrong(value, name, f"one of {', '.join(map(repr, choices))}")


def checked(check: Callable[[str, object], None]) -> Callable[[object, object, Any], None]:
    """Return a check as a validator of an attrs field."""

    # attrs takes the type of a field from that of its validator, and this one fits every type.
    def validate(_instance: object, field: object, value: Any) -> None:  # noqa: ANN401
        check(getattr(field, "name", ""), value)

    return validate


def unless_none(check: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Return a check that accepts `None` too."""

    def check_unless_none(name: str, value: object) -> None:
        if value is not None:
            check(name, value)

    return check_unless_none
