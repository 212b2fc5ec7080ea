"""Very many users, on a virtual clock."""

import asyncio
import gc
import random
import sys
from bisect import bisect_right
from collections import Counter

import pytest

from okx_sol_async import LocalLimiter
from okx_sol_async.ratelimit import _registry as registry
from okx_sol_async.ratelimit._registry import SWEEP_EVERY, SWEEP_ROUND
from okx_sol_async.ratelimit._state import CLOCK_DRIFT, BucketState
from tests.support.buckets import SIX, key
from tests.support.scale import MANY, Seen, Steps, queue_of
from tests.support.virtual_time import now, run


async def call_once(limiter: LocalLimiter, owner: str) -> None:
    (await limiter.bucket(key(owner), SIX).acquire()).answered()


def test_of_many_users_only_those_in_use_are_kept() -> None:
    """A second after their call idle users are evicted; a user in flight, queued, refused or recent keeps the same bucket."""
    limiter = LocalLimiter()

    async def main() -> None:
        for number in range(MANY):
            await call_once(limiter, f"once {number}")
        in_flight = limiter.bucket(key("in flight"), SIX)
        lease = await in_flight.acquire()
        refused = limiter.bucket(key("refused"), SIX)
        (await refused.acquire()).refused()
        queued = limiter.bucket(key("queued"), SIX)
        for _ in range(6):
            (await queued.acquire()).answered()
        with queue_of(queued, 100) as waiting:
            assert MANY + 3 == len(limiter)
            await asyncio.sleep(1 + CLOCK_DRIFT + SWEEP_ROUND + SWEEP_EVERY)

            recent = limiter.bucket(key("recent"), SIX)
            (await recent.acquire()).answered()
            await asyncio.sleep(SWEEP_EVERY)

            names = {"in flight": in_flight, "refused": refused, "queued": queued, "recent": recent}
            assert {key(name): bucket for name, bucket in names.items()} == limiter._buckets
            assert all(bucket is limiter.bucket(key(name), SIX) for name, bucket in names.items())
            assert queued.queue > 80
        assert 100 == len(waiting)
        lease.answered()
        for task in waiting:
            if task.done() and not task.cancelled():
                task.result().answered()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

        assert 0 == len(limiter)

    run(main())


def test_an_idle_user_takes_no_memory() -> None:
    """Many users leave nothing behind: not in the buckets, the registry or the event loop."""
    limiter = LocalLimiter()

    async def main() -> None:
        await call_once(limiter, "warm up")
        await asyncio.sleep(3)
        gc.collect()
        size, blocks = sys.getsizeof(limiter._buckets), sys.getallocatedblocks()
        for number in range(MANY):
            await call_once(limiter, f"once {number}")
        assert sys.getallocatedblocks() - blocks > 5 * MANY
        await asyncio.sleep(3)
        gc.collect()

        assert sys.getallocatedblocks() - blocks < 0.01 * MANY
        assert size == sys.getsizeof(limiter._buckets)

    run(main())


def test_the_registry_does_not_grow_with_generations_of_users() -> None:
    """It is no larger after ten generations of users than after one, though it is never empty."""
    limiter = LocalLimiter()
    sizes = []

    async def main() -> None:
        lease = await limiter.bucket(key("in flight"), SIX).acquire()
        for generation in range(10):
            for number in range(5000):
                await call_once(limiter, f"{generation} {number}")
            sizes.append(sys.getsizeof(limiter._buckets))
            await asyncio.sleep(3)
            assert 1 == len(limiter)
        lease.answered()

    run(main())

    assert max(sizes) <= 2 * sizes[0]


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> Counter[float]:
    """Count how many buckets are looked at in each pass of the event loop, by its time."""
    looks: Counter[float] = Counter()
    is_idle = registry.is_idle

    def counted(state: BucketState, loop: asyncio.AbstractEventLoop) -> bool:
        # The virtual clock goes on with each pass.
        looks[now()] += 1
        return is_idle(state, loop)

    monkeypatch.setattr(registry, "is_idle", counted)
    return looks


