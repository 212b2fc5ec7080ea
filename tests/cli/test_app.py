"""One run of the command line: what is typed, how it ends, and what it leaves behind."""

import json
import runpy
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest

from okx_sol_async import __version__
from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse
from okx_sol_async_command import main
from tests.support.terminals import COMMAND, environment, lines_of_stderr, running, set_of, terminal


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
def test_a_mistyped_command_is_two_lines(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Keys are no arguments, and what does not exist is named."""
    assert 2 == run(arguments)
    assert 1 <= len(lines_of_stderr(capsys)) <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-", "Unknown option: -"),
        ("gift", "unknown command: gift\nType okx-sol --help"),
        ("--emulator blance", "unknown command: blance\nDid you mean okx-sol balance?"),
        ("--emulator", "a command is missing\nType okx-sol --help"),
        ("balance base_url", "unexpected argument: base_url"),
        ("history one two", "unexpected argument: one two"),
        ("history --limit 1.5", "Invalid value for --limit: '1.5' is no whole number"),
        ("apy --days=0x10", "Invalid value for --days: '0x10' is no whole number"),
        ("apy --days 2.0", "Invalid value for --days: '2.0' is no whole number"),
        ("emulator --port 1e3", "Invalid value for --port: '1e3' is no whole number"),
    ],
)
def test_what_was_mistyped_is_not_guessed(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    """It is quoted as it was typed, not rounded, and nothing is sent."""
    assert 2 == run(arguments.split())

    assert capsys.readouterr().err.startswith(f"okx-sol: {message}")
    assert 0 == as_user.tally().received


@pytest.mark.parametrize(
    "arguments",
    [
        "--json balance",
        "--emulator --json balance",
        "--emulator balance --json",
        "--base-url={url} --json balance",
        "--base-url {url} --json balance",
    ],
)
def test_options_may_stand_before_the_command(
    as_user: Emulator, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    """They mean the same there as after it."""
    assert 0 == run(arguments.format(url=as_user.url).split())

    assert "0.01100012" == json.loads(capsys.readouterr().out)["amt"]


@pytest.mark.parametrize(
    ("flag", "unwanted"),
    [("--version", ("okx_sol_async", "aiohttp", "asyncio")), ("--help", ("okx_sol_async.cli.commands", "rich.live"))],
)
def test_the_command_line_imports_only_what_it_needs(flag: str, unwanted: tuple[str, ...]) -> None:
    """The version is printed without the package, and the list of commands without any of them."""
    script = "import sys; from okx_sol_async_command import main; sys.argv[1:] = [{!r}]\ntry:\n main()\nfinally:\n"
    ended = subprocess.run(  # noqa: S603
        [COMMAND[0], "-c", f"{script.format(flag)} print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )

    assert ended.stdout.startswith(__version__ if flag == "--version" else "Usage")
    modules = ended.stderr.split()
    assert "okx_sol_async_command" in modules
    assert set() == {*unwanted} & {*modules}


def test_yes_may_stand_before_a_purchase(as_user: Emulator) -> None:
    """The amount stays where it is."""
    assert 0 == run(["-y", "purchase", "1.5"])
    assert ["1.5"] == [f"{order.amt}" for order in as_user.user.orders]


@pytest.mark.parametrize(
    "command",
    ["balance", "product", "history", "apy", "watch", "purchase", "redeem", "doctor", "completion", "emulator"],
)
def test_help_of_a_command_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Each line of them is a command that exists, with options that exist."""
    assert 0 == run([command, "--help"])
    printed = capsys.readouterr().out

    lines = printed.partition("For example:\n\n")[2].partition("\n\n")[0].splitlines()
    examples = [line.split() for line in lines]
    assert examples
    assert all(["okx-sol", command] == words[:2] for words in examples)
    for word in {word for words in examples for word in words if word.startswith("-")}:
        assert f"{word} " in printed.partition("Parameters")[2]


def test_verbose_shows_the_log(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Each call is a line on stderr, without a secret, and the output is the same."""
    assert 0 == run(["balance", "--json"])
    quiet = capsys.readouterr()
    assert 0 == run(["--verbose", "balance", "--json"])
    verbose = capsys.readouterr()

    assert (verbose.out, "") == (quiet.out, quiet.err)
    assert "GET /api/v5/finance/staking-defi/sol/balance" in verbose.err
    key = as_user.credentials
    assert not [secret for secret in (key.api_key, key.secret_key, key.passphrase) if secret in verbose.err]


def test_a_missing_key_names_the_emulator(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody without an account learns how to try it."""
    assert 2 == run(["balance"])

    assert lines_of_stderr(capsys)[1].endswith("To try it without an account, add --emulator.")


def test_the_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them is a command that exists."""
    assert 0 == run(["--help"])

    printed = capsys.readouterr().out
    examples = printed.partition("For example:\n\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    for line in examples:
        name, command, *_ = line.split()
        assert "okx-sol" == name
        assert f"│ {command} " in printed


@pytest.mark.parametrize("arguments", [["--help"], ["balance", "--help"], []])
def test_help_is_no_error(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """It shows the usage."""
    assert 0 == run(arguments)
    assert {True} == {word in capsys.readouterr().out for word in ["Usage"]}


@pytest.mark.parametrize("arguments", ["--help", "-h", "--version"])
def test_help_and_version_stand_alone(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    """They are no options of a command."""
    assert 0 == run([arguments])
    assert "" == capsys.readouterr().err


@pytest.mark.shows_secrets("the emulator prints the keys that it has made up")
def test_ctrl_c_is_quiet() -> None:
    """The emulator of the command line serves until it is interrupted, and then says nothing."""
    with running("emulator") as process:
        settings = dict(process.stdout.readline().split()[1].split("=", 1) for _ in range(6))
        with running("balance", "--json", **settings) as asking:
            asked, complaint = asking.communicate()
        process.send_signal(signal.SIGINT)
        assert ("", 0) == (complaint, asking.returncode)
        assert "0.01100012" == json.loads(asked)["amt"]
        hint, request = process.stderr.read().splitlines()
        assert 130 == process.wait()
        assert hint.endswith(f"{settings['OKX_BASE_URL']}/_emulator/")
        assert " GET /api/v5/finance/staking-defi/sol/balance 200 0 1/s " in request


def test_ctrl_c_during_a_call_is_quiet() -> None:
    """So does a call that is interrupted."""
    with Emulator() as exchange:
        # However late it is interrupted, no response has come.
        exchange.fail_next(NoResponse(), times=None)
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


def test_the_prompt_of_the_shell_has_a_line_of_its_own(as_user: Emulator) -> None:
    """After Ctrl-C, which the terminal shows as ^C, the cursor is at the beginning of a line."""
    as_user.fail_next(NoResponse(), times=None)
    with terminal("balance", **set_of(as_user)) as shown:
        while not as_user.calls:
            assert shown.process.poll() is None
            time.sleep(0.01)
        shown.interrupt()

        assert 130 == shown.end()
    assert shown.text.endswith("\n")


@pytest.mark.shows_secrets("the emulator prints the keys that it has made up")
def test_termination_is_quiet() -> None:
    """SIGTERM ends a command."""
    with running("emulator") as process:
        process.stdout.readline()
        assert "/_emulator/" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, complaint = process.communicate()

    assert (143, "") == (process.returncode, complaint)


@pytest.mark.shows_secrets("the emulator prints the keys that it has made up")
def test_termination_is_quiet_in_the_background() -> None:
    """SIGTERM ends a command also where a shell lets it ignore Ctrl-C."""
    with subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND, "emulator"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        assert b"/_emulator/" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, complaint = process.communicate(timeout=20)

    assert (143, b"") == (process.returncode, complaint)


@pytest.mark.parametrize("arguments", ["balance --emulator", "balance --emulator --json", "--help", "apy --help", ""])
def test_a_reader_that_has_enough_is_no_error(arguments: str) -> None:
    """A closed pipe ends the command without a traceback."""
    with running(*arguments.split()) as process:
        process.stdout.close()

        assert "" == process.stderr.read()
        assert 141 == process.wait()


def test_a_reader_of_the_script_that_has_enough_is_no_error() -> None:
    """Neither does Python complain when it ends."""
    script = f"set -o pipefail; {' '.join(COMMAND)} --help | true; exit $?"
    ended = subprocess.run(  # noqa: S602
        script, shell=True, executable="/bin/bash", capture_output=True, text=True, check=False, env=environment()
    )

    assert ("", 141) == (ended.stderr, ended.returncode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device on this system")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_is_one_line(form: list[str]) -> None:
    """Output that cannot be written is no traceback."""
    with (
        Path("/dev/full").open("w") as full,
        terminal("balance", "--emulator", *form, stdout=full.fileno(), NO_COLOR="1") as shown,
    ):
        assert 1 == shown.end()

    assert ["okx-sol: cannot write the output: No space left on device"] == shown.text.splitlines()


def test_a_closed_output_is_one_line() -> None:
    """There is no traceback where there is no standard output."""
    ended = subprocess.run(  # noqa: S602
        f"{' '.join(COMMAND)} balance --emulator >&-",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )

    assert 1 == ended.returncode
    assert "okx-sol: there is no standard output to write to\n" == ended.stderr


def balance_where_cyclopts_does(what: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command where importing cyclopts does something else."""
    (folder / "cyclopts.py").write_text(what)
    return subprocess.run(  # noqa: S603
        [*COMMAND, "balance"], capture_output=True, text=True, check=False, env=environment(PYTHONPATH=str(folder))
    )


def test_ctrl_c_while_the_commands_are_imported_is_quiet(tmp_path: Path) -> None:
    """There is no traceback from the first moment on."""
    ended = balance_where_cyclopts_does("import os, time; os.kill(os.getpid(), 2); time.sleep(9)", tmp_path)

    assert (-signal.SIGINT, "", "") == (ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.default_int_handler])
def test_ctrl_c_after_the_command_is_quiet(monkeypatch: pytest.MonkeyPatch, disposition: signal.Handlers) -> None:
    """While Python ends, the signal has its default effect, unless the process ignores it."""
    after = signal.SIG_IGN if disposition is signal.SIG_IGN else signal.SIG_DFL
    before = signal.signal(signal.SIGINT, disposition)
    try:
        monkeypatch.setattr(sys, "argv", ["okx-sol", "balance", "--emulator"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (0, after) == (ended.value.code, signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_module_is_the_same_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m okx_sol_async`` runs what ``okx-sol`` runs."""
    monkeypatch.setattr(sys, "argv", ["okx-sol", "--version"])
    module = import_module("okx_sol_async.__main__")
    assert main is module.main
    runpy.run_path(str(module.__file__), run_name="__main__")

    assert f"{__version__}\n" == capsys.readouterr().out


def test_a_command_runs_in_any_thread(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A program may run one beside its own work; signals stay the main thread's."""
    with ThreadPoolExecutor(1) as other:
        assert 0 == other.submit(run, ["balance", "--json"]).result()

    assert "0.01100012" == json.loads(capsys.readouterr().out)["amt"]


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """The script is installed with the package; what it needs is an extra."""
    missing = "raise ModuleNotFoundError('No module named cyclopts', name='cyclopts')"
    ended = balance_where_cyclopts_does(missing, tmp_path)

    assert 2 == ended.returncode
    assert "okx-sol-async[cli]" in ended.stderr
    assert 2 == len(ended.stderr.splitlines())
