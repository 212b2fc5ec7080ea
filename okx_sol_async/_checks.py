"""What callers pass, checked: each error names its argument, what is wrong with it, and what it must be."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TypeGuard

from okx_sol_async.errors import ConfigurationError


def whole_number(argument: str, value: object, most: int | None = None) -> int:
    """Return ``value`` if it is a whole number from 1 on."""
    if type(value) is not int or value < 1 or (most is not None and value > most):
        bounds = "on" if most is None else f"to {most}"
        raise wrong(value, argument, f"a whole number from 1 {bounds}")
    return value


def seconds(argument: str, value: object, *, positive: bool) -> float:
    """Return ``value`` if it is a finite number of seconds, from 0 on or above 0."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= sys.float_info.max
        or (positive and value == 0)
    ):
        bound = "above 0" if positive else "from 0 on"
        raise wrong(value, argument, f"a finite number of seconds {bound}")
    return float(value)


def part(argument: str, value: object) -> float:
    """Return ``value`` if it is a part of something: a number above 0 and up to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1:
        raise wrong(value, argument, "a number above 0 and up to 1")
    return float(value)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether ``value`` is a string that can be sent and stored."""
    try:
        return isinstance(value, str) and value.encode().decode() == value
    except UnicodeEncodeError:
        return False


def text(argument: str, value: object) -> str:
    """Return ``value`` if it is a string that can be sent."""
    if is_text(value):
        return value
    raise wrong(value, argument, "a string")


def flag(argument: str, value: object) -> bool:
    """Return ``value`` if it is `True` or `False`."""
    if isinstance(value, bool):
        return value
    raise wrong(value, argument, "True or False")


def wrong(value: object, argument: str, wanted: str, hint: str | None = None) -> ConfigurationError:
    """Return the error for an argument that is not as it is wanted."""
    return ConfigurationError(f"{argument} must be {wanted}, not {shown(value)}", argument=argument, hint=hint)


def wrong_type(value: object, argument: str, wanted: str, hint: str | None = None) -> ConfigurationError:
    """Return the error for an argument of another type. It does not show the value, which may be a secret."""
    message = f"{argument} must be {wanted}, not {type(value).__name__}"
    return ConfigurationError(message, argument=argument, hint=hint)


def shown(value: object) -> str:
    """Return a value for a message, or its type if it is long."""
    try:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    except Exception:  # noqa: BLE001 - it is the caller's object, and an integer may be too long to be written out
        text = ""
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"