def test_evicting_many_users_never_blocks_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pass of the event loop no more than a handful of buckets is checked, however many are idle."""
    limiter = LocalLimiter()
    looks = counted_looks(monkeypatch)

    async def main() -> None:
        for number in range(MANY):
            await call_once(limiter, f"once {number}")
        await asyncio.sleep(1 + CLOCK_DRIFT + SWEEP_ROUND + SWEEP_EVERY)

        assert 0 == len(limiter)

    run(main())

    assert max(looks.values()) <= 1000
    # Each is looked at once in a round, and when it goes.
    assert sum(looks.values()) < 3 * MANY


@pytest.mark.parametrize(
    "answered_within", [1000.0, 10.0], ids=["no call has a response", "responses take up to ten seconds"]
)
def test_idle_users_are_evicted_behind_many_calls_in_flight(
    monkeypatch: pytest.MonkeyPatch, answered_within: float
) -> None:
    """Two seconds after a user's last response the bucket is gone, and in no pass of the loop are many checked."""
    limiter = LocalLimiter()
    rng = random.Random(5)
    looks = counted_looks(monkeypatch)

    async def main() -> None:
        ends: list[float] = []
        for number in range(MANY):
            lease = await limiter.bucket(key(f"slow {number}"), SIX).acquire()
            ends.append(now() + rng.uniform(0, answered_within))
            asyncio.get_running_loop().call_at(ends[-1], lease.answered)
        ends.sort()
        began = now()
        for number in range(1000):
            await call_once(limiter, f"once {number}")
        for second in range(2, 15):
            await asyncio.sleep(began + second * (1 + CLOCK_DRIFT) - now())
            over = bisect_right(ends, now() - 1)
            kept = len(limiter) - (MANY - over)
            # What went idle in the last round is perhaps still there.
            assert 0 <= kept <= over - bisect_right(ends, now() - 1 - SWEEP_ROUND - SWEEP_EVERY)
        spent = now() - began
        assert max(looks.values()) <= 1000
        assert sum(looks.values()) < 1.1 * spent / SWEEP_ROUND * MANY

    run(main())


def test_identifying_costs_the_same_with_any_number_of_users() -> None:
    """Merging the keys of all users is not quadratic, and neither is a user whose label changes again and again."""

    class Owners(dict[str, str]):
        """Each look is a step."""

        def __getitem__(self, owner: str) -> str:
            return super().__getitem__(owner)

    def steps_of_one_merge(users: int) -> float:
        limiter = LocalLimiter()
        limiter._owners = Owners()
        steps = Steps()

        async def main() -> None:
            for number in range(users):
                await call_once(limiter, f"key {number}")
            with steps.counted():
                for number in range(users):
                    limiter.merge(f"key {number}", f"user {number // 2}")
                limiter.merge("first", "0")
                for number in range(users):
                    limiter.merge(str(number), str(number + 1))
                for _ in range(users):
                    limiter.bucket(key("first"), SIX)
            assert users // 2 + 1 == len(limiter)

        run(main())
        return steps.taken / users

    assert steps_of_one_merge(5_000) < 1.1 * steps_of_one_merge(250)


def test_one_user_in_many_keeps_its_limit() -> None:
    """Between the calls of all the others, each has its own six a second and no more."""
    limiter = LocalLimiter()
    seen = [Seen() for _ in range(5)]

    async def main() -> None:
        tasks = []
        for turn in range(60):
            for number, one in enumerate(seen):
                bucket = limiter.bucket(key(f"steady {number}"), SIX)
                tasks.append(asyncio.create_task(one.call(bucket, turn, 0.05, None)))
            for number in range(MANY // 60):
                await call_once(limiter, f"once {turn} {number}")
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)

    run(main())

    for one in seen:
        assert list(range(60)) == one.left
        assert SIX.requests == one.most_within(SIX.seconds, SIX)
