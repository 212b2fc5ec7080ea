"""The outer object of a response, by itself."""

import json

import pytest

from okx_sol_async import DecodeError
from okx_sol_async.codec._envelope import MAX_BODY, Envelope, read_envelope, shown, wrong_type


@pytest.mark.parametrize(
    ("body", "envelope"),
    [
        ('{"code": "0", "msg": "", "data": []}', Envelope("0", "", [])),
        ('{"code": "50011", "msg": "Too Many Requests"}', Envelope("50011", "Too Many Requests", None)),
        ('{"code": 50011, "msg": null, "data": {}}', Envelope("50011", "", {})),
        ('{"code": "1", "data": "x", "new": 1}', Envelope("1", "", "x")),
    ],
)
def test_the_three_parts(body: str, envelope: Envelope) -> None:
    """The code is a string, the message too, and the data is whatever stands there."""
    assert envelope == read_envelope(body.encode())


def test_the_longest_response() -> None:
    """A body of exactly the limit is read, and one byte more is refused unread."""
    whole = json.dumps({"code": "0"})

    assert "0" == read_envelope(whole.ljust(MAX_BODY).encode()).code
    assert 1024 * 1024 == MAX_BODY
    with pytest.raises(DecodeError, match="longer than 1048576 bytes"):
        read_envelope(whole.ljust(MAX_BODY + 1).encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "True"),
        (5, "5"),
        (0.5, "0.5"),
        ("é", r"'\xe9'"),
        ([], "an array"),
        ({}, "an object"),
        (10**40, "a huge number"),
        (-(10**40), "a huge number"),
    ],
)
def test_a_value_in_a_message(value: object, text: str) -> None:
    """A value is shown by its beginning, in ASCII."""
    assert text == shown(value)
    assert f"$.x must be a word, not {text}" == wrong_type("$.x", "a word", value)


@pytest.mark.parametrize("value", ["x" * 100, 10**40 - 1, 1 - 10**40])
def test_a_long_value_is_cut(value: object) -> None:
    """No more than forty characters of a value are shown."""
    assert 40 == len(shown(value))


@pytest.mark.parametrize("body", ["NaN", "-Infinity", '{"code": NaN}', "[" * 100_000])
def test_what_is_not_json(body: str) -> None:
    """Constants that Python would read, and what is nested too deeply, are refused."""
    with pytest.raises(DecodeError, match="the response is not JSON: ") as caught:
        read_envelope(body.encode())

    assert len(caught.value.message) < 80
