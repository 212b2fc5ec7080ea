"""What a limiter promises within a process, whether its buckets are in the process or on a server."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from okx_sol_async import (
    Bucket,
    BucketKey,
    ConfigurationError,
    LocalLimiter,
    RateLimit,
    Scope,
    Timeout,
)
from okx_sol_async.redis import RedisLimiter
from okx_sol_async.travel import SHORTEST_TRAVEL
from tests.valkey import Valkey

#: Short, because the clock of a server cannot be told to hurry.
THREE = RateLimit(3, 0.2, Scope.USER)
KINDS = ("local", "redis")


def key(owner: str) -> BucketKey:
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(bucket: Bucket, log: list[tuple[object, float]], name: object, *, answer_after: float = 0.0) -> None:
    lease = await bucket.acquire(None)
    log.append((name, now()))
    await asyncio.sleep(answer_after)
    lease.answered()


@pytest.fixture(name="make_limiter", params=KINDS)
def _make_limiter(request: pytest.FixtureRequest, valkey_server: Valkey) -> Callable[[], LocalLimiter]:
    if request.param == "local":
        return LocalLimiter
    return lambda: RedisLimiter.from_url(valkey_server.url, timeout=5)


@pytest.fixture(name="limiter")
async def _limiter(make_limiter: Callable[[], LocalLimiter]) -> AsyncIterator[LocalLimiter]:
    limiter = make_limiter()
    yield limiter
    if isinstance(limiter, RedisLimiter):
        await limiter.aclose()


async def test_one_key_has_one_bucket(limiter: LocalLimiter) -> None:
    """Whoever asks for a key finds the bucket that another has used, and not with another limit."""
    assert limiter.bucket(key("a"), THREE) is limiter.bucket(key("a"), THREE)
    assert limiter.bucket(key("a"), THREE) is not limiter.bucket(key("b"), THREE)

    with pytest.raises(ConfigurationError, match="already limited"):
        limiter.bucket(key("a"), RateLimit(6, 1.0, Scope.USER))


async def test_a_burst_leaves_at_once_in_order_and_the_next_wait(limiter: LocalLimiter) -> None:
    """No window holds more calls than the limit, first come, first served."""
    bucket, log = limiter.bucket(key("a"), THREE), []

    await asyncio.gather(*(take(bucket, log, number, answer_after=0.02) for number in range(12)))

    assert list(range(12)) == [name for name, _ in log]
    times = [at for _, at in log]
    assert all(fourth - first > THREE.seconds for first, fourth in zip(times, times[3:], strict=False))
    assert times[2] - times[0] < THREE.seconds


async def test_users_do_not_wait_for_each_other(limiter: LocalLimiter) -> None:
    """Each has a limit of their own."""
    log: list[tuple[object, float]] = []
    began = now()

    await asyncio.gather(*(take(limiter.bucket(key(f"user {number}"), THREE), log, number) for number in range(50)))

    assert now() - began < THREE.seconds * 50 / 3 / 2


async def test_a_cancelled_waiter_costs_nobody_anything(limiter: LocalLimiter) -> None:
    """Those behind it move up, and the queue forgets it at once."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(9)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while bucket.queue != 6:  # noqa: ASYNC110 - a bucket tells nobody when somebody has left
            await asyncio.sleep(0.001)
    for number in (3, 5, 7):
        tasks[number].cancel()
    await asyncio.sleep(0)

    assert 3 == bucket.queue

    await asyncio.gather(*tasks, return_exceptions=True)

    assert [0, 1, 2, 4, 6, 8] == [name for name, _ in log]
    assert log[-1][1] - log[0][1] < 2 * THREE.seconds + 0.2


async def test_when_all_who_wait_are_cancelled_nothing_is_left(limiter: LocalLimiter) -> None:
    """What was meant for them is there for whoever comes next."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(6)]
    await asyncio.sleep(0.05)
    for task in tasks[3:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(THREE.seconds + 0.15)
    began = now()

    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))

    assert now() - began < THREE.seconds


async def test_a_call_that_cannot_come_in_time_fails_early(limiter: LocalLimiter) -> None:
    """Nobody stands in the queue for nothing, and those who may wait are served."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    for number in range(3):
        await take(bucket, log, number)
    began = now()

    with pytest.raises(Timeout, match="max_wait"):
        await bucket.acquire(now() + THREE.seconds / 2)

    assert now() - began < THREE.seconds / 4

    (await bucket.acquire(now() + 3 * THREE.seconds)).answered()


