"""The ways in which an exchange may count calls; independent of the limiter of this package."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Final, Literal, Protocol

#: How the exchange counts calls. OKX does not document which one it uses.
Window = Literal["sliding", "fixed", "token", "counter"]

# Tolerance for rounding errors of tokens and weights.
_ROUNDING: Final = 1e-9


class CountingWindow(Protocol):
    """Accepts calls up to a limit."""

    def __init__(self, requests: int, seconds: float) -> None:
        """Allow ``requests`` calls in ``seconds``."""

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""


class SlidingWindow:
    """Accepts a call when fewer than ``requests`` were accepted in the ``seconds`` before it.

    A call that was accepted exactly ``seconds`` ago no longer counts.
    """

    __slots__ = ("_accepted", "_requests", "_seconds")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._accepted: deque[float] = deque(maxlen=requests)

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        if len(self._accepted) == self._requests and now - self._accepted[0] < self._seconds:
            return False
        self._accepted.append(now)
        return True


class FixedWindow:
    """Accepts ``requests`` calls in each stretch of ``seconds``; stretches begin at multiples of ``seconds``."""

    __slots__ = ("_accepted", "_requests", "_seconds", "_stretch")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._stretch = -math.inf
        self._accepted = 0

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        stretch = now // self._seconds
        if stretch != self._stretch:
            self._stretch = stretch
            self._accepted = 0
        if self._accepted == self._requests:
            return False
        self._accepted += 1
        return True


class TokenWindow:
    """Accepts a call for a token. There are ``requests`` tokens at first, and ``requests`` are refilled in ``seconds``."""

    __slots__ = ("_refilled_at", "_requests", "_seconds", "_tokens")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._tokens = float(requests)
        self._refilled_at = 0.0

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        refill = (now - self._refilled_at) * self._requests / self._seconds
        self._tokens = min(self._requests, self._tokens + refill)
        self._refilled_at = now
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True


class CounterWindow:
    """Accepts by two fixed windows, of which the previous one is weighted by the share of this one that is left.

    A call is accepted when it, the calls of this window and the weighted calls of the previous one are at most
    ``requests``. Windows begin at multiples of ``seconds``.
    """

    __slots__ = ("_before", "_current", "_requests", "_seconds", "_stretch")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._stretch = -math.inf
        self._before = 0
        self._current = 0

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        stretch, elapsed = divmod(now, self._seconds)
        if stretch != self._stretch:
            self._before = self._current if stretch == self._stretch + 1 else 0
            self._current = 0
            self._stretch = stretch
        counted = self._before * (1 - elapsed / self._seconds) + self._current
        if counted + 1 > self._requests + _ROUNDING:
            return False
        self._current += 1
        return True


#: The window of each name.
WINDOWS: Final[Mapping[Window, type[CountingWindow]]] = {
    "sliding": SlidingWindow,
    "fixed": FixedWindow,
    "token": TokenWindow,
    "counter": CounterWindow,
}
