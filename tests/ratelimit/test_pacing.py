"""What a refusal does: a pause, then a pace, then bursts again."""

import asyncio
import math
from itertools import pairwise

import pytest

from okx_sol_async import ConfigurationError, RateLimit, Scope, Timeout, TokenBucket
from okx_sol_async.ratelimit._pacing import DEFAULT, Pace, PushBack
from tests.support.buckets import SIX, TICKS, granted, take, wakes_at
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock


async def test_a_refusal_pauses_a_bucket_and_then_paces_it() -> None:
    """Nothing leaves for a second, then one call each fifth of a second, the refused one first."""
    bucket, log = TokenBucket(SIX), []
    lease = await bucket.acquire()
    waiting = [asyncio.create_task(take(bucket, log, number)) for number in range(8)]
    await asyncio.sleep(0)
    place = lease.refused()
    assert place is not None
    again = await place.acquire(None)
    log.append(("again", round(now() - 1000, 2)))
    again.answered()
    await asyncio.gather(*waiting)

    assert [(number, 0.0) for number in range(5)] == log[:5]
    assert ["again", 5, 6, 7] == [name for name, _ in log[5:]]
    assert [1.0, 1.2, 1.4, 1.6] == [at for _, at in log[5:]]


async def test_refused_calls_keep_their_order() -> None:
    """Whichever refusal is reported first, the calls are resent in the order in which they came."""
    bucket, log = TokenBucket(SIX), []
    leases = [await bucket.acquire() for _ in range(6)]
    newcomer = asyncio.create_task(take(bucket, log, "newcomer"))
    await asyncio.sleep(0)

    async def again(number: int) -> None:
        place = leases[number].refused()
        assert place is not None
        lease = await place.acquire(None)
        log.append((number, now()))
        lease.answered()

    await asyncio.gather(*(again(number) for number in (3, 0, 5, 1, 4, 2)), newcomer)

    assert [0, 1, 2, 3, 4, 5, "newcomer"] == [name for name, _ in log]


async def test_the_pace_slows_down_with_refusals_and_recovers_with_time() -> None:
    """Each further refusal costs a fifth of the pace, and each clean half minute gives it back."""
    bucket = TokenBucket(SIX)
    for _ in range(3):
        (await bucket.acquire()).refused()
        await asyncio.sleep(1.5)
    log: list[tuple[object, float]] = []
    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))  # type: ignore[arg-type]

    assert [0.29, 0.29] == [round(later - earlier, 2) for (_, earlier), (_, later) in pairwise(log)]

    await asyncio.sleep(3 * DEFAULT.clean_time)
    log.clear()
    await asyncio.gather(*(take(bucket, log, number) for number in range(6)))  # type: ignore[arg-type]

    assert 1 == len({at for _, at in log})


async def test_many_refusals_at_once_count_as_one() -> None:
    """Six calls that were refused together slow the bucket down once."""
    bucket = TokenBucket(SIX)
    leases = [await bucket.acquire() for _ in range(6)]
    for lease in leases:
        lease.refused()
    log: list[tuple[object, float]] = []
    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))  # type: ignore[arg-type]

    assert [1.0, 1.2, 1.4] == [at for _, at in log]


