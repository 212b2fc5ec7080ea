"""The slots of one user in `bound`."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from typing import Final

from okx_sol_async import BALANCE

REQUESTS: Final = BALANCE.limit.requests


class Bucket:
    """A slot is in flight, or becomes free at one of ``releases``. What can leave at once needs no method."""

    __slots__ = ("in_flight", "loop", "releases", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.in_flight = 0
        #: In order.
        self.releases: tuple[float, ...] = ()
        #: `None` while no call waits.
        self.waiters: deque[asyncio.Future[None]] | None = None

    async def wait(self, *, first: bool) -> None:
        """Wait for a slot, and take it."""
        future = self.loop.create_future()
        if self.waiters is None:
            self.waiters = deque()
        if first:
            self.waiters.appendleft(future)
        else:
            self.waiters.append(future)
        self.wake()
        try:
            await future
        except asyncio.CancelledError:
            if not future.cancelled():
                self.in_flight -= 1
            self.wake()
            raise

    def release(self, at: float) -> None:
        """End a call in flight: its slot becomes free at ``at``."""
        self.in_flight -= 1
        self.releases = tuple(sorted((*self.releases, at)))
        self.wake()

    def wake(self) -> None:
        """Give the free slots to the waiters, and come again when the next one is free."""
        waiters = self.waiters
        if waiters is None:
            return
        self.releases = self.releases[bisect_right(self.releases, self.loop.time()) :]
        while waiters and self.in_flight + len(self.releases) < REQUESTS:
            future = waiters.popleft()
            if not future.done():
                self.in_flight += 1
                future.set_result(None)
        if not waiters:
            self.waiters = None
        elif self.releases:
            self.loop.call_at(self.releases[0], self.wake)
