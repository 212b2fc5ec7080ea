"""Ctrl-C and SIGTERM, which end a command in the same way, at any moment."""

from __future__ import annotations

import asyncio
import signal
import socket
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


@contextmanager
def signals_wake_loop() -> Iterator[None]:
    """Let each signal wake the running event loop.

    Python handles a signal between two of its own instructions. One that arrives after the last of them, just before
    the loop waits for the operating system, would be handled when the loop wakes for another reason.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        loop.add_reader(reader, reader.recv, 4096)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reader)


@contextmanager
def signals_held() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C and SIGTERM back while an event loop starts, which they would leave half made.

    Yields:
        a function that lets them through again; so does the end of the block.

    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield release
    finally:
        release()
