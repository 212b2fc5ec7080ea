"""How OKX writes things down: the envelope around an answer, and the rules by which its rows become models.

Everything here is a function of plain values. What does not fit is a `DecodeError` that says where.

`OKX: REST <https://www.okx.com/docs-v5/en/#overview-rest-authentication>`_
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple, NoReturn, TypeVar

import attrs
from cattrs import BaseValidationError, ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

from okx_sol_async.errors import DecodeError, api_error, one_line
from okx_sol_async.models import AccountConfig, Apy, Balance, Order, OrderStatus, OrderType, ProductInfo, SystemTime

M = TypeVar("M")

#: The most bytes of an answer, after decompression. A full page of history has 20 kB.
ANSWER_LIMIT: Final = 1024 * 1024
# Numbers with more digits are not money.
_DECIMAL: Final = re.compile(r"-?[0-9]{1,128}(?:\.[0-9]{1,128})?", re.ASCII)
# 13 digits last until 2286.
_MILLISECONDS: Final = re.compile(r"[0-9]{1,14}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN: Final = 40
_LONGEST_INT: Final = 4000
_NOT_OKX: Final = (
    "Something else answers in OKX's place, such as a proxy or a login page: check the network and base_url."
)


class Envelope(NamedTuple):
    """What OKX wraps around each answer."""

    #: ``"0"`` for success.
    code: str
    #: Why not, in the language of the account.
    msg: str
    #: The rows; `None` where it is missing, as it is in refusals.
    data: object


def read_envelope(body: bytes) -> Envelope:
    """Read the envelope of an answer.

    Raises:
        DecodeError: ``body`` is longer than `ANSWER_LIMIT`, not JSON in UTF-8, not an object, has no ``code``, or has a
            key twice.

    """
    if len(body) > ANSWER_LIMIT:
        message = f"the answer is longer than {ANSWER_LIMIT} bytes"
        raise DecodeError(message)
    try:
        text = body.decode()
        answer = _JSON.decode(text)
        if body.count(b":") != _keys(answer):
            # A colon in a string, an object in a row, or a key that stands there twice and had another value.
            _CAREFUL_JSON.decode(text)
    except (ValueError, RecursionError) as error:
        message = f"the answer is not JSON: {one_line(f'{error}', _SHOWN)}"
        raise DecodeError(message) from None
    if not isinstance(answer, dict):
        raise DecodeError(_wrong("$", "an object", answer))
    code, msg = answer.get("code"), answer.get("msg", "")
    if isinstance(code, bool) or not isinstance(code, str | int):
        raise DecodeError(_wrong("$.code", "a string or a whole number", code))
    return Envelope(str(code), msg if isinstance(msg, str) else "", answer.get("data"))


def read_answer(status: int, body: bytes) -> object:
    """Return the ``data`` of a successful answer.

    Args:
        status: the HTTP status.
        body: the content of the answer.

    Raises:
        APIError: OKX refused, with the class that its code asks for, or the HTTP status where there is no envelope.
        DecodeError: the status says success and there is no envelope.

    """
    succeeded = 200 <= status < 300
    try:
        envelope = read_envelope(body)
    except DecodeError as error:
        if succeeded:
            raise _not_okx(error, body) from None
        raise api_error(status=status) from None
    if envelope.code != "0":
        raise api_error(status=status, code=one_line(envelope.code, _SHOWN), msg=envelope.msg)
    if not succeeded:
        raise api_error(status=status, msg=envelope.msg)
    return envelope.data


def _not_okx(error: DecodeError, body: bytes) -> DecodeError:
    """Return ``error`` with what the answer begins with. It is of something in front of OKX, which may pass."""
    excerpt = one_line(body[: 8 * _SHOWN].decode(errors="backslashreplace"), 2 * _SHOWN)
    failure = DecodeError(f"{error.message}; the answer begins with {excerpt!a}", hint=_NOT_OKX)
    failure.transient = True
    return failure


def read_rows(data: object, model: type[M]) -> tuple[M, ...]:
    """Read the rows of an answer, each as a ``model``.

    Raises:
        DecodeError: ``data`` is not an array, or a row is broken; the message names the place (``$.data[0].amt``).

    """
    if not isinstance(data, list):
        raise DecodeError(_wrong("$.data", "an array", data))
    return tuple([_read_row(row, model, index) for index, row in enumerate(data)])


def read_row(data: object, model: type[M]) -> M:
    """Read an answer that is one row, as an object or as an array of one.

    Raises:
        DecodeError: ``data`` is neither, or the row is broken; the message names the place (``$.data.amt``).

    """
    if not isinstance(data, list):
        return _read_row(data, model)
    if len(data) != 1:
        message = f"$.data must hold one row, not {len(data)}"
        raise DecodeError(message)
    return _read_row(data[0], model, 0)


def _read_row(row: object, model: type[M], index: int | None = None) -> M:
    if isinstance(row, dict):
        try:
            return _QUICK.structure(row, model)
        except Exception:  # noqa: BLE001, S110 - whatever it was, the thorough converter says where
            pass
    path = "$.data" if index is None else f"$.data[{index}]"
    if not isinstance(row, dict):
        raise DecodeError(_wrong(path, "an object", row))
    try:
        return _THOROUGH.structure(row, model)
    except BaseValidationError as error:
        message = "; ".join(_problems(error, path))
    raise DecodeError(message)


def _problems(error: BaseValidationError, path: str) -> Iterator[str]:
    fields, others = error.group_exceptions() if isinstance(error, ClassValidationError) else ([], error.exceptions)
    for problem, note in fields:
        where = f"{path}.{wire_name(note.name)}"
        yield f"{where} is missing" if isinstance(problem, KeyError) else f"{where} {problem}"
    for other in others:
        yield f"{path} {other}"


def wire_name(field: str) -> str:
    """Return OKX's spelling of a model's field: ``latest_interest_accrual`` is ``latestInterestAccrual``."""
    first, *others = field.split("_")
    return first + "".join(other.capitalize() for other in others)


def _wrong(path: str, wanted: str, value: object) -> str:
    return f"{path} must be {wanted}, not {_show(value)}"


def _show(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str | int | float):
        shown = ascii(value) if not isinstance(value, int) or abs(value) < 10**_SHOWN else "a huge number"
        return one_line(shown, _SHOWN)
    return "an array" if isinstance(value, list) else "an object"


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _read_int(digits: str) -> int:
    # Python has a limit of its own, which may be switched off.
    if len(digits) > _LONGEST_INT:
        message = f"a whole number has {len(digits)} digits"
        raise ValueError(message)
    return int(digits)


def _read_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        last = {name: number for number, (name, _) in enumerate(pairs)}
        twice = next(name for number, (name, _) in enumerate(pairs) if last[name] != number)
        message = f"the key {twice[:_SHOWN]!a} stands there twice"
        raise ValueError(message)
    return found


def _keys(answer: object) -> int:
    """Count the keys of an envelope and of its rows. If there are as many colons, none of them stands there twice."""
    if not isinstance(answer, dict):
        return 0
    keys = len(answer)
    data = answer.get("data")
    if isinstance(data, list):
        for row in data:
            if isinstance(row, dict):
                keys += len(row)
    return keys


_JSON: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_read_int)
_CAREFUL_JSON: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_read_int, object_pairs_hook=_read_object
)


def _read_str(value: object, _: object) -> str:
    if not isinstance(value, str):
        message = f"must be a string, not {_show(value)}"
        raise ValueError(message)  # noqa: TRY004 - whatever is wrong with a value on the wire is a ValueError
    if not value.isascii():
        # A lone surrogate is valid in JSON's escapes and can be neither printed nor sent on.
        value.encode()
    return value


def _read_decimal(value: object, _: object) -> Decimal:
    if not isinstance(value, str) or _DECIMAL.fullmatch(value) is None:
        message = f"must be a string with a decimal number such as '0.5', not {_show(value)}"
        raise ValueError(message)
    return Decimal(value)


def _read_time(value: object, _: object) -> datetime:
    if not isinstance(value, str) or _MILLISECONDS.fullmatch(value) is None:
        message = f"must be a string with milliseconds since 1970 such as '1597026383085', not {_show(value)}"
        raise ValueError(message)
    return _EPOCH + timedelta(milliseconds=int(value))


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
        message = f"must be a string with a whole number such as '2', not {_show(value)}"
        raise ValueError(message)
    return int(number)


def _unless_blank(read: Callable[[object, object], M]) -> Callable[[object, object], M | None]:
    """Return what reads ``""``, which stands for absent, as `None`."""
    return lambda value, kind: None if value == "" else read(value, kind)


def _read_order_type(value: object, kind: object) -> OrderType:
    return OrderType(_read_word(value, kind))


def _read_order_status(value: object, kind: object) -> OrderStatus:
    return OrderStatus(_read_word(value, kind))


def _read_word(value: object, kind: object) -> str:
    word = _read_str(value, kind)
    if not word:
        message = "must be a word, not ''"
        raise ValueError(message)
    return word


def _converter(*, detailed_validation: bool) -> Converter:
    """Return a converter with every rule of the wire."""
    converter = Converter(detailed_validation=detailed_validation)
    converter.register_structure_hook(str, _read_str)
    converter.register_structure_hook(Decimal, _read_decimal)
    converter.register_structure_hook(datetime, _read_time)
    _teach(converter, AccountConfig)
    _teach(converter, SystemTime)
    _teach(
        converter,
        Balance,
        latest_interest_accrual=_read_decimal_or_blank,
        total_interest_accrual=_read_decimal_or_blank,
    )
    _teach(converter, ProductInfo, rate=_read_percentage, redempt_days=_read_whole_number)
    _teach(
        converter,
        Order,
        type=_read_order_type,
        status=_read_order_status,
        completed_time=_unless_blank(_read_time),
        est_completed_time=_unless_blank(_read_time),
        redeeming_amt=_unless_blank(_read_decimal),
        ord_id=_unless_blank(_read_str),
    )
    _teach(converter, Apy)
    return converter


def _teach(converter: Converter, model: type[M], **hooks: Callable[[object, object], object]) -> None:
    """Teach ``model``: OKX's spelling of each field, and ``hooks`` for the fields with a rule of their own."""
    fields = {
        field.name: override(rename=wire_name(field.name), struct_hook=hooks.get(field.name))
        for field in attrs.fields(model)  # type: ignore[arg-type] # each model is an attrs class
    }
    read = make_dict_structure_fn(model, converter, **fields)  # type: ignore[arg-type] # no field is named _cattrs_*
    converter.register_structure_hook(model, read)


# What reads a good row fast, and what tells everything that is wrong with a bad one.
_QUICK: Final = _converter(detailed_validation=False)
_THOROUGH: Final = _converter(detailed_validation=True)
