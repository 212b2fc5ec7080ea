"""``okx-sol balance``."""

import json

import pytest

from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator


def test_the_balance_of_the_emulator_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """No account and no network are needed."""
    assert 0 == run(["balance", "--emulator"])
    assert [
        "Staked           0.01100012 OKSOL",
        "Latest interest  0.00000012 OKSOL",
        "Total interest   0.00000012 OKSOL",
    ] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("demo", [[], ["--demo"]])
def test_the_balance_in_json(capsys: pytest.CaptureFixture[str], demo: list[str]) -> None:
    """One object, with exact decimal strings."""
    assert 0 == run(["balance", "--emulator", "--json", *demo])
    assert {
        "ccy": "OKSOL",
        "amt": "0.01100012",
        "latest_interest_accrual": "0.00000012",
        "total_interest_accrual": "0.00000012",
    } == json.loads(capsys.readouterr().out)


def test_the_balance_of_the_user_in_the_environment(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys and settings come from there."""
    assert 0 == run(["balance"])
    assert "0.01100012" in capsys.readouterr().out
    assert 1 == as_user.tally().accepted


def test_an_argument_wins_over_the_environment(
    as_user: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--base-url` is looked at before ``OKX_BASE_URL``."""
    monkeypatch.setenv("OKX_BASE_URL", "http://127.0.0.1:9")

    assert 0 == run(["balance", "--base-url", as_user.url])


@pytest.mark.parametrize("columns", ["5", "20", "40", "200"])
def test_a_number_is_never_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    """A narrow terminal wraps the line, and the amount stays whole."""
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == run(["balance", "--emulator"])
    assert "Staked           0.01100012 OKSOL" in capsys.readouterr().out
