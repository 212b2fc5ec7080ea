"""Limiters that count calls when they leave: what people use instead of ours."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from aiolimiter import AsyncLimiter

from tests.benchmarks.simulation import PERIOD, REQUESTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Acquire = Callable[[], Awaitable[object]]

#: What ccxt 4 allows OKX, in milliseconds a unit, and how many units a balance is.
CCXT_RATE_LIMIT: Final = 110
CCXT_COST: Final = 5 / 3


class SendLog:
    """Lets a call leave when fewer than six have left in the second before, first come, first served."""

    def __init__(self, margin: float = 0.0) -> None:
        self._period = PERIOD + margin
        self._left: deque[float] = deque(maxlen=REQUESTS)
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait until a call may leave."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if len(self._left) == REQUESTS:
                await asyncio.sleep(self._left[0] + self._period - loop.time())
            self._left.append(loop.time())


def has_ccxt() -> bool:
    """Return whether ccxt is installed."""
    return importlib.util.find_spec("ccxt") is not None


def _ccxt() -> Acquire:
    # It is no dependency, has no types, and takes seconds to import.
    module: Any = importlib.import_module("ccxt.async_support.base.throttler")
    loop = asyncio.get_running_loop()
    module.time = loop.time
    throttler = module.Throttler({"refillRate": 1 / CCXT_RATE_LIMIT}, loop)

    def acquire() -> Awaitable[object]:
        turn: asyncio.Future[object] = throttler(CCXT_COST)
        return turn

    return acquire


#: Each is made inside a running event loop.
RIVALS: Final[Mapping[str, Callable[[], Acquire]]] = {
    "AsyncLimiter(6, 1)": lambda: AsyncLimiter(REQUESTS, PERIOD).acquire,
    "AsyncLimiter(1, 1/6)": lambda: AsyncLimiter(1, PERIOD / REQUESTS).acquire,
    "send log": lambda: SendLog().acquire,
    "send log + 50 ms": lambda: SendLog(0.05).acquire,
    "ccxt": _ccxt,
}
