"""Limiters that keep no limit: they take part in a call, and note what it does with its leases."""

import asyncio

from okx_sol_async import (
    BucketKey,
    Lease,
    RateLimit,
    Timeout,
)


class InstantLimiter:
    """Hands out leases at once and notes what becomes of them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.keys: list[BucketKey] = []

    def bucket(self, key: BucketKey, limit: RateLimit) -> "InstantLimiter":
        self.keys.append(key)
        return self

    async def acquire(self, deadline: float | None) -> "InstantLimiter":
        self.events.append("acquire")
        return self

    def answered(self) -> None:
        self.events.append("answered")

    def abandoned(self) -> None:
        self.events.append("abandoned")

    def refused(self) -> None:
        self.events.append("refused")


class SlowLimiter:
    """Lets each caller stand in the queue until it gives up."""

    def bucket(self, key: BucketKey, limit: RateLimit) -> "SlowLimiter":
        return self

    async def acquire(self, deadline: float | None) -> Lease:
        loop = asyncio.get_running_loop()
        await asyncio.sleep((deadline or loop.time() + 5) - loop.time())
        raise Timeout("late")
