"""Faults as JSON: ``{"fault": "Refusal", "code": "50001"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import attrs

from okx_sol_async.emulator import faults
from okx_sol_async.emulator.arguments import wrong
from okx_sol_async.emulator.faults.base import Fault
from okx_sol_async.errors import ConfigurationError

_NAMES = tuple(name for name in faults.__all__ if name != "Fault")


def fault_of(value: object) -> Fault:
    """Return the fault that JSON describes by its name and fields.

    Raises:
        ConfigurationError: there is no such fault, or a field is wrong.

    """
    if not isinstance(value, Mapping) or value.get("fault") not in _NAMES:
        raise wrong(value, "fault", f"an object whose fault is one of {', '.join(_NAMES)}")
    kind = getattr(faults, value["fault"])
    given = {name: field for name, field in value.items() if name != "fault"}
    unknown = set(given) - {field.name for field in attrs.fields(kind)}
    if unknown:
        message = f"{min(unknown)} is no field of {value['fault']}"
        raise ConfigurationError(message, argument=min(unknown))
    try:
        made: Fault = kind(**given)
    except TypeError:
        message = f"fault {value['fault']} has a required field that is missing"
        raise ConfigurationError(message, argument="fault") from None
    return made


def value_of(fault: Fault) -> dict[str, object]:
    """Return a fault as JSON, with the fields that differ from their defaults."""
    kind = type(fault)
    value: dict[str, object] = {"fault": kind.__name__}
    for field in attrs.fields(cast("type[attrs.AttrsInstance]", kind)):
        given = getattr(fault, field.name)
        if given != field.default:
            readable = given.decode("utf-8", "replace") if isinstance(given, bytes) else given
            value[field.name] = readable if isinstance(readable, str | int | float | bool | None) else repr(readable)
    return value
