"""Processes of the command line that are forked from one that has imported it: importing takes ten times as long."""

import atexit
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Final, NoReturn, Self

#: What follows a request: its standard input, output and error, and where to send the process id and the status.
_DESCRIPTORS: Final = 4
_MOST: Final = 1 << 20


class Forked:
    """A process, as `subprocess.Popen` shows one."""

    def __init__(self, arguments: Sequence[str], variables: dict[str, str], streams: tuple[int, int, int]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            request = json.dumps([arguments, variables]).encode()
            socket.send_fds(_server(), [request], [*streams, theirs.fileno()])
            self._reports = ours.makefile("r")
        self.pid = int(self._reports.readline())
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal that ended it; `None` while it runs."""
        has_ended = self.returncode is not None or select.select([self._reports], [], [], 0)[0]
        return self.wait() if has_ended else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return what `poll` returns."""
        if self.returncode is None:
            assert select.select([self._reports], [], [], timeout)[0], f"no end after {timeout} s"
            self.returncode = int(self._reports.readline())
            self._reports.close()
        return self.returncode


class Piped(Forked):
    """A process without a terminal, whose output and errors are text to read."""

    def __init__(self, arguments: Sequence[str], variables: dict[str, str]) -> None:
        output, errors = os.pipe(), os.pipe()
        self.stdout, self.stderr = os.fdopen(output[0], "r"), os.fdopen(errors[0], "r")
        try:
            with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - it is no file
                super().__init__(arguments, variables, (nothing.fileno(), output[1], errors[1]))
        finally:
            os.close(output[1])
            os.close(errors[1])

    def communicate(self) -> tuple[str, str]:
        """Wait for the end, and return the rest of the output and of the errors, neither of which fills a pipe."""
        rest = self.stdout.read(), self.stderr.read()
        self.wait()
        return rest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()


@cache
def _server() -> socket.socket:
    """Return the connection to the process that forks, which ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    atexit.register(ours.close)
    with theirs:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OKX_")}
        theirs.set_inheritable(True)
        command = [sys.executable, "-m", "tests.support.forked", f"{theirs.fileno()}"]
        os.posix_spawn(sys.executable, command, kept | {"PYTHONWARNINGS": "error"})
    return ours


def _serve(requests: socket.socket) -> None:
    for module in (
        "okx_sol_async.cli._demo_exchange",
        "okx_sol_async.cli.render._output",
        "rich.live",
        "okx_sol_async_command",
    ):
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, streams, _, _ = socket.recv_fds(requests, _MOST, _DESCRIPTORS)
        if not request:
            return
        if not os.fork():
            _report(request, streams)
        for stream in streams:
            os.close(stream)


def _report(request: bytes, descriptors: list[int]) -> NoReturn:
    """Fork the command, and report its id and how it ended."""
    *streams, reports = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if not child:
        os.close(reports)
        _run(request, streams)
    for stream in streams:
        os.close(stream)
    os.write(reports, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(reports, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(request: bytes, streams: list[int]) -> NoReturn:
    """Become the command, as a new process of Python would."""
    arguments, variables = json.loads(request)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 256)
    encoding, _, errors = variables.get("PYTHONIOENCODING", "utf-8").partition(":")
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        buffering = 1 if name == "stderr" or os.isatty(number) else -1
        setattr(sys, name, os.fdopen(number, mode, buffering, encoding, errors or None, closefd=False))
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["okx-sol", *arguments]
    code: object = 1
    try:
        import_module("okx_sol_async_command").main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - it is shown as Python would
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _serve(_requests)
