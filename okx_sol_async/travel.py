"""How long calls travel."""

from __future__ import annotations

import math
from typing import Final

#: What a call that was given up is at least taken to travel, in seconds.
SHORTEST_TRAVEL: Final = 0.5
#: For how long the longest answer time is remembered: between one and two of these, in seconds.
MEMORY: Final = 30.0


class LongestAnswer:
    """The longest time from sending a call to its answer, over the last 30 to 60 seconds."""

    __slots__ = ("_before", "_now", "_turned_at")

    def __init__(self) -> None:
        self._now = 0.0
        self._before = 0.0
        self._turned_at = -math.inf

    def note(self, seconds: float, now: float) -> None:
        """Count an answer that took ``seconds``."""
        self._turn(now)
        self._now = max(self._now, seconds)

    def seconds(self, now: float) -> float:
        """Return the longest answer time, and at least half a second."""
        self._turn(now)
        return max(self._now, self._before, SHORTEST_TRAVEL)

    def _turn(self, now: float) -> None:
        elapsed = now - self._turned_at
        if 0 <= elapsed < MEMORY:
            return
        recent = 0 <= elapsed < 2 * MEMORY
        self._before = self._now if recent else 0.0
        self._now = 0.0
        self._turned_at = self._turned_at + MEMORY if recent else now
