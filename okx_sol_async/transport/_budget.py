"""The retry budget: how many retries a whole session may make."""

from __future__ import annotations

import logging
from typing import Final

logger: Final = logging.getLogger("okx_sol_async")

#: Retries that a session may make at once.
RESERVE: Final = 50.0
#: Retries that each call adds.
SHARE: Final = 0.1
#: Retries that each second adds.
PER_SECOND: Final = 1.0
#: Connections that may be dead at once without an outage: as many as a session keeps.
KEPT: Final = 256


class RetryBudget:
    """How many retries a session may make, so that an outage of OKX is not answered by a storm of calls.

    In an outage all calls fail, and with three attempts each a service would call OKX three times as often as before.
    With the budget it is a tenth more, and one a second, once the reserve is spent. A single bot never notices.
    """

    __slots__ = ("_empty", "_filled_at", "_kept", "_left")

    def __init__(self) -> None:
        self._left = RESERVE
        self._filled_at: float | None = None
        self._empty = False
        self._kept = 0

    @property
    def left(self) -> float:
        """How many retries there are, as they were counted last."""
        return min(self._left, RESERVE)

    def earn(self) -> None:
        self._left += SHARE

    def kept(self) -> None:
        """Count a response, whose connection may be kept alive."""
        if self._kept < KEPT:
            self._kept += 1

    def spend_on_kept(self) -> bool:
        """Take one retry for a connection that was kept and is dead, and return whether there may have been one.

        Each has carried a response before, so there are no more of them than responses. What breaks beyond that was new,
        and is an outage.
        """
        if not self._kept:
            return False
        self._kept -= 1
        return True

    def spend(self, now: float) -> bool:
        """Take one retry, and return whether there was one."""
        elapsed = 0.0 if self._filled_at is None else max(now - self._filled_at, 0.0)
        self._filled_at = now
        self._left = min(self._left + elapsed * PER_SECOND, RESERVE)
        if self._left >= 1:
            self._left -= 1
            # In an outage there is one again every now and then, which is no news.
            self._empty = self._empty and self._left < RESERVE / 2
            return True
        if not self._empty:
            self._empty = True
            logger.warning("the retry budget is spent, so most failed calls are not resent: OKX or the network is down")
        return False
