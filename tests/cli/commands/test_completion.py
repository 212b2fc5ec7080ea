"""``okx-sol completion``, in the shells themselves."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from okx_sol_async.cli._app import run
from tests.support.terminals import Terminal, environment, terminal

#: What is typed before Tab, and what it becomes.
TYPED = [
    ("okx-sol hist", "okx-sol history "),
    ("okx-sol balance --emu", "okx-sol balance --emulator "),
    ("okx-sol history --region e", "okx-sol history --region eea "),
    ("okx-sol history --status pen", "okx-sol history --status pending "),
    ("okx-sol --emu", "okx-sol --emulator "),
    ("okx-sol --emulator bal", "okx-sol --emulator balance "),
    ("okx-sol --demo hist", "okx-sol --demo history "),
    ("okx-sol --region eea hist", "okx-sol --region eea history "),
    ("okx-sol --demo history --status pen", "okx-sol --demo history --status pending "),
    ("okx-sol history --demo --status pen", "okx-sol history --demo --status pending "),
    ("okx-sol purchase 1.5 --y", "okx-sol purchase 1.5 --yes "),
    ("okx-sol completion f", "okx-sol completion fish "),
]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed on this machine")


def script_of(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a file with the script of a shell."""
    assert 0 == run(["completion", shell])
    path = folder / f"okx-sol.{shell}"
    path.write_text(capsys.readouterr().out)
    return path


#: The prompt of a shell that is ready, which is not the text that sets it.
PROMPT = "@@ "
SET_PROMPT = "PS1='@''@ '"


def completed_lines(shown: Terminal, setup: str) -> Iterator[str]:
    """Give the lines of an interactive shell after Tab."""
    shown.type(f"{setup}; {SET_PROMPT}\n")
    for number, (typed, _) in enumerate(TYPED):
        shown.wait_for(PROMPT)
        # What follows Tab is shown after what it completes.
        mark = f"Z{number:02}Z"
        shown.type(f"{typed}\t{mark}")
        shown.wait_for(mark)
        # zsh writes some characters again, after a step back.
        yield re.sub(".\x08", "", shown.text.rpartition(PROMPT)[2].partition(mark)[0].replace("\x07", ""))
        shown.raw = ""
        # The line is emptied, and not run.
        shown.type("\x15\n")


@needs("bash")
def test_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tab completes commands, options and their values in an interactive bash, in any order."""
    script = script_of("bash", tmp_path, capsys)
    with terminal("--norc", "--noprofile", "-i", command=["bash"], columns=200, INPUTRC="/dev/null") as shown:
        assert [completed for _, completed in TYPED] == list(completed_lines(shown, f"source {script}"))


@needs("zsh")
def test_zsh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tab completes commands, options and their values in an interactive zsh, in any order."""
    script = script_of("zsh", tmp_path, capsys)
    # The function that the script defines has the name of its file.
    folder = tmp_path / "functions"
    folder.mkdir()
    script.rename(folder / "_cyclopts_okx-sol")
    setup = f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D"
    with terminal("-f", "-i", command=["zsh"], columns=200) as shown:
        assert [completed.rstrip() for _, completed in TYPED] == [
            line.rstrip() for line in completed_lines(shown, setup)
        ]


@needs("fish")
def test_fish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fish offers commands, options and their values, in any order."""
    script = script_of("fish", tmp_path, capsys)
    offers = "; ".join(f"complete -C '{typed}'; echo @" for typed, _ in TYPED)
    ended = subprocess.run(  # noqa: S603
        ["fish", "--no-config", "-c", f"source {script}; {offers}"],  # noqa: S607 - where it is installed
        capture_output=True,
        text=True,
        check=True,
        env=environment(HOME=str(tmp_path)),
    )

    offered = [[line.split("\t")[0] for line in lines.splitlines() if line] for lines in ended.stdout.split("@\n")[:-1]]
    assert [[completed.rsplit(maxsplit=1)[-1]] for _, completed in TYPED] == offered


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/okx-sol"),
        ("zsh", ".zsh/completions"),
        ("fish", ".config/fish/completions/okx-sol.fish"),
    ],
)
def test_it_is_installed_where_the_shell_finds_it(
    shell: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script is in the home directory, and the place is printed."""
    for name in ("ZDOTDIR", "ZSH_CUSTOM", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert 0 == run(["completion", shell, "--install"])

    assert str(tmp_path / place) in capsys.readouterr().out
    assert 0 == run(["completion", shell])
    printed = capsys.readouterr().out
    assert [printed] == [path.read_text() for path in tmp_path.rglob("*okx-sol*") if path.is_file()]


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those that there are."""
    assert 2 == run(["completion", "tcsh"])
    assert "bash" in capsys.readouterr().err
