"""What a user costs in a process of 1,000, of 10,000 and of 100,000: each figure ought to be the same, or nearly.

All users call once within a second, through one limiter, and nothing is sent: it is about the buckets and what
keeps them. The event loop's clock is virtual, so each has a bucket while they are measured, however long that takes;
the times that are shown were spent on the processor, and are the least of some rounds. The garbage collector runs all
the while, as it does in a service: a call's time has its part of every collection in it, full ones included.

A full collection looks at all that lives, so its pause cannot be flat in the number of users; what can be is its part
for each bucket, and how seldom it comes. Those of the young, which come all the time, have nothing to do with who else
is there.
"""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
import time
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import attrs

from okx_sol_async import BALANCE, BucketKey, LocalLimiter, Session, SolStaking
from okx_sol_async.transport._in_flight import AttemptTimeouts
from tests.benchmarks.memory import traced_memory
from tests.benchmarks.plain import make_credentials
from tests.benchmarks.report import Figure, Line, Note
from tests.benchmarks.server import light_server
from tests.support.virtual_time import VirtualLoop
from tests.support.virtual_time import run as run_on_virtual_clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZES = (1_000, 10_000, 100_000)
#: Calls that are timed for each size, in as many rounds as it takes, and at least this many rounds.
CALLS = 100_000
ROUNDS = 3
#: What a call takes may not grow by more than the logarithm of the number of users does.
LOGARITHMIC = math.log(SIZES[-1], SIZES[0])
#: There is a full collection each time a quarter more lives than at the last one, so each bucket has its part of some,
#: however many there are; but looking at what is not in the processor's caches takes two to three times as long.
GOAL_MADE = 2.5
#: Bytes; what is left are single objects, not some for each user.
GOAL_IDLE = 1.0
#: Milliseconds; a call on a fast network takes as long.
GOAL_SWEEP = 5.0
#: Microseconds of a full collection for each bucket; there is one object to look at.
GOAL_COLLECTION = 0.5
#: Calls over TCP, each of a user who is new, while the others are in flight.
CALLS_ON_WIRE = 10_000
AT_ONCE = 16
#: What one costs may not grow with how many there are, but for caches.
GOAL_EXPIRY = 3.0
#: Calls that are ended together because no response came in time.
EXPIRING = (1_000, 30_000)
#: Until every bucket is idle and has been evicted, in seconds.
LATER = 3.0


@attrs.frozen
class _Cost:
    """What ``users`` users cost."""

    users: int
    #: Bytes a user who called within the last second, and later.
    active: float
    idle: float
    #: Microseconds to find or make a bucket, take a lease and end it.
    first_call: float
    next_call: float
    #: Milliseconds, the longest stretch for which nothing else runs while all buckets are evicted.
    sweep: float
    #: Milliseconds of a full garbage collection on account of the buckets.
    collection: float
    #: The objects that it looks at for each of them.
    looked_at: float
    #: Milliseconds, the usual pause for collecting the young, of both kinds together, in `CALLS_ON_WIRE` calls.
    young: float
    #: How many full collections there were in those, and the longest, in milliseconds.
    full_on_wire: int
    longest_on_wire: float


def run() -> Iterator[Line]:
    """Measure every size, then set them side by side."""
    costs = [_measure(users) for users in SIZES]
    yield Note(f"with {', '.join(f'{users:,}' for users in SIZES)} users, and the last over the first:")
    yield _growth("bytes of an active bucket", [cost.active for cost in costs], LOGARITHMIC)
    yield _growth("us of a call, its bucket made", [cost.first_call for cost in costs], GOAL_MADE)
    yield _growth("us of a call, its bucket found", [cost.next_call for cost in costs], LOGARITHMIC)
    yield _growth("ms that letting go holds the loop up", [cost.sweep for cost in costs])
    yield _growth("ms that collecting the young takes", [cost.young for cost in costs], LOGARITHMIC)
    yield _growth("objects of a bucket to collect", [cost.looked_at for cost in costs], LOGARITHMIC)
    # Larger ones than the caches of the processor hold take longer.
    yield _growth("us of a full collection, a bucket", [cost.collection / cost.users * 1e3 for cost in costs])
    yield _growth("ms of a full collection, all buckets", [cost.collection for cost in costs])
    for cost in costs:
        what = f"full collections in {CALLS_ON_WIRE:,} calls of new users beside {cost.users:,} in flight"
        yield Figure("users", cost.full_on_wire, what, None, f"the longest {cost.longest_on_wire:.0f} ms", digits=0)
    last = costs[-1]
    per_bucket = last.collection / last.users * 1e3
    yield Figure("users", per_bucket, f"us of a full collection, a bucket of {last.users:,}", GOAL_COLLECTION)
    yield Figure("users", last.idle, f"bytes an idle user, of {last.users:,}", GOAL_IDLE)
    yield Figure("users", last.sweep, f"ms is the loop held up by {last.users:,} that go", GOAL_SWEEP)
    few, many = (min(_expiry(calls) for _ in range(ROUNDS)) for calls in EXPIRING)
    of = " and ".join(f"{calls:,}" for calls in EXPIRING)
    yield Figure("users", many / few, f"x us of a call that times out, of {of} at once", GOAL_EXPIRY, f"{many:.2f}")


def _growth(what: str, figures: Sequence[float], goal: float | None = None) -> Figure:
    detail = "  ".join(f"{figure:8.2f}" for figure in figures)
    goal = None if goal is None else round(goal, 2)
    return Figure("users", figures[-1] / figures[0], f"x {what}", goal, detail)


