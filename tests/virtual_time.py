"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


class _PollingSelector(selectors.DefaultSelector):
    """Looks for input and never waits for it; what the loop would have waited, the clock jumps."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.clock = start

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            message = "nothing is scheduled and nothing can come: the test would wait for ever"
            raise RuntimeError(message)
        # The least step keeps a timer that is due "now" by a rounding error from spinning for ever.
        self.clock += max(timeout or 0.0, 1e-6)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that takes no real time. Without sockets only."""

    def __init__(self, start: float = 1000.0) -> None:
        self._polling = _PollingSelector(start)
        super().__init__(self._polling)

    def time(self) -> float:
        return self._polling.clock


def run(main: Coroutine[Any, Any, R], *, start: float = 1000.0) -> R:
    """Run a coroutine on a virtual clock and return its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(main)
