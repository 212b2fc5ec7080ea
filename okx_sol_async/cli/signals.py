"""SIGTERM, which ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_interrupts() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM end a command as Ctrl-C does, so that the terminal is restored.

    Yields:
        a function that says whether SIGTERM was received.

    """
    received = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number
        nonlocal received
        received = True
        # asyncio's own handler cancels the main task. A shell makes background jobs ignore Ctrl-C, but not SIGTERM.
        handler = signal.getsignal(signal.SIGINT)
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    in_main_thread = threading.current_thread() is threading.main_thread()
    is_ours = in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield lambda: received
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
