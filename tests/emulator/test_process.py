"""An exchange in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from okx_sol_async import Session, SolStaking
from okx_sol_async.emulator import EmulatorProcess, _process
from okx_sol_async.errors import ConfigurationError


@pytest.fixture(scope="module", name="process")
def _serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    state = tmp_path_factory.mktemp("state") / "state.json"
    state.write_text('{"users": [{"balance": {"amt": "3"}}]}', "utf-8")
    with EmulatorProcess(state=state, window="fixed", latency=0.001, token="t") as process:
        yield process


async def test_it_serves_elsewhere(process: EmulatorProcess) -> None:
    """Calls are served by another process, with the settings and the state that it was made with."""
    async with Session(base_url=process.url) as session:
        balance = await SolStaking(process.credentials, session).balance()

    assert (Decimal(3), "0") == (balance.amt, process.environment["OKX_DEMO"])
    assert 1 == process.control("GET", "/tally")["accepted"]


def test_it_is_controlled(process: EmulatorProcess) -> None:
    """The control API is at hand, with the token, and its errors name the field."""
    process.control("POST", "/faults", {"fault": "Page", "status": 503})
    assert [{"fault": "Page", "status": 503}] == process.control("GET", "/unused-faults")[0]["faults"]
    with pytest.raises(ConfigurationError, match="one of Body") as caught:
        process.control("POST", "/faults", {"fault": "Nonsense"})
    assert "fault" == caught.value.argument
    process.control("POST", "/reset")
    assert [] == process.control("GET", "/faults")


@pytest.mark.parametrize("argument", ["window", "state"])
def test_a_wrong_argument_is_named(argument: str) -> None:
    """What is wrong is raised before there is another process."""
    with pytest.raises(ConfigurationError) as caught:
        EmulatorProcess(**{argument: "/nowhere"})
    assert argument == caught.value.argument


def test_before_it_serves() -> None:
    """It has neither url nor credentials before it serves."""
    for name in ("url", "credentials"):
        with pytest.raises(ConfigurationError, match="before it serves"):
            getattr(EmulatorProcess(), name)


def test_it_ends_with_its_parent() -> None:
    """A test run that is killed leaves no exchange behind: its end is the end of the exchange's input."""
    script = (
        "from okx_sol_async.emulator import EmulatorProcess\n"
        "with EmulatorProcess() as process:\n    print(process.url, flush=True)\n    input()"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603
        assert parent.stdout is not None
        url = urlsplit(parent.stdout.readline().strip())
        with socket.create_connection((url.hostname, url.port)) as connection:
            os.kill(parent.pid, signal.SIGKILL)
            # The connection ends with the process that serves it.
            assert b"" == connection.recv(1)


def program(folder: Path, *lines: str) -> str:
    """Return the path of a program that does something else than serve."""
    path = folder / "program"
    path.write_text("\n".join(("#!/bin/sh", *lines)), "utf-8")
    path.chmod(0o700)
    return str(path)


def test_a_process_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error that says where to look, and no exchange."""
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exit 1"))
    process = EmulatorProcess()
    with pytest.raises(ConfigurationError, match="ended at once") as caught:
        process.__enter__()

    assert "port" in (caught.value.hint or "")
    assert {} == process.environment


def test_a_process_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test run does not hang because of it."""
    monkeypatch.setattr(sys, "executable", program(tmp_path, """echo '{"OKX_BASE_URL": "'$$'"}'""", "exec sleep 600"))
    monkeypatch.setattr(_process, "_PATIENCE", 0.0)
    with EmulatorProcess() as process:
        pid = int(process.url)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
