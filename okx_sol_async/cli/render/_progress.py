"""One moving line on stderr while a command waits, if that is a terminal."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.live import Live

#: Seconds after which a command that waits says so.
PATIENCE: Final = 1.0


class Progress:
    """A line that shows by itself after a second, or as soon as there is something to report."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._live: Live | None = None
        self._started = time.monotonic()

    def show(self, text: str | None = None) -> None:
        """Show the line, with another text if one is given."""
        self._text = self._text if text is None else text
        if self._live is not None:
            self._live.start(refresh=True)
            self._live.refresh()

    @contextmanager
    def in_terminal(self) -> Iterator[None]:
        """Show the line on stderr, from the moment when `show` is called until the end of the block."""
        from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
        from rich.live import Live  # noqa: PLC0415 - as above
        from rich.spinner import Spinner  # noqa: PLC0415 - as above

        console = Console(stderr=True, highlight=False)
        if not console.is_interactive:
            yield
            return
        spinner = Spinner("dots" if console.encoding.lower().startswith("utf") else "line")

        def line() -> Spinner:
            spinner.update(text=f"{self._text}, {time.monotonic() - self._started:.0f} s")
            return spinner

        # stdout is left alone; what is logged meanwhile appears above the line.
        self._live = Live(console=console, get_renderable=line, transient=True, redirect_stdout=False)
        timer = asyncio.get_running_loop().call_later(PATIENCE, self.show)
        try:
            yield
        finally:
            timer.cancel()
            self._live.stop()


@contextmanager
def waiting(text: str, *, shows: bool = True) -> Iterator[Progress]:
    """Show a line with this text, and for how long it has been waited, once the block has taken a second.

    Args:
        text: what is waited for.
        shows: `False` shows nothing, where the output itself shows the progress.

    """
    progress = Progress(text)
    if not shows or sys.stderr is None or not sys.stderr.isatty():
        yield progress
        return
    with progress.in_terminal():
        yield progress