async def test_a_wait_that_turns_out_too_long_ends_at_the_deadline(limiter: LocalLimiter) -> None:
    """It is not known how long those take who are on their way."""
    bucket = limiter.bucket(key("a"), RateLimit(1, 0.1, Scope.USER))
    lease = await bucket.acquire(None)
    began = now()

    with pytest.raises(Timeout, match="max_wait"):
        await bucket.acquire(began + 0.25)

    assert now() - began >= 0.249

    lease.answered()


async def test_a_refused_call_comes_first_after_a_pause(limiter: LocalLimiter) -> None:
    """Nothing leaves for a period; then the refused call, and the others one by one."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    lease = await bucket.acquire(None)
    waiting = [asyncio.create_task(take(bucket, log, number)) for number in range(7)]
    await asyncio.sleep(0.05)
    refused_at = now()
    lease.answered()
    place = lease.refused()
    assert place is not None
    await asyncio.gather(take(place, log, "refused"), *waiting)
    after = [(name, at) for name, at in log if at > refused_at]

    assert "refused" == after[0][0]
    assert after[0][1] - refused_at > THREE.seconds * 0.99
    # One call each half period: three in a period, less one. In bursts of three the six would take one period.
    assert 6 == len(after)
    assert after[-1][1] - after[0][1] > THREE.seconds / 2 * 5 * 0.7


async def test_a_call_that_was_given_up_is_counted_for_longer(limiter: LocalLimiter) -> None:
    """It may still be on its way."""
    bucket = limiter.bucket(key("a"), RateLimit(1, 0.1, Scope.USER))
    (await bucket.acquire(None)).abandoned()
    began = now()
    (await bucket.acquire(None)).answered()

    assert now() - began > SHORTEST_TRAVEL


async def test_a_block_takes_a_lease(limiter: LocalLimiter) -> None:
    """A bucket can be used around any call."""
    bucket = limiter.bucket(key("a"), THREE)
    began = now()
    for _ in range(4):
        async with bucket:
            pass

    assert THREE.seconds < now() - began < 3 * THREE.seconds


def test_history_outlives_the_event_loop(make_limiter: Callable[[], LocalLimiter]) -> None:
    """A second `asyncio.run` finds the bucket as the first one left it, and no connection is left open by either."""
    limiter = make_limiter()

    async def spend() -> float:
        began = now()
        for _ in range(3):
            (await limiter.bucket(key("a"), THREE).acquire(None)).answered()
        return now() - began

    asyncio.run(spend())

    assert asyncio.run(spend()) > THREE.seconds * 0.5


async def test_keys_that_turn_out_to_be_one_user_share_a_limit(limiter: LocalLimiter) -> None:
    """What was sent and who waits counts for both, and from then on there is one limit."""
    log: list[tuple[object, float]] = []
    tasks = [
        asyncio.create_task(take(limiter.bucket(key("ab"[number % 2]), THREE), log, number)) for number in range(12)
    ]
    await asyncio.sleep(0.05)
    limiter.merge("a", "b")
    tasks += [
        asyncio.create_task(take(limiter.bucket(key("ab"[number % 2]), THREE), log, number)) for number in (12, 13)
    ]
    await asyncio.gather(*tasks)

    assert limiter.bucket(key("a"), THREE) is limiter.bucket(key("b"), THREE)
    names, times = zip(*log, strict=True)
    assert set(range(6)) == set(names[:6])
    assert sorted(names[6:]) == list(names[6:])
    # Six had left before anybody knew.
    assert all(fourth - first > THREE.seconds for first, fourth in zip(times[6:], times[9:], strict=False))


async def test_idle_buckets_go(limiter: LocalLimiter) -> None:
    """A process may see any number of users."""
    log: list[tuple[object, float]] = []
    await asyncio.gather(*(take(limiter.bucket(key(f"{number}"), THREE), log, number) for number in range(300)))

    assert 300 == len(limiter)

    await asyncio.sleep(THREE.seconds + 0.6)

    assert 0 == len(limiter)
