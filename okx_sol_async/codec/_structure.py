"""The cattrs converter: how the rows of a response become models.

Everything here is a function of plain values. A row that does not fit is a `DecodeError` that names the place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeVar

import attrs
from cattrs import BaseValidationError, ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

from okx_sol_async.codec._envelope import shown, wrong_type
from okx_sol_async.errors import DecodeError
from okx_sol_async.models import (
    AccountConfig,
    Apy,
    Balance,
    FundingBalance,
    Order,
    ProductInfo,
    SystemStatus,
    SystemTime,
)

M = TypeVar("M")

# Numbers with more digits are not money.
_is_decimal: Final = re.compile(r"-?[0-9]{1,128}(?:\.[0-9]{1,128})?", re.ASCII).fullmatch
# 13 digits last until 2286.
_is_milliseconds: Final = re.compile(r"[0-9]{1,14}", re.ASCII).fullmatch
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_rows(data: object, model: type[M]) -> tuple[M, ...]:
    """Read the rows of a response, each as a ``model``.

    Raises:
        DecodeError: ``data`` is not an array, or a row is broken; the message names the place (``$.data[0].amt``).

    """
    if not isinstance(data, list):
        raise DecodeError(wrong_type("$.data", "an array", data))
    read = _FAST[model]
    try:
        return tuple([read(row, model) for row in data])
    except Exception:  # noqa: BLE001 - read again, by rules that say what is wrong with which field
        return tuple([_read_or_explain(row, model, f"$.data[{index}]") for index, row in enumerate(data)])


def read_row(data: object, model: type[M]) -> M:
    """Read a response that is one row, as an object or as an array of one."""
    if not isinstance(data, list):
        return _read_or_explain(data, model, "$.data")
    return _read_or_explain(only_row(data), model, "$.data[0]")


def only_row(rows: Sequence[M]) -> M:
    """Return the row of a response that has one."""
    if len(rows) != 1:
        message = f"$.data must hold one row, not {len(rows)}"
        raise DecodeError(message)
    return rows[0]


def _read_or_explain(row: object, model: type[M], path: str) -> M:
    if not isinstance(row, dict):
        raise DecodeError(wrong_type(path, "an object", row))
    row_model: M
    try:
        row_model = _explaining_readers()[model](row, model)
    except BaseValidationError as error:
        message = "; ".join(_problems(error, path))
    else:
        return row_model
    raise DecodeError(message)


def _problems(error: BaseValidationError, path: str) -> Iterator[str]:
    fields, others = error.group_exceptions() if isinstance(error, ClassValidationError) else ([], error.exceptions)
    for problem, note in fields:
        where = f"{path}.{wire_name(note.name)}"
        yield f"{where} is missing" if isinstance(problem, KeyError) else f"{where} {problem}"
    for other in others:  # pragma: no cover - cattrs names the field of each; of another kind nothing is lost
        yield f"{path} {other}"


def wire_name(field: str) -> str:
    """Return OKX's spelling of a model's field: ``latest_interest_accrual`` is ``latestInterestAccrual``."""
    first, *others = field.split("_")
    return first + "".join(other.capitalize() for other in others)


def _read_str(value: object, _: object) -> str:
    if not isinstance(value, str):
        message = f"must be a string, not {shown(value)}"
        raise ValueError(message)  # noqa: TRY004 - whatever is wrong with a value on the wire is a ValueError
    if not value.isascii():
        # A lone surrogate is valid in JSON's escapes and can be neither printed nor sent on.
        value.encode()
    return value


def _read_list(value: object, kind: object) -> tuple[str, ...]:
    """Return the words of a list with commas; ``""`` is an empty one."""
    return tuple(word for word in _read_str(value, kind).split(",") if word)


def _read_decimal(value: object, _: object) -> Decimal:
    if isinstance(value, str) and _is_decimal(value):
        return Decimal(value)
    message = f"must be a string with a decimal number such as '0.5', not {shown(value)}"
    raise ValueError(message)


def _read_time(value: object, _: object) -> datetime:
    if isinstance(value, str) and _is_milliseconds(value):
        return _EPOCH + timedelta(milliseconds=int(value))
    message = f"must be a string with milliseconds since 1970 such as '1597026383085', not {shown(value)}"
    raise ValueError(message)


def _read_decimal_or_blank(value: object, kind: object) -> Decimal:
    return Decimal(0) if value == "" else _read_decimal(value, kind)


def _read_percentage(value: object, kind: object) -> Decimal:
    """Return the fraction that a percentage is, exactly: no arithmetic, which would round as the caller's context says."""
    sign, digits, exponent = _read_decimal(value, kind).as_tuple()
    # Only NaN and infinity have no exponent that is a number.
    return Decimal((sign, digits, int(exponent) - 2))


