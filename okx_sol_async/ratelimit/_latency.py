"""How long calls take from their departure to their response."""

from __future__ import annotations

import math
from typing import Final

#: The least time for which an abandoned call is taken to be on its way, in seconds.
LEAST_LATENCY: Final = 0.5
#: The largest and smallest latencies are remembered for one to two of these, in seconds.
MEMORY: Final = 30.0


class MaxLatency:
    """The longest latency of the last 30 to 60 seconds."""

    __slots__ = ("_before", "_now", "_since")

    def __init__(self) -> None:
        self._now = 0.0
        self._before = 0.0
        self._since = -math.inf

    def note(self, seconds: float, now: float) -> None:
        if not 0 <= now - self._since < MEMORY:
            self._turn(now)
        # No call in between, so that another thread cannot put a shorter one in its place.
        if seconds > self._now:  # noqa: PLR1730
            self._now = seconds

    def seconds(self, now: float) -> float:
        """Return the longest latency, and at least half a second."""
        if not 0 <= now - self._since < MEMORY:
            self._turn(now)
        return max(self._now, self._before, LEAST_LATENCY)

    def _turn(self, now: float) -> None:
        recent = 0 <= now - self._since < 2 * MEMORY
        self._before = self._now if recent else 0.0
        self._now = 0.0
        self._since = self._since + MEMORY if recent else now


#: The number of responses after which an early release is taken from their latency.
WARM_UP: Final = 20
#: The least distance between an early release and the shortest latency, in seconds.
LEAST_GUARD: Final = 0.005


class MinLatency:
    """The shortest recent latency, and the early release that it allows.

    A slot may be released earlier than a period after its response by the time that a call and its response certainly
    take on the network. That time is unknown; the shortest latency seen exceeds it, by an amount that grows with the
    variation. So the early release stays below the shortest latency by the mean distance from it, and the guard never
    takes more than half of it.
    """

    __slots__ = ("_before", "_count", "_mean", "_now", "_since")

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._now = math.inf
        self._before = math.inf
        self._since = -math.inf

    def note(self, seconds: float, now: float) -> None:
        if not 0 <= now - self._since < 2 * MEMORY:
            self._before, self._now, self._since = self._now, math.inf, now
        self._now = min(self._now, seconds)
        self._mean = seconds if self._count == 0 else self._mean + (seconds - self._mean) / 20
        self._count += 1

    def shortest(self) -> float:
        """Return the shortest latency, infinite without a response."""
        return min(self._now, self._before)

    def spread(self) -> float:
        """Return by how much latencies exceed the shortest on average; 0 without a response."""
        return self._mean - self.shortest() if self._count else 0.0

    def early_release(self) -> float:
        """Return the seconds by which a slot may be released earlier."""
        if self._count < WARM_UP:
            return 0.0
        shortest = self.shortest()
        guard = min(shortest / 2, max(LEAST_GUARD, self._mean - shortest))
        return max(shortest - guard, 0.0)
