import copy
import traceback
from collections.abc import Callable

import attrs
import pytest

from okx_sol_async import ConfigurationError, Credentials

KEY = "8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3"
SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
PASSPHRASE = "Test-Pass#1"


def test_the_three_are_plain_attributes() -> None:
    """What was given can be read, and cannot be changed."""
    credentials = Credentials(KEY, SECRET, PASSPHRASE, "alice")

    assert (KEY, SECRET, PASSPHRASE, "alice") == (
        credentials.api_key,
        credentials.secret_key,
        credentials.passphrase,
        credentials.user_id,
    )
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        credentials.api_key = "other"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del credentials.api_key
    assert KEY == credentials.api_key
    assert (credentials == KEY) is False


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, lambda value: repr([value])])
def test_credentials_show_four_characters_of_the_key_and_nothing_else(show: Callable[[object], str]) -> None:
    """Secret and passphrase show nowhere; the key shows its last four characters."""
    shown = show(Credentials(KEY, SECRET, PASSPHRASE))

    assert "b2c3" in shown
    assert KEY[-5:] not in shown
    assert SECRET not in shown
    assert PASSPHRASE not in shown


def test_a_short_key_does_not_show_at_all() -> None:
    """The last four characters of a key of four are the key."""
    assert "abcd" not in repr(Credentials("abcd", SECRET, PASSPHRASE))


@pytest.mark.parametrize("field", ["api_key", "secret_key", "passphrase"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "empty"),
        ("pässwörd-1", "ASCII"),
        ("with space-1", "space"),
        (" leading-1", "space"),
        ("trailing-1\n", "line break"),
        ("tab\tinside-1", "control"),
        ("nul\x00inside-1", "control"),
        ("del\x7finside-1", "control"),
        (b"bytes-1", "bytes"),
        (None, "NoneType"),
    ],
)
def test_a_bad_value_is_named_by_its_field_and_never_shown(field: str, value: object, problem: str) -> None:
    """A value that cannot be sent is refused; no part of the error, with captured locals, holds it or the others."""
    values = {"api_key": KEY, "secret_key": SECRET, "passphrase": PASSPHRASE} | {field: value}

    with pytest.raises(ConfigurationError, match=problem) as caught:
        Credentials(**values)

    assert field in str(caught.value)
    below_the_test = caught.value.__traceback__.tb_next
    frames = traceback.StackSummary.extract(traceback.walk_tb(below_the_test), capture_locals=True)
    seen_text = "".join(frames.format()) + repr(caught.value) + str(caught.value)
    for secret in (KEY, SECRET, PASSPHRASE, value):
        assert not isinstance(secret, str | bytes) or not secret or repr(secret)[1:-1] not in seen_text


@pytest.mark.parametrize("user_id", ["", 5, b"alice"])
def test_a_user_id_is_a_label_or_none(user_id: object) -> None:
    """An empty label would put strangers in one bucket."""
    with pytest.raises(ConfigurationError, match="user_id"):
        Credentials(KEY, SECRET, PASSPHRASE, user_id)  # type: ignore[arg-type]


def test_a_label_and_a_key_are_never_the_same_owner() -> None:
    """A user may choose any label, even one that looks like another key's hash."""
    by_key = Credentials(KEY, SECRET, PASSPHRASE)
    look_alike = Credentials("other", SECRET, PASSPHRASE, user_id=by_key.owner)

    assert by_key.owner != look_alike.owner
    assert KEY not in by_key.owner
    assert by_key.owner == by_key.key_owner
    assert "user:alice" == Credentials(KEY, SECRET, PASSPHRASE, user_id="alice").owner


def test_the_owner_is_the_key_and_not_the_secret() -> None:
    """A mistyped secret does not make a second user of one key."""
    assert Credentials(KEY, SECRET, PASSPHRASE).owner == Credentials(KEY, "mistyped", "mistyped").owner


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` reads the four variables."""
    monkeypatch.setenv("OKX_API_KEY", KEY)
    monkeypatch.setenv("OKX_SECRET_KEY", SECRET)
    monkeypatch.setenv("OKX_PASSPHRASE", PASSPHRASE)

    assert Credentials(KEY, SECRET, PASSPHRASE) == Credentials.from_env()

    monkeypatch.setenv("OKX_USER_ID", "alice")

    assert Credentials(KEY, SECRET, PASSPHRASE, "alice") == Credentials.from_env()


def test_every_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look at the error is enough to set all of them."""
    monkeypatch.setenv("OKX_API_KEY", KEY)
    monkeypatch.setenv("OKX_PASSPHRASE", "")

    with pytest.raises(ConfigurationError) as caught:
        Credentials.from_env()

    assert "OKX_SECRET_KEY" in str(caught.value)
    assert "OKX_PASSPHRASE" in str(caught.value)
    assert "OKX_API_KEY" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_copies_are_equal_and_as_silent() -> None:
    """A copy is the same credentials."""
    credentials = Credentials(KEY, SECRET, PASSPHRASE, "alice")

    assert credentials == copy.deepcopy(credentials)
    assert hash(credentials) == hash(copy.copy(credentials))
    assert SECRET not in repr(copy.deepcopy(credentials))


def test_what_a_server_echoes_is_taken_out() -> None:
    """Neither the plain values nor their JSON spelling stay in a text."""
    credentials = Credentials(KEY, SECRET, 'quoted"pass')

    text = credentials.redact(f'{KEY} {SECRET} quoted"pass quoted\\"pass')

    assert "…b2c3 *** *** ***" == text
