"""One moving line on stderr while a command waits, if that is a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.live import Live

#: Seconds after which a command that waits says so.
PATIENCE: Final = 1.0


class Progress:
    """A line that shows by itself after a second, or as soon as there is something to report."""

    def __init__(self, live: Live | None, text: str) -> None:
        self._live = live
        self._text = text

    def show(self, text: str | None = None) -> None:
        """Show the line, with another text if one is given."""
        if self._live is None:
            return
        from rich.spinner import Spinner  # noqa: PLC0415 - only where there is a terminal

        self._text = self._text if text is None else text
        spinner = "dots" if self._live.console.encoding.lower().startswith("utf") else "line"
        self._live.update(Spinner(spinner, self._text), refresh=self._live.is_started)
        self._live.start(refresh=True)


@contextmanager
def waiting(text: str, *, shows: bool = True) -> Iterator[Progress]:
    """Show a line with this text once the block has taken a second.

    Args:
        text: what is waited for.
        shows: `False` shows nothing, where the output itself shows the progress.

    """
    live = _new_live() if shows and sys.stderr is not None and sys.stderr.isatty() else None
    progress = Progress(live, text)
    if live is None:
        yield progress
        return
    timer = asyncio.get_running_loop().call_later(PATIENCE, progress.show)
    try:
        yield progress
    finally:
        timer.cancel()
        live.stop()


def _new_live() -> Live | None:
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.live import Live  # noqa: PLC0415 - as above

    console = Console(stderr=True, highlight=False)
    # stdout is left alone; what is logged meanwhile appears above the line.
    return Live(console=console, transient=True, redirect_stdout=False) if console.is_interactive else None
