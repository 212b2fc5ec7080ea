"""The event loops and processes that buckets are used in."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final
from weakref import ref

from okx_sol_async.errors import ConfigurationError

#: How late the clock of an event loop that does not report its resolution may be, in seconds. uvloop's shows whole
#: milliseconds, of a clock that may itself advance in steps of one.
COARSE_CLOCK: Final = 0.002


def _no_binding() -> None:
    """Return that there is none."""


class _Process:
    """What the buckets of a process share, and a child process begins anew."""

    def __init__(self) -> None:
        # Two loops that want one bucket may run in two threads, and a third thread may be evicting it. Where the lock
        # of a limiter is needed too, that one is taken first.
        self.moving: threading.RLock = threading.RLock()
        #: How many forks lie between the first process and this one.
        self.forks: int = 0
        # The binding that was asked for last, as long as a bucket uses it: most processes have one loop.
        self.latest: Callable[[], Binding | None] = _no_binding

    def begin_in_child(self) -> None:
        # Another thread of the parent may have held the lock, and does not exist here to release it.
        self.moving = threading.RLock()
        self.forks += 1
        self.latest = _no_binding


class Binding:
    """An event loop that buckets are bound to, in the process where it happened. Its buckets share it."""

    __slots__ = ("__weakref__", "_forks", "loop", "resolution")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self._forks = PROCESS.forks
        #: How late the clock of the loop may be, in seconds.
        self.resolution: float = getattr(loop, "_clock_resolution", COARSE_CLOCK)

    def is_alive(self) -> bool:
        """Return whether the loop still runs calls, or may do so again."""
        if self.loop.is_closed():
            return False
        # A loop that was at rest during a fork may continue in the child.
        return self._forks == PROCESS.forks or running_loop() is self.loop


PROCESS: Final[_Process] = _Process()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=PROCESS.begin_in_child)


def binding_of(loop: asyncio.AbstractEventLoop) -> Binding:
    binding = PROCESS.latest()
    if binding is None or binding.loop is not loop:
        binding = Binding(loop)
        PROCESS.latest = ref(binding)
    return binding


def running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def used_elsewhere() -> ConfigurationError:
    message = "calls of the same limit are made on another event loop that is still alive"
    hint = "Use one event loop for all calls of one user, and for all public ones, or asyncio.run_coroutine_threadsafe."
    return ConfigurationError(message, hint=hint)
