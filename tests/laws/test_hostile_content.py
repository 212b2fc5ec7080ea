"""Whatever a response holds, it is a result or an `OKXError`, and needs little memory."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import (
    ACCOUNT_CONFIG,
    BALANCE,
    DecodeError,
    Endpoint,
    OKXError,
)
from okx_sol_async.codec._envelope import MAX_BODY
from okx_sol_async.endpoint import SYSTEM_TIME
from tests.support.garbage import ANSWER, MEBIBYTE, STRANGE, bodies
from tests.support.responses import result_of
from tests.support.scripted import GOOD, ROW


def decode(body: bytes, endpoint: Endpoint[object] = BALANCE, status: int = 200) -> object:
    return result_of(endpoint, status, body)


def outcome_of(body: bytes, endpoint: Endpoint[object] = BALANCE, status: int = 200) -> object:
    """Return the result, or the error of ours, which is short and can be printed."""
    try:
        return decode(body, endpoint, status)
    except OKXError as error:
        shown = error
    assert str(shown).isprintable()
    assert len(str(shown)) < 400
    return shown


def replaced(value: object, path: tuple[object, ...], by: object) -> object:
    if not path:
        return by
    if isinstance(value, dict):
        return {key: replaced(item, path[1:], by) if key == path[0] else item for key, item in value.items()}
    assert isinstance(value, list)
    return [replaced(item, path[1:], by) if number == path[0] else item for number, item in enumerate(value)]


ROWS = {
    BALANCE: ROW,
    ACCOUNT_CONFIG: {"uid": "44705892343619584", "mainUid": "44705892343619584"},
    SYSTEM_TIME: {"ts": "1597026383085"},
}


PLACES = [
    (endpoint, path)
    for endpoint, row in ROWS.items()
    for path in [(), ("code",), ("msg",), ("data",), ("data", 0), *(("data", 0, field) for field in row)]
]


@pytest.mark.parametrize(
    ("endpoint", "path"),
    PLACES,
    ids=lambda value: str(value) if isinstance(value, Endpoint) else ".".join(map(str, value)),
)
def test_a_wrong_type_at_any_place_is_reported_or_harmless(
    endpoint: Endpoint[object], path: tuple[object, ...]
) -> None:
    """It ends in an `OKXError` that names the place, or what was there did not matter."""
    answer = {"code": "0", "msg": "", "data": [ROWS[endpoint]]}
    good = decode(json.dumps(answer).encode(), endpoint)
    for value in STRANGE:
        body = json.dumps(replaced(answer, path, value)).encode()
        found = outcome_of(body, endpoint)
        if isinstance(found, DecodeError):
            place = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
            assert found.message.startswith(place)
        else:
            assert isinstance(found, OKXError) or type(found) is type(good)


@pytest.mark.parametrize("msg", ["a: b", '"x":1', "::::", "日本語：", '{"amt":"1"}'])
def test_colons_in_strings_do_no_harm(msg: str) -> None:
    """They are not counted as keys."""
    assert decode(GOOD) == decode(json.dumps({**ANSWER, "msg": msg, "more": {"a": {"b": [1, {"c": 2}]}}}).encode())


HEAVY = {
    "nested": b"[" * MEBIBYTE,
    "nested within limits": b'{"code":"0","data":' + b"[" * 900 + b"]" * 900 + b"}",
    "nested objects": b'{"code":"0","data":' + b'{"a":' * 200_000,
    "empty lists": b'{"code":"0","data":[' + b"[]," * 60_000 + b"[]]}",
    "empty rows": b'{"code":"0","data":[' + b"{}," * 60_000 + b"{}]}",
    "one key many times": b'{"code":"0",' + b'"a":1,' * 30_000 + b'"data":[]}',
    "many keys and one twice": b'{"code":"0",' + b"".join(b'"%d":1,' % n for n in range(20_000)) + b'"0":1,"data":[]}',
    "digits": b'{"code":"0","data":[],"x":' + b"1" * 1_000_000 + b"}",
    "digits after the point": b'{"code":"0","data":[],"x":0.' + b"1" * 1_000_000 + b"}",
    "numbers of many digits": b'{"code":"0","data":[],"x":[' + (b"1" * 3900 + b",") * 260 + b"1]}",
    "amount of many digits": GOOD.replace(b'"1"', b'"' + b"1" * 10_000 + b'"'),
    "exponent": GOOD.replace(b'"1"', b"1e999999999"),
    "code of many digits": b'{"code":' + b"1" * 3999 + b"}",
    "surrogates": GOOD.replace(b"OKSOL", b"\\ud800" * 100_000),
    "NUL": GOOD.replace(b"OKSOL", b"\0"),
    "escaped NUL": GOOD.replace(b"OKSOL", b"\\u0000"),
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "Latin-1": GOOD.replace(b"OKSOL", b"\xe4"),
    "too long": b" " * (MAX_BODY + 1),
    "long message": json.dumps({"code": "51000", "msg": "\u202e\x1b" * 100_000}).encode(),
}


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_content_needs_little_memory(name: str) -> None:
    """No more than thirty times the longest response, and the error is a short one."""
    tracemalloc.start()
    try:
        outcome_of(HEAVY[name])
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 30 * MAX_BODY


@given(bodies, st.sampled_from([BALANCE, ACCOUNT_CONFIG, SYSTEM_TIME]), st.integers(100, 599))
def test_any_content_is_a_result_or_an_error_of_ours(body: bytes, endpoint: Endpoint[object], status: int) -> None:
    """Never anything else."""
    found = outcome_of(body, endpoint, status)

    assert isinstance(found, OKXError) or type(found).__module__ == "okx_sol_async.models"
