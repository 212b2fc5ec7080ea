"""What the commands print, to the letter."""

import pytest
from syrupy.assertion import SnapshotAssertion

from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator, faults
from okx_sol_async.staking import _reconciliation as outcomes


@pytest.mark.parametrize("columns", ["40", "80", "120", "140"])
@pytest.mark.parametrize("arguments", ["balance", "product", "history", "apy", "apy --days 365", "apy --days 7"])
def test_output_for_people(
    then: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
    arguments: str,
    columns: str,
) -> None:
    """What is printed fits terminals of usual widths, and is known to the letter."""
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == run(arguments.split())

    printed = capsys.readouterr().out
    assert columns == "40" or max(map(len, printed.splitlines())) <= int(columns)
    assert snapshot == printed


@pytest.mark.parametrize("colour", ["FORCE_COLOR", "NO_COLOR"])
def test_output_for_people_in_colour(
    then: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
    colour: str,
) -> None:
    """What is pending or has failed stands out, in colours of the terminal's own, unless somebody wants none."""
    monkeypatch.setenv(colour, "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    assert 0 == run(["history"])

    assert snapshot == capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        "product --json",
        "history --json",
        "history --csv",
        "history --type purchase --status success",
        "history --since 2026-10-13 --until 2026-11-22",
        "history --limit 1 --json",
        "apy --days 3 --json",
        "apy --days 3 --csv",
        "apy --days 1",
    ],
)
def test_output_for_programs(
    then: Emulator, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion, arguments: str
) -> None:
    """Machine formats are exact, whatever the width is, and known to the letter."""
    assert 0 == run(arguments.split())

    assert snapshot == capsys.readouterr().out


@pytest.mark.parametrize("command", ["balance", "product", "history", "apy", "purchase 1 --yes", "redeem 0.01 --yes"])
def test_there_is_something_to_see_without_an_account(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """The local exchange of the command line has a user who has done something."""
    assert 0 == run([*command.split(), "--emulator"])
    assert "no " not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        "history --json --csv",
        "apy --json --csv",
        "apy --json --svg /dev/null",
        "apy --days 0",
        "apy --days 366",
        "apy --days many",
        "history --since yesterday",
        "history --until 22.11.2026",
        "history --limit 0",
        "history --type gift",
        "history --status fine",
        "watch --every 0",
        "watch --every nan",
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    then: Emulator, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    """Nothing is sent, and one or two lines say what is wrong."""
    assert 2 == run(arguments.split())

    output = capsys.readouterr()
    assert "" == output.out
    assert 1 <= len(output.err.splitlines()) <= 2
    assert 0 == then.tally().received


@pytest.mark.parametrize(
    "arguments", ["balance", "product --json", "history --csv", "apy", "purchase 1 --yes", "redeem 0.001 --yes"]
)
@pytest.mark.parametrize("trouble", [None, faults.Refusal("50113"), faults.Page(status=404)])
def test_no_command_shows_a_secret(
    as_user: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    trouble: faults.Fault | None,
) -> None:
    """Neither when it works nor when it fails."""
    monkeypatch.setattr(outcomes, "SETTLED", 0.0)
    if trouble is not None:
        as_user.fail_next(trouble, times=None)

    assert (trouble is not None) == bool(run(arguments.split()))

    key, output = as_user.credentials, capsys.readouterr()
    for secret in (key.api_key, key.secret_key, key.passphrase):
        assert secret not in output.out + output.err
