"""What a limiter promises within a process, whether its buckets are in the process or on a server."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from okx_sol_async import Bucket, ConfigurationError, LocalLimiter, RateLimit, Scope, Timeout
from okx_sol_async.ratelimit._latency import LEAST_LATENCY
from okx_sol_async.ratelimit._registry import SWEEP_EVERY, SWEEP_ROUND
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.buckets import key
from tests.support.shared_clock import on_a_shared_clock, run_shared
from tests.support.valkey import Valkey
from tests.support.virtual_time import now

THREE = RateLimit(3, 1.0, Scope.USER)
KINDS = ("local", "redis")
#: For how long a slot of it is taken at the most: in a process from its answer on, on a server with a margin.
MOST = 1.0 + CLOCK_DRIFT + 0.05
#: By how much slots that somebody waits for are apart on a server.
APART = 1.0 / 3 / 16
#: What the virtual clock adds by itself.
TICKS = 0.01


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
def _limiter(make_limiter: Callable[[], LocalLimiter]) -> LocalLimiter:
    """Make one, whose connections go with the event loop."""
    return make_limiter()


@on_a_shared_clock
async def test_one_key_has_one_bucket(limiter: LocalLimiter) -> None:
    """Each caller that asks for a key gets the same bucket, and another limit is refused."""
    assert limiter.bucket(key("a"), THREE) is limiter.bucket(key("a"), THREE)
    assert limiter.bucket(key("a"), THREE) is not limiter.bucket(key("b"), THREE)

    with pytest.raises(ConfigurationError, match="already limited"):
        limiter.bucket(key("a"), RateLimit(6, 1.0, Scope.USER))


@on_a_shared_clock
async def test_a_burst_leaves_at_once_in_order_and_the_next_wait(limiter: LocalLimiter) -> None:
    """No window holds more calls than the limit, first come, first served."""
    bucket, log = limiter.bucket(key("a"), THREE), []

    await asyncio.gather(*(take(bucket, log, number, answer_after=0.02) for number in range(12)))

    assert list(range(12)) == [name for name, _ in log]
    times = [at for _, at in log]
    assert all(fourth - first > THREE.seconds for first, fourth in zip(times, times[3:], strict=False))
    assert times[2] - times[0] < TICKS
    # Each three leave as soon as the three before allow it.
    assert times[-1] - times[0] < 3 * (MOST + 0.02 + APART) + TICKS


@on_a_shared_clock
async def test_users_do_not_wait_for_each_other(limiter: LocalLimiter) -> None:
    """Each has a limit of their own."""
    log: list[tuple[object, float]] = []
    began = now()

    await asyncio.gather(*(take(limiter.bucket(key(f"user {number}"), THREE), log, number) for number in range(50)))

    assert now() - began < TICKS


@on_a_shared_clock
async def test_a_cancelled_waiter_leaves_the_queue_at_once(limiter: LocalLimiter) -> None:
    """The waiters behind it move up, and no slot is lost."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(9)]
    await asyncio.sleep(TICKS)
    assert 6 == bucket.queue
    for number in (3, 5, 7):
        tasks[number].cancel()
    await asyncio.sleep(0)

    assert 3 == bucket.queue

    await asyncio.gather(*tasks, return_exceptions=True)

    assert [0, 1, 2, 4, 6, 8] == [name for name, _ in log]
    # One full turn: as if the others had never been there.
    assert log[-1][1] - log[0][1] < MOST + 2 * APART + TICKS


