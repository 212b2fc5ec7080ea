"""The queue of a bucket: first come, first served."""

import asyncio

import pytest

from okx_sol_async import RateLimit, Scope, Timeout, TokenBucket
from tests.support.buckets import SIX, TICKS, granted, take, wakes_at
from tests.support.virtual_time import now, run

pytestmark = pytest.mark.virtual_clock


async def test_first_come_first_served() -> None:
    """Calls leave in the order in which they came, whatever the order of the responses."""
    bucket, log = TokenBucket(SIX), []

    await asyncio.gather(*(take(bucket, log, number, answer_after=(number * 7 % 5) / 10) for number in range(50)))

    assert list(range(50)) == [number for number, _ in log]


async def test_a_new_call_does_not_overtake_a_waiter_that_was_given_a_slot() -> None:
    """A call that comes in the very pass of the loop in which a slot is handed over stands behind the waiter."""
    bucket, log = TokenBucket(RateLimit(2, 1.0, Scope.USER)), []
    for _ in range(2):
        (await bucket.acquire()).answered()
    waiting = asyncio.create_task(take(bucket, log, "waited"))
    await asyncio.sleep(0)
    await asyncio.sleep(wakes_at(bucket) - now() - 1e-5)
    while not granted(bucket):  # noqa: ASYNC110 - it is the turn of the loop that matters
        await asyncio.sleep(0)
    await take(bucket, log, "newcomer")
    await waiting

    assert ["waited", "newcomer"] == [name for name, _ in log]


async def test_a_cancelled_waiter_leaves_the_queue_at_once() -> None:
    """The waiters behind it move up, and no slot is lost."""
    bucket, log = TokenBucket(SIX), []
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(12)]
    await asyncio.sleep(0)
    for number in (6, 8, 9):
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [0, 1, 2, 3, 4, 5, 7, 10, 11] == [number for number, _ in log]
    assert {1.0} == {at for _, at in log[6:]}


async def test_a_slot_that_comes_with_the_cancellation_goes_to_the_next() -> None:
    """A waiter that is cancelled after it was given a slot, and before it ran, gives it back unused."""
    bucket, log = TokenBucket(RateLimit(1, 1.0, Scope.USER)), []
    (await bucket.acquire()).answered()
    first = asyncio.create_task(take(bucket, log, "first"))
    second = asyncio.create_task(take(bucket, log, "second"))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(wakes_at(bucket), first.cancel)
    await asyncio.gather(first, second, return_exceptions=True)

    assert first.cancelled()
    assert [("second", 1.0)] == log


async def test_a_slot_that_comes_just_after_the_cancellation_goes_to_the_next() -> None:
    """A waiter that is cancelled, and has not run since, is given none."""
    bucket, log = TokenBucket(RateLimit(1, 1.0, Scope.USER)), []
    (await bucket.acquire()).answered()
    first = asyncio.create_task(take(bucket, log, "first"))
    second = asyncio.create_task(take(bucket, log, "second"))
    await asyncio.sleep(0)
    # The clock goes by 1 us between the end of the sleep and the next line, past the time of the slot.
    await asyncio.sleep(wakes_at(bucket) - now() - 5e-7)
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)

    assert first.cancelled()
    assert [("second", 1.0)] == log


async def test_a_wait_ends_at_the_deadline() -> None:
    """A waiter whose turn has not come gives up at its deadline, and frees its place."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    lease = await bucket.acquire()
    began = now()

    with pytest.raises(Timeout, match="max_wait"):
        await bucket.acquire(began + 3.0)

    assert 3.0 == pytest.approx(now() - began, abs=TICKS)
    assert not bucket.state.queue

    lease.answered()
    await bucket.acquire()


def test_calls_in_the_background_leave_behind_all_others() -> None:
    """They keep their order among themselves, and leave behind calls that come later, too."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    left: list[str] = []

    async def call(name: str, *, background: bool) -> None:
        lease = await bucket.acquire(background=background)
        left.append(name)
        lease.answered()

    async def main() -> None:
        (await bucket.acquire()).answered()
        tasks = []
        for number in range(3):
            for name, background in ((f"background {number}", True), (f"foreground {number}", False)):
                tasks.append(asyncio.create_task(call(name, background=background)))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    run(main())

    assert [f"{rank} {number}" for rank in ("foreground", "background") for number in range(3)] == left