def _read_whole_number(value: object, kind: object) -> int:
    number = _read_decimal(value, kind)
    if number != int(number):
        message = f"must be a string with a whole number such as '2', not {shown(value)}"
        raise ValueError(message)
    return int(number)


def _unless_blank(read: Callable[[object, object], M]) -> Callable[[object, object], M | None]:
    """Return what reads ``""``, which stands for absent, as `None`."""
    return lambda value, kind: None if value == "" else read(value, kind)


def _read_word(value: object, kind: Callable[[str], M]) -> M:
    word = _read_str(value, kind)
    if not word:
        message = "must be a word, not ''"
        raise ValueError(message)
    return kind(word)


def _row_readers(*, detailed_validation: bool) -> dict[type, Callable[[object, object], Any]]:
    """Return the function that structures a row, by model: with all errors of a row, or with the first one only."""
    converter = Converter(detailed_validation=detailed_validation)
    converter.register_structure_hook(str, _read_str)
    converter.register_structure_hook(Decimal, _read_decimal)
    converter.register_structure_hook(datetime, _read_time)
    return {
        AccountConfig: _row_reader(
            converter, AccountConfig, perm=_read_list, ip=_read_list, type=_unless_blank(_read_str)
        ),
        Apy: _row_reader(converter, Apy),
        Balance: _row_reader(
            converter,
            Balance,
            latest_interest_accrual=_read_decimal_or_blank,
            total_interest_accrual=_read_decimal_or_blank,
        ),
        FundingBalance: _row_reader(converter, FundingBalance, frozen_bal=_read_decimal_or_blank),
        Order: _row_reader(
            converter,
            Order,
            type=_read_word,
            status=_read_word,
            completed_time=_unless_blank(_read_time),
            est_completed_time=_unless_blank(_read_time),
            redeeming_amt=_unless_blank(_read_decimal),
            ord_id=_unless_blank(_read_str),
        ),
        ProductInfo: _row_reader(converter, ProductInfo, rate=_read_percentage, redempt_days=_read_whole_number),
        SystemStatus: _row_reader(
            converter, SystemStatus, begin=_unless_blank(_read_time), end=_unless_blank(_read_time)
        ),
        SystemTime: _row_reader(converter, SystemTime),
    }


def _row_reader(
    converter: Converter, model: type[M], **hooks: Callable[[object, Any], object]
) -> Callable[[object, object], M]:
    """Return what structures a row as ``model``, with ``hooks`` for the fields that have a rule of their own."""
    fields = {
        field.name: override(rename=wire_name(field.name), struct_hook=hooks.get(field.name))
        for field in attrs.fields(model)  # type: ignore[arg-type] # each model is an attrs class
    }
    return make_dict_structure_fn(model, converter, **fields)  # type: ignore[arg-type,return-value] # as above


_FAST: Final = _row_readers(detailed_validation=False)


@cache
def _explaining_readers() -> dict[type, Callable[[object, object], Any]]:
    # Built at the first broken row: most processes never see one.
    return _row_readers(detailed_validation=True)
