"""A question to the person at the terminal."""

import asyncio
import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest
from cyclopts import App

from okx_sol_async.cli._app import run
from okx_sol_async.cli._question import ask


@pytest.fixture(name="keyboard")
def _keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return where to type what stdin reads."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as reads:
        monkeypatch.setattr(sys, "stdin", reads)
        yield master
    os.close(master)


class Interruption:
    """A signal that Python sees, but that does not interrupt the main thread's wait, as one just before it."""

    def __init__(self, ending: signal.Signals) -> None:
        self._ending = ending
        self._thread = threading.Thread(target=self._interrupt)
        self._ended = threading.Event()
        self.was_missed = False

    def _interrupt(self) -> None:
        # A signal to this thread leaves the wait of the other one alone.
        time.sleep(0.02)
        signal.pthread_kill(threading.get_ident(), self._ending)
        if not self._ended.wait(3):
            self.was_missed = True
            signal.pthread_kill(threading.main_thread().ident or 0, self._ending)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_just_before_the_wait_is_not_missed(
    keyboard: int, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals, code: int
) -> None:
    """Ctrl-C and SIGTERM end a command that waits for a reply, and nothing else happens in its event loop."""

    async def asks(app: App, *_: object, **options: object) -> None:
        await ask("Go ahead? ")

    monkeypatch.setattr(App, "run_async", asks)
    with Interruption(ending) as interruption:
        returned = run(["purchase", "1.5"])

    assert (code, False) == (returned, interruption.was_missed)


async def test_a_reply_in_parts_is_one_line(keyboard: int) -> None:
    """Ctrl-D hands over what was typed so far, and the line goes on."""
    os.write(keyboard, b"y\x04es\n")

    assert "yes\n" == await ask("Go ahead? ")


@pytest.mark.parametrize("typed", [b"", b"y"])
async def test_a_reply_may_end_without_a_line(keyboard: int, capsys: pytest.CaptureFixture[str], typed: bytes) -> None:
    """A second Ctrl-D ends it, and what follows has a line of its own."""
    os.write(keyboard, typed + b"\x04\x04")

    assert typed.decode() == await ask("Go ahead? ")
    assert "Go ahead? \n" == capsys.readouterr().err


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_event_loop_starts_is_held_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ending: signal.Signals, code: int
) -> None:
    """It ends the command as soon as that runs, and leaves no loop half made."""
    makes_loop = asyncio.new_event_loop

    def interrupted_loop() -> asyncio.AbstractEventLoop:
        signal.raise_signal(ending)
        return makes_loop()

    monkeypatch.setattr(asyncio.events, "new_event_loop", interrupted_loop)

    assert code == run(["apy", "--base-url", "http://127.0.0.1:9"])
    assert ("", "") == capsys.readouterr()
