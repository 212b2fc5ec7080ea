"""What a bucket does after a refusal: it pauses, and then paces its calls.

A refusal shows that something else spends the same quota, or that the exchange counts in another way than the window
does. Evenly spaced calls work with both.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

import attrs
from aiolimiter import AsyncLimiter

from okx_sol_async._checks import wrong


@attrs.frozen(kw_only=True)
class PushBack:
    """How a bucket reacts to refusals (50011).

    The first pace is one call each ``seconds / (requests - 1)`` of the limit, 0.2 s for six a second.

    Raises:
        ConfigurationError: a number is not finite or below what it may be; the message names it.

    """

    #: For how many periods of the limit nothing leaves after a refusal. From 0 on.
    pause: float = 1.0
    #: Whether calls leave one by one after the pause. `False`: bursts are allowed again at once.
    paced: bool = True
    #: By what factor the pace becomes slower with each further refusal, and faster after clean time. Above 1.
    step: float = 1.2
    #: How many times slower than at first the pace becomes at most. From 1 on.
    cap: float = 2.0
    #: Seconds without a refusal after which the pace becomes faster, until bursts are allowed again. Above 0.
    clean_time: float = 30.0

    def __attrs_post_init__(self) -> None:
        for name, least, inclusive in (
            ("pause", 0, True),
            ("step", 1, False),
            ("cap", 1, True),
            ("clean_time", 0, False),
        ):
            value = getattr(self, name)
            if type(value) not in {int, float} or not (least <= value < math.inf) or (value == least and not inclusive):
                raise wrong(value, name, f"a finite number {'from' if inclusive else 'above'} {least}")

    def intervals(self, requests: int, period: float) -> tuple[float, float, float]:
        """Return the first and the longest interval of the pace, and the one at which bursts are allowed again."""
        even = period / requests
        first = period / (requests - 1) if requests > 1 else even * self.step
        return first, first * self.cap, even


DEFAULT: Final = PushBack()


class Pace:
    """The pause and the pace of one bucket that was refused. All times are the event loop's, in seconds."""

    __slots__ = (
        "_even",
        "_limiter",
        "_period",
        "_policy",
        "_slowest",
        "clean_since",
        "interval",
        "next_at",
        "paused_until",
    )

    def __init__(self, policy: PushBack, requests: int, period: float, now: float) -> None:
        self._policy = policy
        self._period = period
        #: Seconds between two calls.
        self.interval: float
        self.interval, self._slowest, self._even = policy.intervals(requests, period)
        self._limiter = AsyncLimiter(1, self.interval)
        #: The last refusal, or the last time at which the pace became faster.
        self.clean_since: float = now
        #: Nothing leaves before.
        self.paused_until: float = now + policy.pause * period
        #: The pace allows nothing before.
        self.next_at: float = now

    def refused(self, now: float) -> None:
        """Pause anew, and become slower; refusals within one period are one."""
        if now - self.clean_since >= self._period:
            self.interval = min(self.interval * self._policy.step, self._slowest)
            self.clean_since = now
        self.paused_until = max(self.paused_until, now + self._policy.pause * self._period)

    def ease(self, now: float) -> bool:
        """Become faster for each stretch of clean time, and return whether bursts are allowed again."""
        if not self._policy.paced:
            return now >= self.paused_until
        while now - self.clean_since >= self._policy.clean_time:
            self.clean_since += self._policy.clean_time
            self.interval /= self._policy.step
            if self.interval <= self._even * (1 + 1e-9):
                return True
        return False

    async def keep(self) -> None:
        """Wait until the interval since the last call is over."""
        if not self._policy.paced:
            return
        await self._limiter.acquire()
        if self._limiter.time_period != self.interval:
            # A new limiter knows of no call before; this one is its first.
            self._limiter = AsyncLimiter(1, self.interval)
            await self._limiter.acquire()
        self.next_at = asyncio.get_running_loop().time() + self.interval

    def merge(self, other: Pace) -> None:
        self.paused_until = max(self.paused_until, other.paused_until)
        self.next_at = max(self.next_at, other.next_at)
        self.interval = max(self.interval, other.interval)
        self.clean_since = max(self.clean_since, other.clean_since)

    def shift(self, seconds: float) -> None:
        """Follow the bucket to an event loop whose clock is ahead by ``seconds``."""
        self.paused_until += seconds
        self.next_at += seconds
        self.clean_since += seconds
        self._limiter = AsyncLimiter(1, self.interval)
