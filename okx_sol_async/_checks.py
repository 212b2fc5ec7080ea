"""Numbers that callers pass, checked: each error names its argument, what is wrong with it, and what it must be."""

from __future__ import annotations

import math
from decimal import Decimal

from okx_sol_async.errors import ConfigurationError


def whole_number(argument: str, value: object, most: int | None = None) -> int:
    """Return ``value`` if it is a whole number from 1 on.

    Raises:
        ConfigurationError: it is not, or it is above ``most``.

    """
    if type(value) is not int or value < 1 or (most is not None and value > most):
        bounds = "on" if most is None else f"to {most}"
        message = f"{argument} must be a whole number from 1 {bounds}, not {shown(value)}"
        raise ConfigurationError(message, argument=argument)
    return value


def seconds(argument: str, value: object, *, positive: bool) -> float:
    """Return ``value`` if it is a finite number of seconds, from 0 on or above 0.

    Raises:
        ConfigurationError: it is not.

    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < math.inf
        or (positive and value == 0)
    ):
        bound = "above 0" if positive else "from 0 on"
        message = f"{argument} must be a finite number of seconds {bound}, not {shown(value)}"
        raise ConfigurationError(message, argument=argument)
    return float(value)


def part(argument: str, value: object) -> float:
    """Return ``value`` if it is a part of something: a number above 0 and up to 1.

    Raises:
        ConfigurationError: it is not.

    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        message = f"{argument} must be a number above 0 and up to 1, not {shown(value)}"
        raise ConfigurationError(message, argument=argument)
    return float(value)


def shown(value: object) -> str:
    """Return a value for a message, or its type if it is long."""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