def _measure(users: int) -> _Cost:
    owners = [f"user {number}" for number in range(users)]
    active, idle = run_on_virtual_clock(_bytes(owners))
    rounds = max(CALLS // users, ROUNDS)
    first, following = zip(*(run_on_virtual_clock(_microseconds(owners)) for _ in range(rounds)), strict=True)
    collection, looked_at = run_on_virtual_clock(_collection(owners))
    on_wire = asyncio.run(_on_wire(owners))
    return _Cost(
        users,
        active,
        idle,
        min(first),
        min(following),
        min(run_on_virtual_clock(_longest_sweep(owners)) for _ in range(ROUNDS)),
        collection,
        looked_at,
        on_wire.usual(0) + on_wire.usual(1),
        len(on_wire.of[FULL]),
        max(on_wire.of[FULL], default=0.0),
    )


#: The generation that is looked at in a full collection.
FULL = 2


class _Pauses:
    """How long each garbage collection took while this was open, in milliseconds, by generation."""

    def __init__(self) -> None:
        self.of: dict[int, list[float]] = {0: [], 1: [], FULL: []}
        self._began = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._note)

    def usual(self, generation: int) -> float:
        """Return the median."""
        return statistics.median(self.of[generation] or [0.0])

    def _note(self, phase: str, info: dict[str, int]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._began = now
        else:
            self.of[info["generation"]].append((now - self._began) * 1e3)


async def _call_once(limiter: LocalLimiter, owners: Sequence[str]) -> None:
    for owner in owners:
        (await limiter.bucket(_key(owner), BALANCE.limit).acquire(None)).answered()


def _key(owner: str) -> BucketKey:
    # As a session makes it for each call.
    return BucketKey("https://openapi.okx.com", False, owner, BALANCE.method, BALANCE.path)  # noqa: FBT003 - demo


async def _bytes(owners: Sequence[str]) -> tuple[float, float]:
    limiter = LocalLimiter()
    await _call_once(limiter, owners[:1])
    await asyncio.sleep(LATER)
    tracemalloc.start()
    try:
        before = traced_memory()
        await _call_once(limiter, owners)
        active = traced_memory() - before
        assert len(limiter) == len(owners)
        await asyncio.sleep(LATER)
        assert len(limiter) == 0
        idle = traced_memory() - before
    finally:
        tracemalloc.stop()
    return active / len(owners), idle / len(owners)


async def _microseconds(owners: Sequence[str]) -> tuple[float, float]:
    limiter = LocalLimiter()
    gc.collect()
    times = [time.process_time()]
    for _ in range(2):
        await _call_once(limiter, owners)
        times.append(time.process_time())
    first, following = ((end - start) / len(owners) * 1e6 for start, end in pairwise(times))
    return first, following


async def _longest_sweep(owners: Sequence[str]) -> float:
    limiter = LocalLimiter()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    await _call_once(limiter, owners)
    await asyncio.sleep(BALANCE.limit.seconds)
    # All of them are idle before the next pass of the loop.
    loop._polling.clock += BALANCE.limit.seconds
    assert len(limiter) == len(owners)
    gc.collect()
    longest = 0.0
    more = True
    while more:
        before = time.thread_time()
        more = limiter._evict_idle(loop) is not None
        longest = max(longest, time.thread_time() - before)
    return longest * 1e3


async def _collection(owners: Sequence[str]) -> tuple[float, float]:
    """Return the milliseconds of a full collection, and the objects of a bucket that it looks at."""
    limiter = LocalLimiter()
    gc.collect()
    # What was there before is not looked at.
    gc.freeze()
    try:
        before = len(gc.get_objects())
        await _call_once(limiter, owners)
        # The first one finds out which tuples need no looking at.
        gc.collect()
        return min(_collect() for _ in range(ROUNDS)) * 1e3, (len(gc.get_objects()) - before) / len(owners)
    finally:
        gc.unfreeze()


async def _on_wire(owners: Sequence[str]) -> _Pauses:
    """Let new users call, while all ``owners`` have a call in flight."""
    limiter = LocalLimiter()
    for owner in owners:
        await limiter.bucket(_key(owner), BALANCE.limit).acquire(None)
    with light_server() as url:
        async with Session(base_url=url, limiter=limiter) as session:
            waiting = iter([SolStaking(make_credentials(), session) for _ in range(CALLS_ON_WIRE)])

            async def call_in_turn() -> None:
                for user in waiting:
                    await user.balance()

            gc.collect()
            with _Pauses() as pauses:
                await asyncio.gather(*(call_in_turn() for _ in range(AT_ONCE)))
    return pauses


class _Expiring:
    def expire(self) -> None:
        """Do nothing: what ending a call costs does not depend on how many there are."""


def _expiry(calls: int) -> float:
    """Return the microseconds that a session needs to find a call whose time is over, when all of them end at once."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        deadlines = AttemptTimeouts(LATER)
        for _ in range(calls):
            deadlines.begin(_Expiring(), loop, loop.time())  # type: ignore[arg-type]
        await asyncio.sleep(LATER / 2)
        began = time.process_time()
        await asyncio.sleep(LATER)
        return (time.process_time() - began) / calls * 1e6

    return run_on_virtual_clock(main())


def _collect() -> float:
    began = time.process_time()
    gc.collect()
    return time.process_time() - began
