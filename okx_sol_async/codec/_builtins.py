"""Results as plain types and as JSON: decimals as strings, times as RFC 3339."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias, overload

import attrs
from cattrs import BaseConverter

from okx_sol_async._checks import wrong_type
from okx_sol_async.errors import OKXError

#: A value of JSON.
Builtin: TypeAlias = "str | int | float | bool | list[Builtin] | dict[str, Builtin] | None"

_ERROR_FIELDS: Final = (
    "code",
    "status",
    "endpoint",
    "trace_id",
    "hint",
    "attempts",
    "waited",
    "retry_after",
    "sent_at",
)


@overload
def to_builtins(result: list[Any] | tuple[Any, ...]) -> list[Builtin]: ...  # type: ignore[overload-overlap] # the rest is one object


@overload
def to_builtins(result: object) -> dict[str, Builtin]: ...


def to_builtins(result: object) -> dict[str, Builtin] | list[Builtin]:
    """Return a result as plain types: dicts, lists, strings, numbers, booleans and `None`.

    Amounts and rates become strings with all their digits, and times RFC 3339 in UTC (``"2026-01-31T16:00:00.000Z"``).
    Fields keep their names.

    Args:
        result: what a call returned, such as a `Balance` or a tuple of orders; or a `Response`, a `Receipt`, a `Write`,
            a `CallReport` or an `OKXError`.

    Raises:
        ConfigurationError: ``result`` is none of these.

    """
    if not (attrs.has(type(result)) or isinstance(result, list | tuple | OKXError)):
        raise wrong_type(result, "result", "a result of this package, or a tuple of them")
    plain: dict[str, Builtin] | list[Builtin] = _CONVERTER.unstructure(result)
    return plain


def to_json(result: object) -> str:
    """Return a result as JSON, as `to_builtins` writes it.

    Args:
        result: as `to_builtins` takes it.

    Raises:
        ConfigurationError: as `to_builtins` does.

    """
    return json.dumps(to_builtins(result), ensure_ascii=False)


def _from_attrs(instance: attrs.AttrsInstance) -> dict[str, Builtin]:
    names = (field.name for field in attrs.fields(type(instance)))
    return {name: _CONVERTER.unstructure(getattr(instance, name)) for name in names if not name.startswith("_")}


def _from_error(error: OKXError) -> dict[str, Builtin]:
    known = {"type": type(error).__name__, "message": error.message}
    return known | {name: _CONVERTER.unstructure(getattr(error, name)) for name in _ERROR_FIELDS}


def _from_time(at: datetime) -> str:
    precision = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=precision)}Z"


def _make_converter() -> BaseConverter:
    converter = BaseConverter()
    # Of those that apply, the last one is taken.
    converter.register_unstructure_hook_func(attrs.has, _from_attrs)
    converter.register_unstructure_hook_func(
        lambda kind: issubclass(kind, Mapping),
        lambda value: {str(name): _CONVERTER.unstructure(value[name]) for name in value},
    )
    converter.register_unstructure_hook_func(
        lambda kind: issubclass(kind, list | tuple), lambda value: [_CONVERTER.unstructure(item) for item in value]
    )
    converter.register_unstructure_hook_func(lambda kind: issubclass(kind, OKXError), _from_error)
    converter.register_unstructure_hook(enum.StrEnum, lambda word: word.value)
    converter.register_unstructure_hook(Decimal, lambda number: format(number, "f"))
    converter.register_unstructure_hook(datetime, _from_time)
    return converter


_CONVERTER: Final = _make_converter()