@on_a_shared_clock
async def test_when_all_waiters_are_cancelled_nothing_is_left(limiter: LocalLimiter) -> None:
    """Their slots are there for the next call."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(6)]
    await asyncio.sleep(0.05)
    for task in tasks[3:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(MOST)
    began = now()

    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))

    assert now() - began < TICKS


@on_a_shared_clock
async def test_a_call_that_cannot_leave_in_time_fails_early(limiter: LocalLimiter) -> None:
    """It does not stand in the queue in vain, and the calls that may wait are served."""
    bucket, log = limiter.bucket(key("a"), THREE), []
    for number in range(3):
        await take(bucket, log, number)
    began = now()

    with pytest.raises(Timeout, match="max_wait"):
        await bucket.acquire(now() + THREE.seconds / 2)

    assert now() - began < TICKS

    (await bucket.acquire(now() + MOST)).answered()


@on_a_shared_clock
async def test_a_wait_ends_at_the_deadline(limiter: LocalLimiter) -> None:
    """How long calls in flight take is not known before."""
    bucket = limiter.bucket(key("a"), RateLimit(1, 0.1, Scope.USER))
    lease = await bucket.acquire(None)
    began = now()

    with pytest.raises(Timeout, match="max_wait"):
        await bucket.acquire(began + 0.25)

    assert 0.25 == pytest.approx(now() - began, abs=1e-3)

    lease.answered()


@on_a_shared_clock
async def test_a_refused_call_comes_first_after_a_pause(limiter: LocalLimiter) -> None:
    """No call leaves for a period; then the refused call does, and the others one by one."""
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
    assert THREE.seconds <= after[0][1] - refused_at < MOST + TICKS
    # One call each half period: three in a period, less one.
    assert 6 == len(after)
    assert all(later - earlier > THREE.seconds / 2 - TICKS for (_, earlier), (_, later) in pairwise(after))


@on_a_shared_clock
async def test_an_abandoned_call_is_counted_for_longer(limiter: LocalLimiter) -> None:
    """It may still be in flight."""
    bucket = limiter.bucket(key("a"), RateLimit(1, 0.1, Scope.USER))
    (await bucket.acquire(None)).abandoned()
    began = now()
    (await bucket.acquire(None)).answered()

    assert 0.1 + LEAST_LATENCY < now() - began < 0.1 + LEAST_LATENCY + TICKS


@on_a_shared_clock
async def test_a_block_takes_a_lease(limiter: LocalLimiter) -> None:
    """A bucket can be used around any call."""
    bucket = limiter.bucket(key("a"), THREE)
    began = now()
    for _ in range(4):
        async with bucket:
            pass

    assert THREE.seconds < now() - began < MOST + TICKS


def test_history_outlives_the_event_loop(make_limiter: Callable[[], LocalLimiter]) -> None:
    """A second `asyncio.run` finds the bucket as the first one left it, and no connection is left open by either."""
    limiter = make_limiter()

    async def spend() -> float:
        began = now()
        for _ in range(3):
            (await limiter.bucket(key("a"), THREE).acquire(None)).answered()
        return now() - began

    run_shared(spend(), start=1000.0)

    assert THREE.seconds < run_shared(spend(), start=1000.1) < MOST + 2 * APART + TICKS


@on_a_shared_clock
async def test_keys_that_turn_out_to_be_one_user_share_a_limit(limiter: LocalLimiter) -> None:
    """Calls in flight and waiters of both count in one limit from then on."""
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


@pytest.mark.parametrize("refused", ["a", "b"])
@on_a_shared_clock
async def test_a_pause_holds_after_a_merge(limiter: LocalLimiter, refused: str) -> None:
    """Whichever of the two was refused, no call leaves before its pause is over, and then they leave one by one."""
    (await limiter.bucket(key("ba"["ab".index(refused)]), THREE).acquire(None)).answered()
    lease = await limiter.bucket(key(refused), THREE).acquire(None)
    lease.refused()
    refused_at = now()
    await asyncio.sleep(0.1)
    limiter.merge("a", "b")
    log: list[tuple[object, float]] = []
    await asyncio.gather(*(take(limiter.bucket(key("b"), THREE), log, number) for number in range(3)))
    times = [at for _, at in log]

    assert times[0] - refused_at >= THREE.seconds - TICKS
    assert all(later - earlier > THREE.seconds / 2 - TICKS for earlier, later in pairwise(times))


@on_a_shared_clock
async def test_idle_buckets_are_evicted(limiter: LocalLimiter) -> None:
    """A process may serve any number of users."""
    log: list[tuple[object, float]] = []
    await asyncio.gather(*(take(limiter.bucket(key(f"{number}"), THREE), log, number) for number in range(300)))

    assert 300 == len(limiter)

    # They are free again, and all of them were looked at.
    await asyncio.sleep(MOST + SWEEP_ROUND + SWEEP_EVERY)

    assert 0 == len(limiter)
