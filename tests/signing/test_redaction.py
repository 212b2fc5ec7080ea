"""Secrets are taken out of a text wherever they stand in it, whole or in part."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import Credentials
from okx_sol_async.signing._redaction import PART

KEY = "8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3"
SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
PASSPHRASE = 'quoted"Passphrase#7'
SIGNATURE = "cGxlYXNlLXJlcGxhY2UtdGhpcy1zaWduYXR1cmUtbm93IQ=="
CREDENTIALS = Credentials(KEY, SECRET, PASSPHRASE)
SPELLINGS = {
    "secret": SECRET,
    "passphrase": PASSPHRASE,
    "passphrase in JSON": json.dumps(PASSPHRASE)[1:-1],
    "signature": SIGNATURE,
}
PARTS = {
    "whole": slice(None),
    "first eight": slice(8),
    "last eight": slice(-8, None),
    "in the middle": slice(3, 12),
    "all but the first": slice(1, None),
    "all but the last": slice(None, -1),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", SPELLINGS)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("", " after"), ("before ", ""), ("before ", " after")])
def test_a_secret_is_taken_out_wherever_it_stands(value: str, part: str, before: str, after: str) -> None:
    """At the beginning, in the middle and at the end of a text, and nothing else is."""
    text = f"{before}{SPELLINGS[value][PARTS[part]]}{after}"

    assert f"{before}***{after}" == CREDENTIALS.redact(text, SIGNATURE)


@pytest.mark.parametrize("value", SPELLINGS)
def test_every_part_of_eight_characters_is_taken_out(value: str) -> None:
    """Wherever in the secret it begins."""
    secret = SPELLINGS[value]
    for start in range(len(secret) - 7):
        assert "***" == CREDENTIALS.redact(secret[start : start + 8], SIGNATURE)


@pytest.mark.parametrize("after", range(7))
@pytest.mark.parametrize("before", range(7))
def test_a_part_is_taken_out_wherever_it_stands(before: int, after: int) -> None:
    """Behind and before any number of characters."""
    shown = CREDENTIALS.redact("x" * before + SECRET[5:13] + "x" * after)

    assert "x" * before + "***" + "x" * after == shown


def test_a_passphrase_with_a_backslash_is_taken_out_in_json() -> None:
    """Where it has two of them."""
    for passphrase in ("ab\\c", 'ab"c', "a\\b-longer"):
        credentials = Credentials(KEY, SECRET, passphrase)
        assert '{"msg": "***"}' == credentials.redact(json.dumps({"msg": passphrase}))


def test_seven_characters_are_no_part() -> None:
    """Shorter pieces may stand in any text."""
    for text in (SECRET[:7], PASSPHRASE[-7:], SIGNATURE[4:11]):
        assert text == CREDENTIALS.redact(text, SIGNATURE)


def test_each_of_several_is_taken_out() -> None:
    """Twice the same one, and two that follow each other."""
    assert "*** and ***" == CREDENTIALS.redact(f"{SECRET} and {SECRET}")
    assert "***, ***" == CREDENTIALS.redact(f"{SECRET[:9]}, {SECRET[:9]}")
    assert {*"*"} == set(CREDENTIALS.redact(SECRET + PASSPHRASE))


@pytest.mark.parametrize(("before", "after"), [("", ""), ("", " after"), ("before ", "")])
def test_a_key_shows_its_last_four_characters(before: str, after: str) -> None:
    """As its repr does."""
    assert f"{before}…b2c3{after}" == CREDENTIALS.redact(f"{before}{KEY}{after}")


@pytest.mark.parametrize(("value", "hidden"), [("abc", False), ("abcd", True), ("abcdefg", True)])
def test_a_short_value_is_taken_out_from_four_characters_on(value: str, *, hidden: bool) -> None:
    """Three characters are in every text, and no secret."""
    credentials = Credentials(KEY, SECRET, value)

    assert ("<***>" if hidden else f"<{value}>") == credentials.redact(f"<{value}>")


def test_a_short_key_shows_nothing() -> None:
    """The last four characters of a key of four are the key."""
    assert "<…>" == Credentials("abcd", SECRET, PASSPHRASE).redact("<abcd>")
    assert "<…bcde>" == Credentials("abcde", SECRET, PASSPHRASE).redact("<abcde>")


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_no_part_of_any_secret_is_left(secret: str, before: str, after: str) -> None:
    """Whatever it is made of, and whatever stands around it."""
    credentials = Credentials(KEY, secret, "a-passphrase-0")
    shown = credentials.redact(f"{before}{secret}{after}")

    assert not [start for start in range(len(secret) - 7) if secret[start : start + 8] in shown.replace("***", "\0")]


def test_the_end_of_a_passphrase_in_json_is_taken_out() -> None:
    """The last eight characters of its spelling are a part of it too."""
    passphrase = 'Passphrase#7"'

    assert "***" == Credentials(KEY, SECRET, passphrase).redact(json.dumps(passphrase)[1:-1][-PART:])


def test_parts_that_overlap_are_taken_out_to_the_last_character() -> None:
    """A secret of one character over and over has its parts at each place."""
    assert "***" == Credentials(KEY, "a" * 32, PASSPHRASE).redact("a" * (PART + 1))
