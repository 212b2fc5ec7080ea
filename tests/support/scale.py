"""Many calls and many users on a busy loop."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import attrs

from okx_sol_async import RateLimit, Scope, Timeout, TokenBucket
from tests.support.virtual_time import VirtualLoop, now

#: Calls or users at once. The nightly workflow runs the tests of scale with 100,000.
MANY = int(os.environ.get("OKX_SOL_TESTS_MANY", "10_000"))


#: As fair as six a second, and done with all calls a hundred times sooner.
FAST = RateLimit(60, 0.1, Scope.USER)


#: What each pass of a busy loop takes, in seconds.
PASS = 0.005


def keep_busy() -> None:
    """Let each pass of the running event loop take `PASS` from now on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._polling.clock += PASS
    loop.call_soon(keep_busy)


@attrs.frozen
class Seen:
    """What happened to the calls of one bucket."""

    #: The numbers of those that left, in that order, and when.
    left: list[int] = attrs.field(factory=list)
    left_at: list[float] = attrs.field(factory=list)
    gave_up: list[int] = attrs.field(factory=list)

    async def call(self, bucket: TokenBucket, number: int, answer_after: float, deadline: float | None) -> None:
        try:
            lease = await bucket.acquire(deadline)
        except Timeout:
            self.gave_up.append(number)
            return
        self.left.append(number)
        self.left_at.append(now())
        asyncio.get_running_loop().call_later(answer_after, lease.answered)

    def most_within(self, seconds: float, limit: RateLimit) -> int:
        """Return the most that left in any stretch of ``seconds``, or one more than the limit."""
        requests = limit.requests
        kept = all(later - earlier >= seconds for earlier, later in zip(self.left_at, self.left_at[requests:]))  # noqa: B905
        return requests if kept else requests + 1


@contextmanager
def queue_of(bucket: TokenBucket, length: int) -> Iterator[list[asyncio.Task[object]]]:
    """Let a number of calls wait; the ones that still wait in the end are cancelled."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(bucket.acquire()) for _ in range(length)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


class Steps:
    """How many functions are entered and resumed while it counts: time without a clock."""

    def __init__(self) -> None:
        self.taken = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _note(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.taken += event in {"call", "c_call"}
