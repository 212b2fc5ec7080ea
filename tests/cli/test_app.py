import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from okx_sol_async import errors
from okx_sol_async.cli import EXIT_CODES, run
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Silence
from okx_sol_async.errors import APIError, OKXError
from tests.support.terminals import COMMAND, environment, running


def lines_of_stderr(capsys: pytest.CaptureFixture[str]) -> list[str]:
    output = capsys.readouterr()
    assert "" == output.out
    return output.err.splitlines()


def test_the_balance_of_the_emulator_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """No account and no network are needed."""
    assert 0 == run(["balance", "--emulator"])
    assert [
        "ccy                           OKSOL",
        "amt                      0.01100012",
        "latest_interest_accrual  0.00000012",
        "total_interest_accrual   0.00000012",
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


@pytest.mark.parametrize(
    ("variable", "value", "code", "words"),
    [
        ("OKX_SECRET_KEY", "wrong-secret", 3, "OKX_SECRET_KEY"),
        ("OKX_PASSPHRASE", "wrong-passphrase", 3, "OKX_PASSPHRASE"),
        pytest.param("OKX_API_KEY", "8f1c2d3e-dead-beef-9c6d-7e8f90a1b2c3", 3, "OKX_REGION", id="a key that is none"),
        ("OKX_SECRET_KEY", "with space", 2, "OKX_SECRET_KEY"),
        ("OKX_SECRET_KEY", "", 2, "OKX_SECRET_KEY"),
        ("OKX_DEMO", "1", 3, "demo"),
        ("OKX_DEMO", "perhaps", 2, "OKX_DEMO"),
        ("OKX_BASE_URL", "http://127.0.0.1:9", 10, "network"),
        ("OKX_BASE_URL", "http://okx.example", 2, "https"),
    ],
)
def test_errors_are_two_lines_that_say_what_to_do(
    as_user: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    code: int,
    words: str,
) -> None:
    """One line says what happened and one what to do, on stderr, with the exit code of its kind."""
    monkeypatch.setenv(variable, value)

    assert code == run(["balance"])

    lines = lines_of_stderr(capsys)
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("okx-sol: ")
    assert words in " ".join(lines)
    assert not value or variable in {"OKX_DEMO", "OKX_BASE_URL"} or value not in " ".join(lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["balanc"],
        ["balance", "--jsn"],
        ["balance", "--region", "mars"],
        ["balance", "--emulator", "--region", "eea"],
        ["balance", "--emulator", "--base-url", "http://127.0.0.1:9"],
        ["balance", "--api-key", "x"],
        ["emulator", "--port", "70000"],
    ],
)
def test_a_mistyped_command_is_told_in_two_lines(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Keys are no arguments, and what does not exist is named."""
    assert 2 == run(arguments)
    assert 1 <= len(lines_of_stderr(capsys)) <= 2


def test_each_kind_of_error_has_an_exit_code_of_its_own() -> None:
    """A script can tell them apart."""
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OKXError)}

    assert kinds - {OKXError, APIError} == set(EXIT_CODES)
    assert len(EXIT_CODES) == len(set(EXIT_CODES.values()))
    assert not {0, 1, 130} & set(EXIT_CODES.values())


@pytest.mark.parametrize("arguments", [["--help"], ["balance", "--help"], []])
def test_help_is_no_error(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """It tells the variables and the options."""
    assert 0 == run(arguments)
    assert {True} == {word in capsys.readouterr().out for word in ["Usage"]}


@pytest.mark.shows_secrets("the emulator prints the keys that it has made up")
def test_ctrl_c_is_quiet() -> None:
    """The emulator of the command line serves until it is interrupted, and then says nothing."""
    with running("emulator") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        settings = dict(process.stdout.readline().split()[1].split("=", 1) for _ in range(6))
        asked = subprocess.run(  # noqa: S603
            [*COMMAND, "balance", "--json"],
            capture_output=True,
            text=True,
            check=False,
            env=environment(**settings),
        )
        process.send_signal(signal.SIGINT)
        assert ("", 0) == (asked.stderr, asked.returncode)
        assert "0.01100012" == json.loads(asked.stdout)["amt"]
        assert (130, "") == (process.wait(), process.stderr.read())


def test_ctrl_c_during_a_call_is_quiet() -> None:
    """So does a call that is interrupted."""
    with Emulator() as exchange:
        # However late it is interrupted, the answer has not come.
        exchange.fail_next(Silence(), times=None)
        credentials = exchange.credentials
        with running(
            "balance",
            OKX_API_KEY=credentials.api_key,
            OKX_SECRET_KEY=credentials.secret_key,
            OKX_PASSPHRASE=credentials.passphrase,
            OKX_BASE_URL=exchange.url,
        ) as process:
            while not exchange.calls:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            output, complaint = process.communicate()

    assert (130, "", "") == (process.returncode, output, complaint)


@pytest.mark.shows_secrets("the emulator prints the keys that it has made up")
@pytest.mark.parametrize("wrapper", [[], ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh"]], ids=["", "no Ctrl-C"])
def test_termination_is_quiet(wrapper: list[str]) -> None:
    """A command that is told to end does so, also where a shell lets it ignore Ctrl-C, as in the background."""
    with subprocess.Popen(  # noqa: S603
        [*wrapper, *COMMAND, "emulator"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, complaint = process.communicate(timeout=20)

    assert (143, b"") == (process.returncode, complaint)


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_reader_that_has_enough_is_no_error(form: str) -> None:
    """A closed pipe ends the command without a traceback."""
    script = f"set -o pipefail; {' '.join(COMMAND)} balance --emulator {form} | true; exit $?"
    ended = subprocess.run(  # noqa: S602
        script, shell=True, executable="/bin/bash", capture_output=True, text=True, check=False, env=environment()
    )

    assert ("", 141) == (ended.stderr, ended.returncode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device on this system")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("form", ["", "--json"])
def test_output_that_cannot_be_written_is_told(redirection: str, form: str) -> None:
    """A full disk or a closed output is one line, not a traceback."""
    ended = subprocess.run(  # noqa: S602
        f"{' '.join(COMMAND)} balance --emulator {form} {redirection}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )

    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.splitlines())
    assert ended.stderr.startswith("okx-sol: ")


@pytest.mark.parametrize("columns", ["5", "20", "40", "200"])
def test_a_number_is_never_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    """A narrow terminal wraps the line, and the amount stays whole."""
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == run(["balance", "--emulator"])
    assert "amt                      0.01100012" in capsys.readouterr().out


def balance_where_cyclopts_does(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where importing cyclopts does something else."""
    (folder / "cyclopts.py").write_text(what)
    return subprocess.run(  # noqa: S603
        [*COMMAND, "balance"], capture_output=True, text=True, check=False, env=environment(PYTHONPATH=str(folder))
    )


def test_ctrl_c_while_the_commands_are_imported_is_quiet(tmp_path: Path) -> None:
    """Whoever changes their mind at once sees no traceback."""
    ended = balance_where_cyclopts_does("raise KeyboardInterrupt", tmp_path)

    assert (130, "", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """The script is installed with the package; what it needs is an extra."""
    missing = "raise ModuleNotFoundError('No module named cyclopts', name='cyclopts')"
    ended = balance_where_cyclopts_does(missing, tmp_path)

    assert 2 == ended.returncode
    assert "okx-sol-async[cli]" in ended.stderr
    assert 2 == len(ended.stderr.splitlines())
