"""The envelope that OKX wraps around the data of each response: a code, a message, and the data.

`OKX: REST <https://www.okx.com/docs-v5/en/#overview-rest-authentication>`_
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple, NoReturn

from okx_sol_async._error_codes import one_line
from okx_sol_async.errors import DecodeError

#: The most bytes of a response, after decompression. A full page of history has 20 kB.
MAX_BODY: Final = 1024 * 1024
_SHOWN: Final = 40
_EXTRA_DATA: Final = "Extra data"


class Envelope(NamedTuple):
    """The outer object of a response."""

    #: ``"0"`` for success.
    code: str
    #: Why OKX refused, in the language of the account; empty on success.
    msg: str
    #: The rows; `None` where it is missing, as in most refusals.
    data: object


def read_envelope(body: bytes) -> Envelope:
    """Read the envelope of a response."""
    if len(body) > MAX_BODY:
        message = f"the response is longer than {MAX_BODY} bytes"
        raise DecodeError(message)
    try:
        # `JSONDecoder.decode` looks for white space around the value with a regular expression, twice.
        text = body.decode().strip(" \t\n\r")
        response, end = _raw_decode(text)
        if end != len(text):
            raise json.JSONDecodeError(_EXTRA_DATA, text, end)
    except (ValueError, RecursionError) as error:
        message = f"the response is not JSON: {one_line(f'{error}', _SHOWN)}"
        raise DecodeError(message) from None
    if type(response) is not dict:
        raise DecodeError(wrong_type("$", "an object", response))
    code, msg = response.get("code"), response.get("msg", "")
    if type(code) is not str:
        if type(code) is not int:
            raise DecodeError(wrong_type("$.code", "a string or a whole number", code))
        code = str(code)
    return tuple.__new__(Envelope, (code, msg if isinstance(msg, str) else "", response.get("data")))


def wrong_type(path: str, wanted: str, value: object) -> str:
    """Return the sentence that the value at ``path`` is not what is ``wanted``."""
    return f"{path} must be {wanted}, not {shown(value)}"


def shown(value: object) -> str:
    """Return a value of JSON for a message: short, and never more than its beginning."""
    if value is None:
        return "null"
    if isinstance(value, str | int | float):
        text = ascii(value) if not isinstance(value, int) or abs(value) < 10**_SHOWN else "a huge number"
        return one_line(text, _SHOWN)
    return "an array" if isinstance(value, list) else "an object"


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


_raw_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
