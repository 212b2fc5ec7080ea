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
        # No call in between, so that another thread cannot put a shorter one in its place.
        if seconds > self._now:  # noqa: PLR1730
            self._now = seconds

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


#: So many answers are seen before a lead is taken from them.
WARM_UP: Final = 20
#: The least distance that a lead keeps from the shortest answer time, in seconds.
LEAST_GUARD: Final = 0.005


class ShortestAnswer:
    """The shortest answer time lately, and the lead that it allows.

    A slot may be free earlier than a period after its answer by the time that the call and the answer certainly
    travel. How long that is, nobody tells; the shortest time seen is more than it, by as much as the time varies.
    So the lead stays below the shortest time by the mean distance from it, and never takes more than half of what
    would be left for that.
    """

    __slots__ = ("_answers", "_before", "_mean", "_now", "_turned_at")

    def __init__(self) -> None:
        self._answers = 0
        self._mean = 0.0
        self._now = math.inf
        self._before = math.inf
        self._turned_at = -math.inf

    def note(self, seconds: float, now: float) -> None:
        """Count an answer that took ``seconds``."""
        if not 0 <= now - self._turned_at < 2 * MEMORY:
            self._before, self._now, self._turned_at = self._now, math.inf, now
        self._now = min(self._now, seconds)
        self._mean = seconds if self._answers == 0 else self._mean + (seconds - self._mean) / 20
        self._answers += 1

    def shortest(self) -> float:
        """Return the shortest time, infinite if there was none."""
        return min(self._now, self._before)

    def spread(self) -> float:
        """Return by how much answers take longer than the shortest, on average; 0 if there was none."""
        return self._mean - self.shortest() if self._answers else 0.0

    def lead(self) -> float:
        """Return the seconds by which a slot may be free earlier."""
        if self._answers < WARM_UP:
            return 0.0
        shortest = self.shortest()
        guard = min(shortest / 2, max(LEAST_GUARD, self._mean - shortest))
        return max(shortest - guard, 0.0)
