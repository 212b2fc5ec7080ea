"""Messages of the command line name options and variables, not arguments of Python."""

import re
import socket

import pytest

from okx_sol_async._error_codes import CODES
from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Fault, Redirect, Refusal
from okx_sol_async.transport import _in_flight as in_flight

#: What cannot be typed into a shell, or has no meaning there.
OF_PYTHON = re.compile(r"Region\.|\b[a-z_]+=|\(\)|\b(base_url|max_wait|api_key|secret_key|Decimal|None)\b")


@pytest.mark.parametrize("code", [code for code, rule in CODES.items() if rule.hint])
def test_no_hint_speaks_of_python(code: str) -> None:
    """Every code's hint is one that somebody can follow in a terminal."""
    hint = CODES[code].hint or ""

    assert not OF_PYTHON.search(hint), hint


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (
            Refusal("50119"),
            (
                "This host does not know the key. A key works only in the region where its account was registered"
                " (OKX_REGION): global (https://openapi.okx.com), us (https://us.okx.com) or"
                " eea (https://eea.okx.com); and a demo key only in demo trading (OKX_DEMO=1)."
            ),
        ),
        (
            Refusal("50101"),
            "A demo key needs demo trading switched on (OKX_DEMO=1), and a live key needs it switched off.",
        ),
        (Refusal("50108"), "Check the API key (OKX_API_KEY) and the region (OKX_REGION)."),
        (Refusal("50114"), "Check OKX_API_KEY, OKX_SECRET_KEY and OKX_PASSPHRASE."),
        (
            Redirect("https://okx.example"),
            "Redirects are not followed, because they would carry signatures away: check the base URL (OKX_BASE_URL).",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value),
)
def test_hints_name_options_and_variables(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], fault: Fault, hint: str
) -> None:
    """What to do is said of what can be typed."""
    as_user.fail_next(fault, times=None)

    assert 0 != run(["balance"])

    assert hint == capsys.readouterr().err.splitlines()[1]


@pytest.mark.parametrize("msg", ["limit must be from 1 to 100", "amt must be a Decimal: see product_info(), demo=True"])
def test_what_okx_says_stays_as_it_is(as_user: Emulator, capsys: pytest.CaptureFixture[str], msg: str) -> None:
    """It does not speak of our options."""
    as_user.fail_next(Refusal("51000", msg=msg))

    assert 8 == run(["balance"])

    assert capsys.readouterr().err.startswith(f"okx-sol: {msg} (code 51000")


@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        ("OKX_API_KEY", "ключ", "has a character that is not ASCII"),
        ("OKX_SECRET_KEY", "a b", "has a space, a line break or a control character"),
        ("OKX_PASSPHRASE", "a\nb", "has a space, a line break or a control character"),
    ],
)
def test_a_key_that_was_copied_badly(
    as_user: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    wrong: str,
) -> None:
    """It is named as it is set."""
    monkeypatch.setenv(variable, value)

    assert 2 == run(["balance"])

    assert f"okx-sol: {variable} {wrong}: copy it again from OKX\n" == capsys.readouterr().err
    assert 0 == as_user.tally().received


@pytest.mark.parametrize(
    "arguments",
    [
        "balance --base-url http://127.0.0.1:9",
        "balance --base-url http://okx.example",
        "balance --base-url https://okx.example/path",
        "history --limit 0",
        "history --since 1960-01-01",
        "apy --days 0",
        "watch --every 0",
        "purchase one --yes",
        "purchase 0 --yes",
        "purchase 0.0000000000001 --yes",
        "emulator --port -1",
    ],
)
def test_no_message_speaks_of_python(as_user: Emulator, capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    """Neither does what is said of options."""
    assert 0 != run(arguments.split())

    text = capsys.readouterr().err
    assert not OF_PYTHON.search(text), text


def test_what_comes_too_late_and_over_no_safe_connection(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no option for more time, so none is spoken of; and the host is one that can be set."""
    with monkeypatch.context() as hurry:
        hurry.setattr(in_flight.AttemptTimeouts, "begin", lambda timeouts, one, loop, now: loop.call_soon(one.expire))
        assert 9 == run(["balance"])
    assert 10 == run(["balance", "--base-url", as_user.url.replace("http:", "https:")])
    text = capsys.readouterr().err

    assert "okx-sol: no whole response within 10 s (GET" in text
    assert not OF_PYTHON.search(text), text


def test_what_is_logged_speaks_so_too(
    as_user: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that has no address is reported with what to check."""

    def not_found(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    monkeypatch.setenv("OKX_BASE_URL", as_user.url.replace("127.0.0.1", "localhost"))

    assert 10 == run(["balance"])
    assert "Check the network and the base URL (OKX_BASE_URL)." in capsys.readouterr().err
