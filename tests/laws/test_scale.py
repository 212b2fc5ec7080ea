"""One user with 100,000 calls in the queue, and 100,000 users, on a virtual clock."""

import asyncio
import gc
import math
import random
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType

import attrs
import pytest

from okx_sol_async import BucketKey, LocalLimiter, RateLimit, Scope, Timeout, TokenBucket
from okx_sol_async.ratelimit import registry
from okx_sol_async.ratelimit.registry import SWEEP_EVERY, SWEEP_ROUND
from okx_sol_async.ratelimit.state import CLOCK_DRIFT, BucketState
from tests.support.buckets import granted
from tests.support.virtual_time import VirtualLoop, run

MANY = 100_000
SIX = RateLimit(6, 1.0, Scope.USER)
#: As fair as six a second, and done with 100,000 calls a hundred times sooner.
FAST = RateLimit(60, 0.1, Scope.USER)
#: What each pass of a busy loop takes, in seconds.
PASS = 0.005


def now() -> float:
    return asyncio.get_running_loop().time()


def keep_busy() -> None:
    """Let each pass of the running event loop take `PASS` from now on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._polling.clock += PASS
    loop.call_soon(keep_busy)


def key(owner: str) -> BucketKey:
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


# One user.


@attrs.frozen
class Seen:
    """What became of the calls of one bucket."""

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


@pytest.mark.parametrize(
    ("calls", "busy"), [(10_000, False), (MANY, True)], ids=["10,000 on an idle loop", "100,000 on a busy loop"]
)
def test_calls_leave_in_the_order_in_which_they_came(calls: int, *, busy: bool) -> None:
    """Whatever is cancelled or gives up, no call overtakes another, no window holds too many, and nothing is left over."""
    rng = random.Random(7)
    seen = Seen()
    bucket = TokenBucket(FAST)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []

        def cancel_the_next() -> None:
            """Cancel some at the very moment at which they are given their slots."""
            if granted(bucket) and rng.random() < 0.1:
                for task in tasks[seen.left[-1] + 1 : seen.left[-1] + 4]:
                    task.cancel()
            loop.call_soon(cancel_the_next)

        if busy:
            keep_busy()
            loop.call_soon(cancel_the_next)
        began = loop.time()
        # At the least, the last one waits for this long; answers take their time, so in truth it is about twice that.
        least = calls / FAST.requests * FAST.seconds * (1 + CLOCK_DRIFT)
        for number in range(calls):
            deadline = began + number / calls * least + rng.uniform(0.01, 0.6) * least if number % 7 == 0 else None
            call = seen.call(bucket, number, rng.uniform(0, 0.1), deadline)
            tasks.append(asyncio.create_task(call))
        await asyncio.sleep(0)
        assert calls - FAST.requests == bucket.queue

        for task in rng.sample(tasks, calls // 3):
            loop.call_later(rng.uniform(0, 2 * least), task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        cancelled = sum(task.cancelled() for task in tasks)
        await asyncio.sleep(1)

        assert calls == len(seen.left) + len(seen.gave_up) + cancelled

    run(main())

    assert len(seen.gave_up) > calls / 100
    assert all(earlier < later for earlier, later in pairwise(seen.left))
    assert FAST.requests == seen.most_within(FAST.seconds, FAST)
    assert (0, 0, 0) == (bucket.state.window.in_flight, granted(bucket), bucket.queue)
    assert bucket.state.queue is None


def test_a_newcomer_overtakes_nobody_while_the_loop_is_busy() -> None:
    """Calls that come in the passes in which slots are handed over stand behind all that came before."""
    seen = Seen()
    bucket = TokenBucket(FAST)

    async def main() -> None:
        keep_busy()
        tasks = []
        for number in range(5000):
            tasks.append(asyncio.create_task(seen.call(bucket, number, 0.0, None)))
            # Five in each pass are some more than may leave.
            if number % 5 == 0:
                await asyncio.sleep(0)
        assert bucket.queue > 1000
        await asyncio.gather(*tasks)

    run(main())

    assert sorted(seen.left) == seen.left
    assert FAST.requests == seen.most_within(FAST.seconds, FAST)


@contextmanager
def queue_of(bucket: TokenBucket, length: int) -> Iterator[list[asyncio.Task[object]]]:
    """Let so many calls wait; those that still do are cancelled in the end."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(bucket.acquire()) for _ in range(length)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


def test_behind_100_000_calls_one_that_cannot_come_in_time_fails_at_once() -> None:
    """It is told how long the queue is and what the wait would be, and takes no place in it."""
    bucket = TokenBucket(SIX)

    async def main() -> None:
        for _ in range(6):
            (await bucket.acquire()).answered()
        with queue_of(bucket, MANY):
            await asyncio.sleep(0)
            began = now()
            # 16,666 rounds of six and the one after them.
            wait = 16_667 * (1 + CLOCK_DRIFT)

            with pytest.raises(Timeout, match=r"max_wait") as caught:
                await bucket.acquire(began + wait - 1)

            assert began == now()
            told = re.search(r"(\d+) calls .* at least ([\d.]+) s and may wait ([\d.]+) s", str(caught.value))
            assert told is not None
            assert MANY == int(told[1])
            assert wait == pytest.approx(float(told[2]), abs=0.01)
            assert wait - 1 == pytest.approx(float(told[3]), abs=0.01)
            assert MANY == bucket.queue
            assert wait == pytest.approx(bucket.wait, abs=0.01)

            behind = asyncio.create_task(bucket.acquire(began + wait + 1))
            await asyncio.sleep(0)
            assert MANY + 1 == bucket.queue
            behind.cancel()
            await asyncio.sleep(0)
            assert MANY == bucket.queue

    run(main())


