"""How a command ends: its exit code, and the lines on stderr."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from okx_sol_async import errors

#: The exit code of each kind of error; 0 is success, and 2 is also what a mistyped command ends with.
EXIT_CODES: Final[dict[type[errors.OKXError], int]] = {
    errors.ConfigurationError: 2,
    errors.AuthenticationError: 3,
    errors.PermissionDenied: 4,
    errors.ClockSkew: 5,
    errors.RateLimited: 6,
    errors.Unavailable: 7,
    errors.Rejected: 8,
    errors.Timeout: 9,
    errors.TransportError: 10,
    errors.DecodeError: 11,
    errors.OutcomeUnknown: 12,
    errors.QueueTimeout: 13,
    errors.SessionClosed: 14,
}
_LOGGER: Final = logging.getLogger("okx_sol_async")

INTERRUPTED: Final = 130
TERMINATED: Final = 143
BROKEN_PIPE: Final = 141
#: The output could not be written, or whoever was asked did not say yes.
NOTHING_DONE: Final = 1


def say(*lines: str) -> None:
    """Write lines to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.writelines(f"{line}\n" for line in lines)
        sys.stderr.flush()


def fail(summary: str, hint: str | None, code: int) -> int:
    """Say what went wrong and what to do, and return the exit code."""
    say(f"okx-sol: {summary}", *([hint] if hint else []))
    return code


@contextmanager
def terminated_like_interrupted() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM end a command as Ctrl-C does, with its terminal as it was, and give what tells whether it did."""
    came = False

    def end(number: int, frame: FrameType | None) -> None:
        del number
        nonlocal came
        came = True
        # asyncio has a handler of its own, which ends a command in its order. A shell lets what it runs in the
        # background ignore Ctrl-C, but that is no reason to ignore this.
        interrupt = signal.getsignal(signal.SIGINT)
        (interrupt if callable(interrupt) else signal.default_int_handler)(signal.SIGINT, frame)

    is_ours = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield lambda: came
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def warnings_are_lines() -> Iterator[None]:
    """Write what the package logs, from warnings on, to stderr as lines of this command."""
    handler, passed_on = _Lines(), _LOGGER.propagate
    _LOGGER.addHandler(handler)
    _LOGGER.propagate = False
    try:
        with logged_from(logging.WARNING):
            yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = passed_on


@contextmanager
def logged_from(level: int) -> Iterator[None]:
    """Write only what is as important as this, for a while."""
    before = _LOGGER.level
    _LOGGER.setLevel(level)
    try:
        yield
    finally:
        _LOGGER.setLevel(before)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"okx-sol: {record.getMessage()}")
