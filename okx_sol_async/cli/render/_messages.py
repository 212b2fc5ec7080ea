"""Lines on stderr: errors with their hints, questions, and the log."""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGER: Final = logging.getLogger("okx_sol_async")
_PREFIX: Final = "okx-sol: "


def say(*lines: str, style: str = "") -> None:
    """Write lines to stderr, if there is one; in a terminal they are wrapped at words."""
    if sys.stderr is None:
        return
    if not sys.stderr.isatty():
        sys.stderr.writelines(f"{line}\n" for line in lines)
    else:
        _say_in_terminal(lines, style)
    sys.stderr.flush()


def fail(summary: str, hint: str | None, code: int) -> int:
    """Write what went wrong and what to do, and return the exit code."""
    say(f"{_PREFIX}{summary}", style="red")
    if hint:
        say(hint)
    return code


def warn(text: str) -> None:
    """Write one line of this program's."""
    say(f"{_PREFIX}{text}")


def _say_in_terminal(lines: tuple[str, ...], style: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(stderr=True, highlight=False)
    with console.capture() as captured:
        for line in lines:
            for part in _wrapped(line, console.width):
                console.print(Text(part, style), soft_wrap=True)
    # A moving line on stderr makes room only for what is written to sys.stderr.
    sys.stderr.write(captured.get())


def _wrapped(line: str, width: int) -> list[str]:
    """Wrap a line at its words; what is longer than the terminal, such as a path, stays in one piece."""
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, max(width, 20), break_long_words=False, break_on_hyphens=False)


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Write what the package logs, from warnings on, to stderr as lines of this program."""
    handler, propagate = _StderrHandler(), _LOGGER.propagate
    _LOGGER.addHandler(handler)
    _LOGGER.propagate = False
    try:
        with log_level(logging.WARNING):
            yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = propagate


@contextmanager
def log_level(level: int) -> Iterator[None]:
    """Set the level of the package's log for a while."""
    before = _LOGGER.level
    _LOGGER.setLevel(level)
    try:
        yield
    finally:
        _LOGGER.setLevel(before)


@contextmanager
def log_resends() -> Iterator[None]:
    """Log what is worth a line to a person who waits: each resend, and all from INFO on."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.INFO or hasattr(record, "wait")

    _LOGGER.addFilter(is_wanted)
    try:
        with log_level(logging.DEBUG):
            yield
    finally:
        _LOGGER.removeFilter(is_wanted)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())