def test_giving_up_frees_the_place_at_once() -> None:
    """When all but the last of 100,000 give up or are cancelled, the last one leaves with the next free slot."""
    bucket = TokenBucket(FAST)
    seen = Seen()

    async def main() -> None:
        leases = [await bucket.acquire() for _ in range(FAST.requests)]
        began = now()
        half = MANY // 2
        # Nobody is answered, so all of them give up, although none of them was without hope at first.
        tasks = [asyncio.create_task(seen.call(bucket, number, 0.0, began + 100)) for number in range(half)]
        with queue_of(bucket, half):
            last = asyncio.create_task(seen.call(bucket, -1, 0.0, None))
            await asyncio.sleep(0)
            assert MANY + 1 == bucket.queue
            await asyncio.sleep(101 - now() + began)
            assert all(task.done() for task in tasks)
            assert list(range(half)) == sorted(seen.gave_up)
            assert half + 1 == bucket.queue
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 1 == bucket.queue

        for lease in leases:
            lease.answered()
        answered_at = now()
        await last

        assert FAST.seconds * (1 + CLOCK_DRIFT) == pytest.approx(seen.left_at[-1] - answered_at, abs=1e-3)
        assert bucket.state.queue is None

    run(main())


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


async def enqueue(bucket: TokenBucket, length: int, steps: Steps) -> None:
    with steps.counted(), queue_of(bucket, length):
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def enqueue_with_deadlines(bucket: TokenBucket, length: int, steps: Steps) -> None:
    with steps.counted():
        tasks = [asyncio.create_task(bucket.acquire(now() + length)) for _ in range(length)]
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)


async def fail_at_once(bucket: TokenBucket, length: int, steps: Steps) -> None:
    with queue_of(bucket, length):
        await asyncio.sleep(0)
        with steps.counted():
            for _ in range(length):
                with pytest.raises(Timeout):
                    await bucket.acquire(now())
    await asyncio.sleep(0)


async def give_up(bucket: TokenBucket, length: int, steps: Steps) -> None:
    leases = [
        await bucket.acquire()
        for _ in range(FAST.requests - bucket.state.window.in_flight - len(bucket.state.window.releases))
    ]
    tasks = [asyncio.create_task(bucket.acquire(now() + length)) for _ in range(length)]
    await asyncio.sleep(0)
    with steps.counted():
        await asyncio.gather(*tasks, return_exceptions=True)
    for lease in leases:
        lease.answered()


async def cancel(bucket: TokenBucket, length: int, steps: Steps) -> None:
    with queue_of(bucket, length) as tasks:
        await asyncio.sleep(0)
        random.Random(3).shuffle(tasks)
        with steps.counted():
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def serve(bucket: TokenBucket, length: int, steps: Steps) -> None:
    tasks = [asyncio.create_task(bucket.acquire()) for _ in range(length)]
    await asyncio.sleep(0)
    with steps.counted():
        for task in tasks:
            (await task).answered()


@pytest.mark.parametrize(
    "act", [enqueue, enqueue_with_deadlines, fail_at_once, give_up, cancel, serve], ids=lambda act: act.__name__
)
def test_what_a_call_costs_grows_at_most_with_the_logarithm_of_the_queue(
    act: Callable[[TokenBucket, int, Steps], object],
) -> None:
    """Twenty times the queue takes at most as many times more steps a call as its logarithm is longer."""

    def steps_of_one_call(length: int) -> float:
        steps = Steps()

        async def main() -> None:
            bucket = TokenBucket(FAST)
            for _ in range(FAST.requests):
                (await bucket.acquire()).answered()
            await act(bucket, length, steps)  # type: ignore[misc]

        run(main())
        return steps.taken / length

    few, many = steps_of_one_call(500), steps_of_one_call(10_000)

    assert many < math.log(10_000, 500) * few


# Many users.


async def call_once(limiter: LocalLimiter, owner: str) -> None:
    (await limiter.bucket(key(owner), SIX).acquire()).answered()


def test_of_100_000_users_those_stay_whose_history_matters() -> None:
    """A second after their call the others are gone; who is in flight, queued, refused or recent keeps the same bucket."""
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
    """What 100,000 users leave behind is nothing: not in the buckets, not in the registry, not in the event loop."""
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


def test_while_some_stay_the_room_of_those_who_went_is_used_again() -> None:
    """The registry is no larger after ten generations of users than after one, though somebody is always there."""
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
    idle_in = registry.idle_in

    def counted(state: BucketState) -> float | None:
        # The virtual clock goes on with each pass.
        looks[now()] += 1
        return idle_in(state)

    monkeypatch.setattr(registry, "idle_in", counted)
    return looks


def test_letting_go_of_100_000_users_never_holds_the_loop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pass of the event loop no more than a handful of buckets is looked at, however many are idle."""
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
    "answered_within", [1000.0, 10.0], ids=["nobody is answered", "answers take up to ten seconds"]
)
def test_behind_100_000_calls_in_flight_the_idle_go_as_soon(
    monkeypatch: pytest.MonkeyPatch, answered_within: float
) -> None:
    """Two seconds after a user's last answer the bucket is gone, and in no pass of the loop are many looked at."""
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


def test_identifying_costs_the_same_whoever_else_is_there() -> None:
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

    assert steps_of_one_merge(10_000) < 1.1 * steps_of_one_merge(500)


def test_one_user_in_100_000_keeps_its_limit() -> None:
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
