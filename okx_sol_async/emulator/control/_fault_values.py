"""Faults as JSON: ``{"fault": "Refusal", "code": "50001"}``."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from tempfile import NamedTemporaryFile
from typing import cast

import attrs

from okx_sol_async.emulator import faults
from okx_sol_async.emulator._arguments import wrong
from okx_sol_async.emulator.faults._base import Fault
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
    required = (field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING)
    missing = next((name for name in required if name not in given), None)
    if missing is not None:
        message = f"{missing} is missing, which {value['fault']} needs"
        raise ConfigurationError(message, argument=missing)
    if isinstance(given.get("context"), str):
        given["context"] = _context_of(given["context"])
    made: Fault = kind(**given)
    return made


def _context_of(pem: str) -> ssl.SSLContext:
    """Return the context of `WrongCertificate`, which JSON gives as a certificate and its key in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError:
            # The text has a private key, so it is not repeated.
            message = "context must be a certificate and its key, in PEM"
            raise ConfigurationError(message, argument="context") from None
    return context


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
