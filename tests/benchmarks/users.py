"""What a user costs in a process of 1,000, of 10,000 and of 100,000: each figure ought to be the same, or nearly.

All users call once within a second, through one limiter, and nobody is on the wire: it is about the buckets and what
keeps them. The event loop's clock is virtual, so each has a bucket while they are measured, however long that takes;
the times that are told were spent on the processor, and are the least of some rounds.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from okx_sol_async import BALANCE, BucketKey, LocalLimiter
from okx_sol_async.ratelimit import SWEEP_EVERY
from tests.benchmarks.report import Figure, Line, Note
from tests.virtual_time import run as run_on_virtual_clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZES = (1_000, 10_000, 100_000)
#: Calls that are timed for each size, in as many rounds as it takes, and at least so many rounds.
CALLS = 100_000
ROUNDS = 3
#: What a call takes may not grow by more than the logarithm of the number of users does.
LOGARITHMIC = math.log(SIZES[-1], SIZES[0])
#: Bytes; what is left are single objects, not some for each user.
GOAL_IDLE = 1.0
#: Milliseconds; a call on a fast network takes as long.
GOAL_SWEEP = 5.0
#: Until every bucket is idle and has been let go, in seconds.
LATER = 3.0


@attrs.frozen
class _Cost:
    """What ``users`` users cost."""

    users: int
    #: Bytes a user who called within the last second, and later.
    active: float
    idle: float
    #: Microseconds to find or make a bucket, take a lease and tell that it was answered.
    first_call: float
    next_call: float
    #: Milliseconds, the longest stretch for which nothing else runs while all buckets are let go.
    sweep: float
    #: Milliseconds of a full garbage collection on account of the buckets.
    collection: float


def run() -> Iterator[Line]:
    """Measure every size, then set them side by side."""
    costs = [_measure(users) for users in SIZES]
    yield Note(f"with {', '.join(f'{users:,}' for users in SIZES)} users, and the last over the first:")
    yield _growth("bytes of an active bucket", [cost.active for cost in costs], LOGARITHMIC)
    yield _growth("us of a call, its bucket made", [cost.first_call for cost in costs], LOGARITHMIC)
    yield _growth("us of a call, its bucket found", [cost.next_call for cost in costs], LOGARITHMIC)
    yield _growth("ms that letting go holds the loop up", [cost.sweep for cost in costs])
    yield _growth("ms of a full garbage collection", [cost.collection for cost in costs])
    # It looks at all that lives, so it takes as long as there are buckets; and larger ones than the caches hold, longer.
    yield _growth("us of that for each user", [cost.collection / cost.users * 1e3 for cost in costs])
    last = costs[-1]
    yield Figure("users", last.idle, f"bytes an idle user, of {last.users:,}", GOAL_IDLE)
    yield Figure("users", last.sweep, f"ms is the loop held up by {last.users:,} that go", GOAL_SWEEP)


def _growth(what: str, figures: Sequence[float], goal: float | None = None) -> Figure:
    detail = "  ".join(f"{figure:8.2f}" for figure in figures)
    goal = None if goal is None else round(goal, 2)
    return Figure("users", figures[-1] / figures[0], f"x {what}", goal, detail)


def _measure(users: int) -> _Cost:
    owners = [f"user {number}" for number in range(users)]
    active, idle = run_on_virtual_clock(_bytes(owners))
    rounds = max(CALLS // users, ROUNDS)
    first, following = zip(*(run_on_virtual_clock(_microseconds(owners)) for _ in range(rounds)), strict=True)
    return _Cost(
        users,
        active,
        idle,
        min(first),
        min(following),
        min(run_on_virtual_clock(_longest_sweep(owners)) for _ in range(ROUNDS)),
        run_on_virtual_clock(_collection(owners)),
    )


async def _call_once(limiter: LocalLimiter, owners: Sequence[str]) -> None:
    for owner in owners:
        # As a session does for each call.
        key = BucketKey("https://openapi.okx.com", False, owner, BALANCE.method, BALANCE.path)  # noqa: FBT003 - demo
        (await limiter.bucket(key, BALANCE.limit).acquire(None)).answered()


async def _bytes(owners: Sequence[str]) -> tuple[float, float]:
    limiter = LocalLimiter()
    await _call_once(limiter, owners[:1])
    await asyncio.sleep(LATER)
    tracemalloc.start()
    try:
        before = _traced()
        await _call_once(limiter, owners)
        active = _traced() - before
        assert len(limiter) == len(owners)
        await asyncio.sleep(LATER)
        assert len(limiter) == 0
        idle = _traced() - before
    finally:
        tracemalloc.stop()
    return active / len(owners), idle / len(owners)


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def _microseconds(owners: Sequence[str]) -> tuple[float, float]:
    limiter = LocalLimiter()
    gc.collect()
    # What it costs has a line of its own.
    gc.disable()
    try:
        times = [time.process_time()]
        for _ in range(2):
            await _call_once(limiter, owners)
            times.append(time.process_time())
    finally:
        gc.enable()
    first, following = ((end - start) / len(owners) * 1e6 for start, end in pairwise(times))
    return first, following


async def _longest_sweep(owners: Sequence[str]) -> float:
    limiter = LocalLimiter()
    await _call_once(limiter, owners)
    longest = 0.0
    # Just before the sweep that finds them idle; from then on, this runs once in each pass of the loop, as a sweep does.
    await asyncio.sleep(math.ceil(BALANCE.limit.seconds * 1.01 / SWEEP_EVERY) * SWEEP_EVERY - 1e-4)
    assert len(limiter) == len(owners)
    gc.collect()
    gc.disable()
    try:
        before = time.thread_time()
        while len(limiter) > 0:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest = max(longest, now - before)
            before = now
    finally:
        gc.enable()
    return longest * 1e3


async def _collection(owners: Sequence[str]) -> float:
    limiter = LocalLimiter()
    gc.collect()
    # What was there before is not looked at.
    gc.freeze()
    try:
        await _call_once(limiter, owners)
        return min(_collect() for _ in range(ROUNDS)) * 1e3
    finally:
        gc.unfreeze()


def _collect() -> float:
    began = time.process_time()
    gc.collect()
    return time.process_time() - began
