"""Errors on stderr."""

import sys

import pytest

from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Refusal
from tests.support.terminals import set_of, terminal


def test_an_error_in_a_terminal_is_red_and_wrapped_at_words(as_user: Emulator) -> None:
    """No word is broken, and no line is wider than the terminal unless it is one word."""
    as_user.fail_next(Refusal("50119"), times=None)
    with terminal("balance", columns=60, **set_of(as_user)) as shown:
        assert 3 == shown.end()

    assert shown.raw.startswith("\x1b[31mokx-sol: ")
    lines = shown.text.splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 60 or " " not in line for line in lines)
    text = " ".join(lines)
    assert "/api/v5/finance/staking-defi/sol/balance" in text
    assert "(https://openapi.okx.com)," in text


def test_an_error_has_no_colour_where_none_is_wanted(as_user: Emulator) -> None:
    """NO_COLOR is obeyed."""
    as_user.fail_next(Refusal("50119"), times=None)
    with terminal("balance", NO_COLOR="1", **set_of(as_user)) as shown:
        assert 3 == shown.end()

    assert "\x1b[31m" not in shown.raw


def test_an_error_without_a_terminal_is_one_line(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that read stderr get lines that are not wrapped, and no colour."""
    as_user.fail_next(Refusal("50119"), times=None)

    assert 3 == run(["balance"])

    assert 2 == len(capsys.readouterr().err.splitlines())


def test_an_error_without_a_standard_error(as_user: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to write it to, the exit code says it."""
    as_user.fail_next(Refusal("50119"), times=None)
    monkeypatch.setattr(sys, "stderr", None)

    assert 3 == run(["balance"])
