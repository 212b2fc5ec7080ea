"""Buckets for tests: their limit, their keys, calls through them, and what tests look at inside."""

import asyncio

from okx_sol_async import Bucket, BucketKey, RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from tests.support.virtual_time import now

#: OKX's limit of most endpoints.
SIX = RateLimit(6, 1.0, Scope.USER)
#: Seconds for which a slot of `SIX` is in use after the response.
HOLD = 1.0 + CLOCK_DRIFT
#: What the virtual clock adds by itself.
TICKS = 1e-3


def key(owner: str | None) -> BucketKey:
    """Return the key of a user's bucket."""
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


async def take(bucket: Bucket, log: list[object], name: object, *, answer_after: float = 0.0) -> None:
    """Make one call, and log its name and the time at which it left, in seconds since the virtual clock began."""
    lease = await bucket.acquire(None)
    log.append((name, round(now() - 1000, 2)))
    await asyncio.sleep(answer_after)
    lease.answered()


def granted(bucket: TokenBucket) -> int:
    """Return how many waiters were given a slot and have not run since."""
    queue = bucket.state.queue
    return 0 if queue is None else queue.granted


def wakes_at(bucket: TokenBucket) -> float:
    """Return when the timer of the queue is due."""
    queue = bucket.state.queue
    assert queue is not None
    assert queue.wakes_at is not None
    return queue.wakes_at
