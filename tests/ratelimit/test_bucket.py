"""The bucket as its callers see it: bursts, leases, deadlines, blocks and estimates."""

import asyncio

import pytest

from okx_sol_async import ConfigurationError, RateLimit, Scope, Timeout, TokenBucket
from okx_sol_async.ratelimit._latency import LEAST_LATENCY
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from tests.support.buckets import HOLD, SIX, TICKS, take
from tests.support.virtual_time import now, run

pytestmark = pytest.mark.virtual_clock


@pytest.mark.parametrize("lead", [-0.1, 1.0, 2.0])
def test_the_lead_is_checked(lead: float) -> None:
    """A slot cannot be free before the response has come, so a negative lead is refused."""
    with pytest.raises(ConfigurationError, match="lead"):
        TokenBucket(SIX, lead=lead)


async def test_an_idle_bucket_takes_a_whole_burst() -> None:
    """Six calls leave at once, and the seventh one period after the first response."""
    bucket, log = TokenBucket(SIX), []

    await asyncio.gather(*(take(bucket, log, number, answer_after=0.1) for number in range(8)))

    assert [(number, 0.0) for number in range(6)] + [(6, 1.1), (7, 1.1)] == log


async def test_a_slot_is_in_use_until_one_period_after_the_response() -> None:
    """However long a response takes, its slot is free one period after it."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    lease = await bucket.acquire()
    await asyncio.sleep(5)
    lease.answered()
    answered_at = now()

    await bucket.acquire()

    assert HOLD == pytest.approx(now() - answered_at, abs=TICKS)


async def test_a_lead_frees_a_slot_earlier() -> None:
    """With a lead the next call leaves that much earlier."""
    bucket, log = TokenBucket(RateLimit(1, 1.0, Scope.USER), lead=0.25), []

    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))

    assert [(0, 0.0), (1, 0.75), (2, 1.5)] == log


async def test_a_call_that_cannot_leave_in_time_fails_at_once() -> None:
    """The lower bound of the wait decides, and the error names it and the length of the queue."""
    bucket = TokenBucket(SIX)
    for _ in range(6):
        (await bucket.acquire()).answered()
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(7)]
    await asyncio.sleep(0)
    began = now()

    with pytest.raises(Timeout, match=r"7 calls .* at least 2\.00") as caught:
        await bucket.acquire(began + 1.9)

    assert began == now()
    assert "max_wait" in str(caught.value)

    for task in waiting:
        task.cancel()


async def test_calls_in_flight_count_in_the_lower_bound() -> None:
    """A slot in flight is free one period from now at the earliest."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    await bucket.acquire()

    with pytest.raises(Timeout):
        await bucket.acquire(now() + 1.0)


async def test_a_lease_ends_once() -> None:
    """Ending a lease again does nothing."""
    bucket = TokenBucket(SIX)
    lease = await bucket.acquire()
    lease.answered()
    lease.answered()
    lease.abandoned()

    assert 0 == bucket.state.window.in_flight
    assert 1 == len(bucket.state.window.releases)


async def test_a_block_ends_its_own_lease() -> None:
    """A block counts as answered, and as abandoned when it ends with an exception."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    async with bucket:
        pass
    began = now()
    with pytest.raises(ZeroDivisionError):
        async with bucket:
            raise ZeroDivisionError

    assert HOLD == pytest.approx(now() - began, abs=TICKS)

    began = now()
    async with bucket:
        assert HOLD + LEAST_LATENCY == pytest.approx(now() - began, abs=TICKS)


async def test_blocks_may_be_nested_and_shared() -> None:
    """One bucket limits any number of tasks."""
    bucket, log = TokenBucket(SIX), []

    async def block(number: int) -> None:
        async with bucket:
            log.append((number, round(now() - 1000, 2)))
            if number < 2:
                async with bucket:
                    log.append((number, round(now() - 1000, 2)))

    await asyncio.gather(*(block(number) for number in range(6)))

    assert 8 == len(log)
    assert 6 == sum(at == 0.0 for _, at in log)


def test_the_repr_shows_the_state_of_the_slots() -> None:
    """The repr shows the limit, and how many slots are in flight, cooling and waited for."""
    assert "<TokenBucket 6 per 1.0 s by user: 0 in flight, 0 cooling, 0 waiting>" == repr(TokenBucket(SIX))


async def test_a_block_may_be_left_in_another_task() -> None:
    """An asynchronous generator that is not exhausted is closed by another task, and its slot comes back."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))

    async def pages():  # type: ignore[no-untyped-def] # noqa: ANN202
        async with bucket:
            yield 1
            yield 2

    generator = pages()
    assert 1 == await anext(generator)
    await asyncio.create_task(generator.aclose())

    assert 0 == bucket.state.window.in_flight
    await bucket.acquire()


def test_the_margin_for_clocks_grows_with_the_period() -> None:
    """Two clocks drift apart in proportion to the time."""
    assert pytest.approx(60 * (1 + CLOCK_DRIFT)) == TokenBucket(RateLimit(5, 60, Scope.USER)).state.cooldown


async def test_free_tokens_queue_and_wait_are_known_before_a_call() -> None:
    """`free`, `queue` and `wait` are what a call would find."""
    bucket = TokenBucket(SIX)
    assert (6, 0, 0.0) == (bucket.free, bucket.queue, bucket.wait)

    leases = [await bucket.acquire() for _ in range(6)]
    assert (0, 0, pytest.approx(HOLD)) == (bucket.free, bucket.queue, bucket.wait)

    leases[0].answered()
    await asyncio.sleep(0.5)
    waiting = [asyncio.create_task(bucket.acquire()) for _ in range(7)]
    await asyncio.sleep(0)
    assert (0, 7, pytest.approx(2 * HOLD, abs=TICKS)) == (bucket.free, bucket.queue, bucket.wait)

    for task in waiting:
        task.cancel()
    await asyncio.sleep(1)
    assert (1, 0, 0.0) == (bucket.free, bucket.queue, bucket.wait)


def test_take_gives_a_lease_only_where_no_call_waits() -> None:
    """It never waits, never overtakes a waiter, and leaves a pace to `acquire`."""
    bucket = TokenBucket(RateLimit(2, 1.0, Scope.USER))

    async def main() -> None:
        first = bucket.take()
        assert first is not None
        first.answered()
        lease = bucket.take()
        assert lease is not None
        assert bucket.take() is None
        lease.answered()
        waiting = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0)
        assert bucket.take() is None
        await waiting
        await asyncio.sleep(2)
        again = bucket.take()
        assert again is not None
        again.refused()
        await asyncio.sleep(1.5)
        assert bucket.take() is None

    run(main())
