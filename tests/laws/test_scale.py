"""One user with very many calls in the queue, on a virtual clock."""

import asyncio
import math
import random
import re
from collections.abc import Callable
from itertools import pairwise

import pytest

from okx_sol_async import Timeout, TokenBucket
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from tests.support.buckets import SIX, granted
from tests.support.scale import FAST, MANY, Seen, Steps, keep_busy, queue_of
from tests.support.virtual_time import now, run


@pytest.mark.parametrize(
    ("calls", "busy"), [(10_000, False), (MANY, True)], ids=["10,000 on an idle loop", "many on a busy loop"]
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


def test_a_new_call_overtakes_no_other_while_the_loop_is_busy() -> None:
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


def test_behind_many_calls_one_that_cannot_leave_in_time_fails_at_once() -> None:
    """The error names the length of the queue and the wait, and the call takes no place in it."""
    bucket = TokenBucket(SIX)

    async def main() -> None:
        for _ in range(6):
            (await bucket.acquire()).answered()
        with queue_of(bucket, MANY):
            await asyncio.sleep(0)
            began = now()
            # All rounds of six and the one after them.
            wait = (MANY // SIX.requests + 1) * (1 + CLOCK_DRIFT)

            with pytest.raises(Timeout, match=r"max_wait") as caught:
                await bucket.acquire(began + wait - 1)

            assert began == now()
            shown = re.search(r"(\d+) calls .* at least ([\d.]+) s and may wait ([\d.]+) s", str(caught.value))
            assert shown is not None
            assert MANY == int(shown[1])
            assert wait == pytest.approx(float(shown[2]), abs=0.01)
            assert wait - 1 == pytest.approx(float(shown[3]), abs=0.01)
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
    """When all but the last of many give up or are cancelled, the last one leaves with the next free slot."""
    bucket = TokenBucket(FAST)
    seen = Seen()

    async def main() -> None:
        leases = [await bucket.acquire() for _ in range(FAST.requests)]
        began = now()
        half = MANY // 2
        # No call has a response, so all of them give up, although none of them was without hope at first.
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
    """With twenty times the queue, the steps of a call grow by no more than the ratio of the logarithms."""

    def steps_of_one_call(length: int) -> float:
        steps = Steps()

        async def main() -> None:
            bucket = TokenBucket(FAST)
            for _ in range(FAST.requests):
                (await bucket.acquire()).answered()
            await act(bucket, length, steps)  # type: ignore[misc]

        run(main())
        return steps.taken / length

    few, many = steps_of_one_call(200), steps_of_one_call(4_000)

    assert many < math.log(4_000, 200) * few
