"""What is in flight: the calls of a session, for closing it, and the sends on the network, for their timeouts."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol
from weakref import WeakValueDictionary


class Stoppable(Protocol):
    """A call that can be ended from outside."""

    def stop(self) -> None:
        """End the call, because the session closes."""


class Expiring(Protocol):
    """A send that has a timeout."""

    def expire(self) -> None:
        """End the send, because its timeout is over."""


class _Activity:
    """More than one call. Each of its calls ends by itself."""

    def stop(self) -> None:
        """Do nothing."""


class Shutdown:
    """How far the closing of a session has come."""

    __slots__ = ("begun", "done", "drained")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew on another event loop: whatever waited here waited on a loop that is gone."""
        #: No new calls are made.
        self.begun: asyncio.Event = asyncio.Event()
        #: The calls that were in flight have ended, or are being ended.
        self.drained: asyncio.Event = asyncio.Event()
        #: Everything is closed.
        self.done: asyncio.Event = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        """Whether calls in flight may still end by themselves."""
        return self.begun.is_set() and not self.drained.is_set()


class CallsInFlight:
    """The calls of a session that have begun and not ended, oldest first."""

    __slots__ = ("_calls", "_none_left")

    def __init__(self) -> None:
        self._calls: dict[Stoppable, None] = {}
        # Only for a session that waits for its last call.
        self._none_left: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, call: Stoppable) -> None:
        self._calls[call] = None

    def end(self, call: Stoppable) -> None:
        self._calls.pop(call, None)
        if self._none_left is not None and not self._calls:
            self._none_left.set()

    @contextmanager
    def activity(self) -> Iterator[None]:
        """Count what is done in a ``with`` block as a call, such as several calls that belong together."""
        activity = _Activity()
        self.begin(activity)
        try:
            yield
        finally:
            self.end(activity)

    async def drain(self, seconds: float) -> None:
        """Wait until no call is in flight, for at most ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # What follows a call may have begun another one.
                while self._calls:
                    if self._none_left is None or self._none_left.is_set():
                        self._none_left = asyncio.Event()
                    await self._none_left.wait()

    def stop_all(self) -> None:
        for call in tuple(self._calls):
            call.stop()


class AttemptTimeouts:
    """Ends sends that take too long, with one timer for all of them.

    All sends have the same timeout, so the one that began first is due first. A timer for each, as `asyncio.timeout`
    sets, costs 5 % of a call.
    """

    __slots__ = ("__weakref__", "_due", "_timer", "timeout")

    def __init__(self, timeout: float) -> None:
        #: Seconds of each send.
        self.timeout: float = timeout
        # Emptied from the front, a dict would search its freed entries again and again.
        self._due: OrderedDict[Expiring, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, send: Expiring, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._due[send] = due = now + self.timeout
        if self._timer is None:
            self._timer = loop.call_at(due, self._on_timer, loop)

    def end(self, send: Expiring) -> None:
        self._due.pop(send, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._due:
            send, due = next(iter(self._due.items()))
            if due > now:
                self._timer = loop.call_at(due, self._on_timer, loop)
                return
            self._due.popitem(last=False)
            send.expire()


class TimeoutRegistry:
    """The `AttemptTimeouts` of a session: one for each length that is in use."""

    __slots__ = ("_by_length",)

    def __init__(self) -> None:
        # Weak: a service may derive another timeout from each of its requests.
        self._by_length: WeakValueDictionary[float, AttemptTimeouts] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._by_length)

    def of(self, timeout: float) -> AttemptTimeouts:
        """Return the one for sends of ``timeout`` seconds."""
        found = self._by_length.get(timeout)
        if found is None:
            found = self._by_length[timeout] = AttemptTimeouts(timeout)
        return found

    def close(self) -> None:
        for timeouts in tuple(self._by_length.values()):
            timeouts.close()