async def test_the_pause_counts_in_the_lower_bound() -> None:
    """A call that cannot leave before the pause is over fails at once."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).refused()

    with pytest.raises(Timeout):
        await bucket.acquire(now() + 0.9)


async def test_a_call_cancelled_while_it_waits_for_the_pace_loses_no_slot() -> None:
    """The slot goes back and the next call is served."""
    bucket, log = TokenBucket(SIX), []
    (await bucket.acquire()).refused()
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(4)]
    await asyncio.sleep(1.1)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [0, 2, 3] == [number for number, _ in log]
    assert 0 == bucket.state.window.in_flight == granted(bucket)


async def test_a_deadline_holds_while_waiting_for_the_pace() -> None:
    """The pace does not keep a call beyond its deadline."""
    bucket, log = TokenBucket(SIX), []
    (await bucket.acquire()).refused()
    first = asyncio.create_task(take(bucket, log, "first"))
    await asyncio.sleep(0)

    with pytest.raises(Timeout):
        await bucket.acquire(now() + 1.1)

    await first


async def test_a_limit_of_one_has_a_pace_too() -> None:
    """A limit of one request is paced like any other."""
    bucket, log = TokenBucket(RateLimit(1, 1.0, Scope.USER)), []
    (await bucket.acquire()).refused()

    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))

    assert [0, 1, 2] == [number for number, _ in log]


async def test_a_pause_holds_for_a_call_that_waits_for_the_pace() -> None:
    """A refusal that comes while a call waits for the pace delays it, and the refused call goes first."""
    bucket, log = TokenBucket(SIX), []
    (await bucket.acquire()).refused()

    async def refused_once() -> None:
        lease = await bucket.acquire()
        log.append(("refused", round(now() - 1000, 2)))
        await asyncio.sleep(0.05)
        place = lease.refused()
        assert place is not None
        again = await place.acquire(None)
        log.append(("again", round(now() - 1000, 2)))
        again.answered()

    first = asyncio.create_task(refused_once())
    await asyncio.sleep(0)
    await asyncio.gather(first, *(take(bucket, log, number) for number in range(2)))

    assert [("refused", 1.0), ("again", 2.05)] == log[:2]
    assert [0, 1] == [name for name, _ in log[2:]]
    assert all(at > 2.2 for _, at in log[2:])


async def test_a_pause_holds_for_a_waiter_that_was_just_given_a_slot() -> None:
    """A waiter that is handed its slot in the very pass of the refusal waits for the pause as well."""
    bucket, log = TokenBucket(RateLimit(2, 1.0, Scope.USER)), []
    (await bucket.acquire()).answered()
    lease = await bucket.acquire()
    waiting = asyncio.create_task(take(bucket, log, "waited"))
    await asyncio.sleep(0)
    await asyncio.sleep(wakes_at(bucket) - now() - 1e-5)
    while not granted(bucket):  # noqa: ASYNC110 - it is the turn of the loop that matters
        await asyncio.sleep(0)
    lease.refused()
    await waiting

    assert [("waited", 2.0)] == log
    assert 0 == granted(bucket)


async def test_the_pace_is_kept_while_it_becomes_faster() -> None:
    """The call after a stretch of clean time is as far from the last one as any."""
    limit = RateLimit(2, 1.0, Scope.USER)
    bucket = TokenBucket(limit)
    (await bucket.acquire()).refused()
    left = []
    while now() < 1000 + 2.5 * DEFAULT.clean_time:
        lease = await bucket.acquire()
        left.append(now())
        lease.answered()

    assert min(later - earlier for earlier, later in pairwise(left)) > limit.seconds / limit.requests


async def test_during_a_pause_no_token_is_free() -> None:
    """No token is free in a pause, one at a time after it, and all once bursts are allowed again."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).refused()
    assert 0 == bucket.free
    assert 1.0 == pytest.approx(bucket.wait, abs=TICKS)

    await asyncio.sleep(1.1)
    assert 1 == bucket.free

    await asyncio.sleep(DEFAULT.clean_time)
    assert 6 == bucket.free


@pytest.mark.parametrize(
    ("arguments", "accepted"),
    [
        ({"pause": -1}, "pause must be a finite number from 0"),
        ({"pause": math.inf}, "pause must be a finite number from 0"),
        ({"step": 1}, "step must be a finite number above 1"),
        ({"cap": 0.5}, "cap must be a finite number from 1"),
        ({"clean_time": 0}, "clean_time must be a finite number above 0"),
        ({"clean_time": "30"}, "clean_time must be a finite number above 0"),
    ],
)
def test_the_settings_of_a_refusal_are_checked(arguments: dict[str, object], accepted: str) -> None:
    """A number that makes no sense raises an error that names it, and what it may be."""
    with pytest.raises(ConfigurationError, match=accepted):
        PushBack(**arguments)  # type: ignore[arg-type]

    assert 0 == PushBack(pause=0, step=1.01, cap=1, clean_time=0.01).pause


@pytest.mark.parametrize(
    ("requests", "intervals"), [(6, (0.2, 0.4, 1 / 6)), (2, (1.0, 2.0, 0.5)), (1, (1.2, 2.4, 1.0))]
)
def test_the_intervals_of_the_pace(requests: int, intervals: tuple[float, float, float]) -> None:
    """The first has room for one request less than the limit, the longest is twice as long."""
    assert intervals == PushBack().intervals(requests, 1.0)


def test_a_pause_is_as_many_periods_as_it_says() -> None:
    """From the first refusal, and from each further one."""
    pace = Pace(PushBack(pause=1.5), 6, 2.0, 100.0)
    assert 103.0 == pace.paused_until
    pace.refused(102.0)
    assert 105.0 == pace.paused_until


def test_a_refusal_within_a_period_of_the_last_one_is_the_same() -> None:
    """And one after a whole period is another."""
    pace = Pace(PushBack(), 6, 1.0, 100.0)
    pace.refused(100.999)
    assert 0.2 == pace.interval
    pace.refused(101.0)
    assert 0.24 == pytest.approx(pace.interval)


@pytest.mark.parametrize(("paced", "seconds"), [(True, 30), (False, 1)])
def test_when_bursts_are_allowed_again(*, paced: bool, seconds: float) -> None:
    """After the clean time, or after the pause if nothing was paced."""
    pace = Pace(PushBack(paced=paced), 6, 1.0, 100.0)

    assert not pace.ease(99.999 + seconds)
    assert pace.ease(100.0 + seconds) is True


async def test_without_a_pace_bursts_are_allowed_after_the_pause() -> None:
    """`PushBack(paced=False)` pauses for its seconds, and does nothing else."""
    bucket, log = TokenBucket(SIX, push_back=PushBack(pause=0.5, paced=False)), []
    (await bucket.acquire()).refused()

    await asyncio.gather(*(take(bucket, log, number) for number in range(5)))

    assert {0.5} == {at for _, at in log}


async def test_between_two_calls_of_the_pace_no_token_is_free() -> None:
    """The wait is then what is left of the interval."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).refused()
    (await bucket.acquire()).answered()

    assert 0 == bucket.free
    assert 0.2 == pytest.approx(bucket.wait, abs=TICKS)
