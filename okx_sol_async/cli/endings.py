"""How a command ends: its exit code, and the lines on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from okx_sol_async import errors
from okx_sol_async.cli.words import of_the_command_line

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
}
_LOGGER: Final = logging.getLogger("okx_sol_async")

INTERRUPTED: Final = 130
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
    say(f"okx-sol: {of_the_command_line(summary)}", *([of_the_command_line(hint)] if hint else []))
    return code


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
        say(f"okx-sol: {of_the_command_line(record.getMessage())}")
