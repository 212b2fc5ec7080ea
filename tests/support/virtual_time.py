"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

R = TypeVar("R")


def now() -> float:
    """Return the time of the running loop, in seconds."""
    return asyncio.get_running_loop().time()


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

    selector = _PollingSelector

    def __init__(self, start: float = 1000.0) -> None:
        self._polling = self.selector(start)
        super().__init__(self._polling)

    def time(self) -> float:
        return self._polling.clock


def run(main: Coroutine[Any, Any, R], *, start: float = 1000.0) -> R:
    """Run a coroutine on a virtual clock and return its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(main)


def run_with_sockets(main: Coroutine[Any, Any, R]) -> R:
    """The same for a client and a server that talk over real sockets."""
    with asyncio.Runner(loop_factory=VirtualSocketLoop) as runner:
        return runner.run(main)


#: A thread may have to do something before anything happens on the loop; who waits for longer waits in vain.
_PATIENCE = 60.0


class _PatientSelector(_PollingSelector):
    """Waits a moment for input that is on its way between two sockets of this process, before the clock jumps."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = selectors.DefaultSelector.select(self, 0)
        if not ready and (timeout is None or timeout > 0.005):
            ready = self._look_again(timeout)
        if ready or timeout == 0:
            self.clock += 1e-6
            return ready
        return super().select(timeout)

    def _look_again(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None:
            # The system needs the processor to hand on what was sent. A selector would wait for a whole millisecond.
            time.sleep(0.00001)
        return selectors.DefaultSelector.select(self, _PATIENCE if timeout is None else 0)


class VirtualSocketLoop(VirtualLoop):
    """The same for a client and a server on one loop, which talk over real sockets."""

    selector = _PatientSelector
    _steps_left = 0
    _stepped: asyncio.Future[None] | None = None

    def run_in_executor(self, *_: object) -> NoReturn:  # type: ignore[override]
        message = "the clock would not wait for a thread: this test needs a real one"
        raise RuntimeError(message)

    def step(self, number: int) -> asyncio.Future[None]:
        """Return a future that is done after a number of steps of the loop; one that waits for a timer is one step."""
        self._steps_left, self._stepped = number, self.create_future()
        return self._stepped

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc] # asyncio's loops have it
        self._steps_left -= 1
        if self._steps_left <= 0 and self._stepped is not None:
            self._stepped.set_result(None)
            self._stepped = None
