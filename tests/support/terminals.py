"""A terminal for the command line: a pseudo-terminal with a process in it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from okx_sol_async.emulator import Emulator
from tests.support.forked import Forked, Piped

COMMAND = [sys.executable, "-m", "okx_sol_async_command"]
#: Seconds after which a process that shows nothing more hangs.
_PATIENCE = 20
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without any setting of ours, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OKX_") and name != "COLUMNS"}
    return kept | {"PYTHONWARNINGS": "error"} | variables


def set_of(exchange: Emulator) -> dict[str, str]:
    """Return the variables of the environment that name the exchange and its first user."""
    key = exchange.credentials
    return {
        "OKX_API_KEY": key.api_key,
        "OKX_SECRET_KEY": key.secret_key,
        "OKX_PASSPHRASE": key.passphrase,
        "OKX_BASE_URL": exchange.url,
    }


def lines_of_stderr(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on stderr, where nothing was printed on stdout."""
    output = capsys.readouterr()
    assert "" == output.out
    return output.err.splitlines()


class Terminal:
    """One process, and what it has shown."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, master: int) -> None:
        self.process = process
        self._master = master
        self.raw = ""

    @property
    def text(self) -> str:
        """What was shown, without the control sequences."""
        return _ESCAPE.sub("", self.raw)

    def wait_for(self, text: str) -> None:
        """Read until something was shown."""
        while text not in self.text:
            assert self._read(), f"{text!r} was not shown, but {self.raw!r}"

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        return self.process.wait(_PATIENCE)

    def _read(self) -> bool:
        readable, _, _ = select.select([self._master], [], [], _PATIENCE)
        assert readable, f"nothing more was shown for {_PATIENCE} s after {self.raw!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # Linux says so when the other side is closed.
            return False
        self.raw += data.decode()
        return bool(data)


def running(*arguments: str, **variables: str) -> Piped:
    """Run a command without a terminal, and end it with the block, however that ends."""
    return Piped(arguments, environment(**variables))


@contextmanager
def terminal(
    *arguments: str,
    columns: int = 80,
    stdout: int | None = None,
    command: Sequence[str] | None = None,
    **variables: str,
) -> Iterator[Terminal]:
    """Run a command in a terminal, ``okx-sol`` if no other is given; with ``stdout``, what it prints goes there."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, columns))
    streams = (slave, slave if stdout is None else stdout, slave)
    settings = environment(**{"TERM": "xterm-256color"} | variables)
    try:
        process = (
            Forked(arguments, settings, streams) if command is None else _started(command, arguments, settings, streams)
        )
    finally:
        os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def _started(
    command: Sequence[str], arguments: Sequence[str], settings: dict[str, str], streams: tuple[int, int, int]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = streams
    return subprocess.Popen(  # noqa: S603
        [*command, *arguments], stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True, env=settings
    )
