"""What a bucket does after a refusal: first a pause, then a pace.

A refusal shows that something else spends the same quota, or that the exchange counts in another way than the window
provides for. Evenly spaced calls get along with both.
"""

from __future__ import annotations

from typing import Final

from aiolimiter import AsyncLimiter

#: After so many seconds without a refusal the pace becomes faster.
CLEAN_TIME: Final = 30.0
#: By what factor the pace becomes slower after a refusal, and faster after clean time.
PACE_STEP: Final = 1.2
#: How much slower than its first step the pace becomes at most.
PACE_CAP: Final = 2.0


class PushBack:
    """The pause and the pace of one bucket. All times are the event loop's, in seconds."""

    __slots__ = ("_clean_since", "_even", "_fastest", "_interval", "_pace", "_period", "paused_until")

    def __init__(self, requests: int, period: float, now: float) -> None:
        self._period = period
        self._even = period / requests
        self._fastest = period / (requests - 1) if requests > 1 else self._even * PACE_STEP
        self._interval = self._fastest
        self._pace = AsyncLimiter(1, self._interval)
        self._clean_since = now
        #: Nothing leaves before.
        self.paused_until = now + period

    def refused(self, now: float) -> None:
        """Pause anew, and become slower; refusals within one period are one."""
        if now - self._clean_since >= self._period:
            self._interval = min(self._interval * PACE_STEP, self._fastest * PACE_CAP)
            self._clean_since = now
        self.paused_until = max(self.paused_until, now + self._period)

    def ease(self, now: float) -> bool:
        """Become faster for each stretch of clean time, and tell whether bursts are allowed again."""
        while now - self._clean_since >= CLEAN_TIME:
            self._clean_since += CLEAN_TIME
            self._interval /= PACE_STEP
            if self._interval <= self._even * (1 + 1e-9):
                return True
        return False

    async def keep_pace(self) -> None:
        """Wait until the interval since the last call is over."""
        await self._pace.acquire()
        if self._pace.time_period != self._interval:
            # A new limiter knows of no call before; this one is its first.
            self._pace = AsyncLimiter(1, self._interval)
            await self._pace.acquire()

    def shift(self, seconds: float) -> None:
        """Follow the bucket to an event loop whose clock is ahead by ``seconds``."""
        self.paused_until += seconds
        self._clean_since += seconds
        self._pace = AsyncLimiter(1, self._interval)
