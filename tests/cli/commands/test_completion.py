"""``okx-sol completion``, in the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from okx_sol_async.cli import run
from tests.support.terminals import Terminal, environment, terminal

#: What is typed before Tab, and what it becomes.
TYPED = [
    ("okx-sol hist", "okx-sol history "),
    ("okx-sol balance --emu", "okx-sol balance --emulator "),
    ("okx-sol history --region e", "okx-sol history --region eea "),
    ("okx-sol history --status pen", "okx-sol history --status pending "),
]


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed on this machine")


@pytest.fixture(name="script")
def _script(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a file with the script of a shell."""
    assert 0 == run(["completion", request.param])
    path = tmp_path / f"_okx-sol.{request.param}"
    path.write_text(capsys.readouterr().out)
    return path


#: The prompt of a shell that is ready, which is not the text that sets it.
PROMPT = "@@ "
SET_PROMPT = "PS1='@''@ '"


def completed_line(shown: Terminal, setup: str, typed: str) -> str:
    """Return the line of an interactive shell after Tab."""
    shown.type(f"{setup}; {SET_PROMPT}\n")
    shown.wait_for(PROMPT)
    # What follows Tab is shown after what it completes.
    shown.type(f"{typed}\tZZ")
    shown.wait_for("ZZ")
    shown.type("\x03")
    return shown.text.rpartition(PROMPT)[2].partition("ZZ")[0].replace("\x07", "").replace("\x08", "")


@needs("bash")
@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_bash(script: Path, typed: str, completed: str) -> None:
    """Tab completes commands, options and their values in an interactive bash."""
    with terminal("--norc", "--noprofile", "-i", command=["bash"], INPUTRC="/dev/null") as shown:
        assert completed == completed_line(shown, f"source {script}", typed)


@needs("zsh")
@pytest.mark.parametrize("script", ["zsh"], indirect=True)
@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_zsh(script: Path, typed: str, completed: str) -> None:
    """Tab completes commands, options and their values in an interactive zsh."""
    # The function that the script defines has the name of its file.
    folder = script.parent / "functions"
    folder.mkdir()
    script.rename(folder / "_cyclopts_okx-sol")
    setup = f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D"
    with terminal("-f", "-i", command=["zsh"], columns=200) as shown:
        assert completed.strip() in completed_line(shown, setup, typed)


@needs("fish")
@pytest.mark.parametrize("script", ["fish"], indirect=True)
@pytest.mark.parametrize(("typed", "completed"), TYPED)
def test_fish(script: Path, typed: str, completed: str) -> None:
    """Fish offers commands, options and their values."""
    ended = subprocess.run(  # noqa: S603
        ["fish", "--no-config", "-c", f"source {script}; complete -C '{typed}'"],  # noqa: S607 - where it is installed
        capture_output=True,
        text=True,
        check=True,
        env=environment(HOME=str(script.parent)),
    )

    assert [completed.rsplit(maxsplit=1)[-1]] == [line.split("\t")[0] for line in ended.stdout.splitlines()]


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
    assert any("okx-sol" in path.name for path in tmp_path.rglob("*") if path.is_file() and path.read_text())


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those that there are."""
    assert 2 == run(["completion", "tcsh"])
    assert "bash" in capsys.readouterr().err
