import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from itertools import pairwise

import pytest

from okx_sol_async import ConfigurationError, RateLimit, Scope, Timeout, TokenBucket
from okx_sol_async.ratelimit.latency import LEAST_LATENCY, MaxLatency
from okx_sol_async.ratelimit.pacing import DEFAULT, PushBack
from okx_sol_async.ratelimit.state import CLOCK_DRIFT
from tests.support.buckets import granted, wakes_at
from tests.support.virtual_time import VirtualLoop, run

SIX = RateLimit(6, 1.0, Scope.USER)
HOLD = 1.0 + CLOCK_DRIFT
#: What the virtual clock adds by itself.
TICKS = 1e-3
#: Seconds after which a test gives up on a thread.
PATIENCE = 60.0


def virtual(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Run a test on a virtual clock."""

    @wraps(test)
    def on_virtual_clock() -> None:
        run(test())

    return on_virtual_clock


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(bucket: TokenBucket, log: list[object], name: object, *, answer_after: float = 0.0) -> None:
    lease = await bucket.acquire(None)
    log.append((name, round(now() - 1000, 2)))
    await asyncio.sleep(answer_after)
    lease.answered()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((0, 1.0, Scope.USER), "requests"),
        ((True, 1.0, Scope.USER), "requests"),
        ((1.5, 1.0, Scope.USER), "requests"),
        ((6, 0, Scope.USER), "seconds"),
        ((6, math.inf, Scope.USER), "seconds"),
        ((6, math.nan, Scope.USER), "seconds"),
        ((6, "1", Scope.USER), "seconds"),
        ((6, 1.0, "user"), "scope"),
    ],
)
def test_a_limit_is_checked(arguments: tuple[object, ...], field: str) -> None:
    """A limit that means nothing is refused by the name of its field."""
    with pytest.raises(ConfigurationError, match=field):
        RateLimit(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("lead", [-0.1, 1.0, 2.0])
def test_a_lead_is_checked(lead: float) -> None:
    """A slot cannot be free before its call was answered."""
    with pytest.raises(ConfigurationError, match="lead"):
        TokenBucket(SIX, lead=lead)


@virtual
async def test_a_burst_on_an_idle_bucket_waits_for_nothing() -> None:
    """Six calls leave at once, and the seventh one period after the first was answered."""
    bucket, log = TokenBucket(SIX), []

    await asyncio.gather(*(take(bucket, log, number, answer_after=0.1) for number in range(8)))

    assert [(number, 0.0) for number in range(6)] + [(6, 1.1), (7, 1.1)] == log


@virtual
async def test_a_slot_is_counted_from_its_answer() -> None:
    """However long an answer takes, its slot is free one period after it."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    lease = await bucket.acquire()
    await asyncio.sleep(5)
    lease.answered()
    answered_at = now()

    await bucket.acquire()

    assert HOLD == pytest.approx(now() - answered_at, abs=TICKS)


@virtual
async def test_a_lead_frees_a_slot_earlier() -> None:
    """With a lead the next call leaves that much earlier."""
    bucket, log = TokenBucket(RateLimit(1, 1.0, Scope.USER), lead=0.25), []

    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))

    assert [(0, 0.0), (1, 0.75), (2, 1.5)] == log


@virtual
async def test_an_abandoned_call_may_still_be_on_its_way() -> None:
    """Its slot stays taken for the longest answer time seen lately, and at least half a second, more."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    (await bucket.acquire()).abandoned()
    began = now()
    lease = await bucket.acquire()

    assert HOLD + LEAST_LATENCY == pytest.approx(now() - began, abs=TICKS)

    await asyncio.sleep(2)
    lease.answered()
    (await bucket.acquire()).abandoned()
    began = now()
    await bucket.acquire()

    assert HOLD + 2 == pytest.approx(now() - began, abs=TICKS)


def test_the_longest_answer_is_forgotten_after_a_minute() -> None:
    """A slow answer of long ago does not slow down the bot of today, and a recent one is not lost to it."""
    longest = MaxLatency()
    longest.note(5.0, 0.0)

    assert 5.0 == longest.seconds(29.0)

    longest.note(2.0, 59.0)

    assert 5.0 == longest.seconds(59.5)
    assert 2.0 == longest.seconds(70.0)
    assert LEAST_LATENCY == longest.seconds(200.0)


@virtual
async def test_first_come_first_served() -> None:
    """Calls leave in the order in which they came, whoever is answered first."""
    bucket, log = TokenBucket(SIX), []

    await asyncio.gather(*(take(bucket, log, number, answer_after=(number * 7 % 5) / 10) for number in range(50)))

    assert list(range(50)) == [number for number, _ in log]


@virtual
async def test_nobody_slips_in_before_those_who_were_given_a_slot() -> None:
    """A newcomer in the very turn of the loop in which a slot is handed over stands behind the one who waited."""
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


@virtual
async def test_a_cancelled_waiter_costs_nobody_anything() -> None:
    """It leaves the queue at once; those behind it move up."""
    bucket, log = TokenBucket(SIX), []
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(12)]
    await asyncio.sleep(0)
    for number in (6, 8, 9):
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [0, 1, 2, 3, 4, 5, 7, 10, 11] == [number for number, _ in log]
    assert {1.0} == {at for _, at in log[6:]}


@virtual
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


@virtual
async def test_a_call_that_cannot_come_in_time_fails_at_once() -> None:
    """The lower bound of the wait decides, and the error tells it and the length of the queue."""
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


@virtual
async def test_calls_in_flight_count_in_the_lower_bound() -> None:
    """A slot in flight is free one period from now at the earliest."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    await bucket.acquire()

    with pytest.raises(Timeout):
        await bucket.acquire(now() + 1.0)


@virtual
async def test_a_wait_that_turns_out_too_long_ends_at_the_deadline() -> None:
    """A waiter whose turn does not come gives up at its deadline, and frees its place."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))
    lease = await bucket.acquire()
    began = now()

    with pytest.raises(Timeout, match="max_wait"):
        await bucket.acquire(began + 3.0)

    assert 3.0 == pytest.approx(now() - began, abs=TICKS)
    assert not bucket.state.queue

    lease.answered()
    await bucket.acquire()


@virtual
async def test_a_lease_ends_once() -> None:
    """Ending it again does nothing."""
    bucket = TokenBucket(SIX)
    lease = await bucket.acquire()
    lease.answered()
    lease.answered()
    lease.abandoned()

    assert 0 == bucket.state.window.in_flight
    assert 1 == len(bucket.state.window.releases)


@virtual
async def test_a_block_ends_its_own_lease() -> None:
    """`async with` counts as answered, and as abandoned when it ends with an exception."""
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


@virtual
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


# After a refusal.


@virtual
async def test_after_a_refusal_nothing_leaves_for_one_period_and_then_evenly() -> None:
    """A pause of a second, then one call each fifth of a second; the refused one goes first."""
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


@virtual
async def test_refused_calls_keep_their_order_among_themselves() -> None:
    """Whichever refusal is told first, the calls go again in the order in which they came."""
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


@virtual
async def test_the_pace_gets_slower_with_refusals_and_bursts_come_back_after_clean_time() -> None:
    """Each further refusal costs a fifth of the pace, each clean half minute gives it back."""
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


@virtual
async def test_many_refusals_at_once_are_one() -> None:
    """Six calls that were refused together slow the bucket down once, not six times."""
    bucket = TokenBucket(SIX)
    leases = [await bucket.acquire() for _ in range(6)]
    for lease in leases:
        lease.refused()
    log: list[tuple[object, float]] = []
    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))  # type: ignore[arg-type]

    assert [1.0, 1.2, 1.4] == [at for _, at in log]


@virtual
async def test_the_pause_counts_in_the_lower_bound() -> None:
    """A call that cannot come before the pause is over fails at once."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).refused()

    with pytest.raises(Timeout):
        await bucket.acquire(now() + 0.9)


@virtual
async def test_cancelling_while_waiting_for_the_pace_costs_nobody_anything() -> None:
    """The slot goes back and the next one is served."""
    bucket, log = TokenBucket(SIX), []
    (await bucket.acquire()).refused()
    tasks = [asyncio.create_task(take(bucket, log, number)) for number in range(4)]
    await asyncio.sleep(1.1)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [0, 2, 3] == [number for number, _ in log]
    assert 0 == bucket.state.window.in_flight == granted(bucket)


@virtual
async def test_a_deadline_holds_while_waiting_for_the_pace() -> None:
    """The pace cannot keep a call for longer than it may wait."""
    bucket, log = TokenBucket(SIX), []
    (await bucket.acquire()).refused()
    first = asyncio.create_task(take(bucket, log, "first"))
    await asyncio.sleep(0)

    with pytest.raises(Timeout):
        await bucket.acquire(now() + 1.1)

    await first


@virtual
async def test_a_limit_of_one_has_a_pace_too() -> None:
    """There is no dividing by the requests that remain."""
    bucket, log = TokenBucket(RateLimit(1, 1.0, Scope.USER)), []
    (await bucket.acquire()).refused()

    await asyncio.gather(*(take(bucket, log, number) for number in range(3)))

    assert [0, 1, 2] == [number for number, _ in log]


# Event loops.


def test_history_survives_an_event_loop() -> None:
    """A second loop does not refill the bucket, also if its clock began anew."""
    bucket = TokenBucket(SIX)

    async def spend() -> None:
        for _ in range(6):
            (await bucket.acquire()).answered()

    async def wait_for_one() -> float:
        began = now()
        await bucket.acquire()
        return now() - began

    run(spend(), start=5000.0)
    waited = run(wait_for_one(), start=10.0)

    assert HOLD == pytest.approx(waited, abs=TICKS)


def test_calls_in_flight_when_a_loop_ends_may_still_be_on_their_way() -> None:
    """Their slots stay taken as those of abandoned calls do."""
    bucket = TokenBucket(SIX)
    leases = []

    async def leave_in_flight() -> None:
        leases.extend([await bucket.acquire() for _ in range(6)])

    async def wait_for_one() -> float:
        began = now()
        await bucket.acquire()
        return now() - began

    run(leave_in_flight())
    waited = run(wait_for_one())

    assert HOLD + LEAST_LATENCY == pytest.approx(waited, abs=TICKS)
    # What the old loop's calls report later is of no consequence.
    leases[0].answered()
    assert 1 == bucket.state.window.in_flight


def test_those_who_waited_on_a_loop_that_is_gone_are_gone() -> None:
    """The next loop's calls do not stand behind them."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER))

    async def queue_up() -> None:
        (await bucket.acquire()).answered()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(bucket.acquire() for _ in range(3))), 0.5)

    async def wait_for_one() -> None:
        await bucket.acquire(now() + 1.1)

    run(queue_up())
    run(wait_for_one())


def test_two_living_loops_are_refused_clearly() -> None:
    """A bucket serves one loop at a time, and says so instead of breaking."""
    bucket = TokenBucket(SIX)
    inside, done = threading.Event(), threading.Event()

    async def stay() -> None:
        async with bucket:
            inside.set()
            await asyncio.to_thread(done.wait)

    async def intrude() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await bucket.acquire()

    thread = threading.Thread(target=asyncio.run, args=(stay(),))
    thread.start()
    try:
        assert inside.wait(PATIENCE)
        asyncio.run(intrude())
    finally:
        done.set()
        thread.join()
    asyncio.run(bucket.acquire())


def test_a_loop_that_rests_gives_its_bucket_away() -> None:
    """Several loops may use one bucket in turn, without being closed."""
    bucket = TokenBucket(SIX)
    loops = [VirtualLoop(), VirtualLoop()]
    try:
        for loop in loops * 3:
            lease = loop.run_until_complete(bucket.acquire())
            lease.answered()

        assert 6 == len(bucket.state.window.releases)
    finally:
        for loop in loops:
            loop.close()


def test_a_bucket_tells_its_state_in_its_repr() -> None:
    """For a debugger: the limit and what becomes of its slots."""
    assert "<TokenBucket 6 per 1.0 s by user: 0 in flight, 0 cooling, 0 waiting>" == repr(TokenBucket(SIX))


# What a review found.


@virtual
async def test_a_pause_holds_for_those_who_wait_for_the_pace() -> None:
    """A refusal that comes while a call waits for the pace keeps it, and the refused call goes first."""
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


@virtual
async def test_a_pause_holds_for_those_who_were_just_given_a_slot() -> None:
    """A waiter that was handed its slot in the very turn of the refusal waits for the pause as well."""
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


@virtual
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


def test_waiters_of_a_loop_that_was_closed_under_them_change_nothing_later() -> None:
    """Their end, when the interpreter collects them, is not counted in the next loop."""
    bucket = TokenBucket(SIX)
    loop = VirtualLoop()

    async def use_up() -> None:
        for _ in range(6):
            (await bucket.acquire()).answered()

    loop.run_until_complete(use_up())
    waiting = [bucket.acquire() for _ in range(3)]
    for coroutine in waiting:
        # As far as the wait for the turn, as a task would have run it.
        loop.call_soon(coroutine.send, None)
    loop.run_until_complete(asyncio.sleep(0))
    assert 3 == len(bucket.state.queue or ())
    loop.close()

    async def take_one() -> None:
        (await bucket.acquire()).answered()

    run(take_one())
    for coroutine in waiting:
        coroutine.close()

    assert (0, 0) == (bucket.state.window.in_flight, granted(bucket))
    run(take_one())


@virtual
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
    """Two clocks drift apart in proportion."""
    assert pytest.approx(60 * (1 + CLOCK_DRIFT)) == TokenBucket(RateLimit(5, 60, Scope.USER)).state.cooldown


# What a bucket tells, and what can be set.


@virtual
async def test_a_bucket_tells_its_tokens_its_queue_and_the_wait() -> None:
    """A caller can know what it would face before it calls."""
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


@virtual
async def test_during_a_pause_no_token_is_free() -> None:
    """And after it one at a time, until bursts are allowed again."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).refused()
    assert 0 == bucket.free
    assert 1.0 == pytest.approx(bucket.wait, abs=TICKS)

    await asyncio.sleep(1.1)
    assert 1 == bucket.free

    await asyncio.sleep(DEFAULT.clean_time)
    assert 6 == bucket.free


@virtual
async def test_an_adaptive_lead_is_learnt_from_the_answers() -> None:
    """After twenty answers a slot is free earlier, by less than the shortest of them."""
    bucket = TokenBucket(RateLimit(1, 1.0, Scope.USER), lead="adaptive")
    gaps = []
    for _ in range(30):
        lease = await bucket.acquire()
        await asyncio.sleep(0.2)
        lease.answered()
        answered_at = now()
        gaps.append(bucket.state.window.releases[0] - answered_at)

    assert HOLD == pytest.approx(gaps[0], abs=TICKS)
    assert HOLD - 0.195 == pytest.approx(gaps[-1], abs=2 * TICKS)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"pause": -1}, "pause"),
        ({"pause": math.inf}, "pause"),
        ({"step": 1}, "step"),
        ({"cap": 0.5}, "cap"),
        ({"clean_time": 0}, "clean_time"),
        ({"clean_time": "30"}, "clean_time"),
    ],
)
def test_what_a_refusal_does_is_checked(arguments: dict[str, object], field: str) -> None:
    """A number that means nothing is refused by its name."""
    with pytest.raises(ConfigurationError, match=field):
        PushBack(**arguments)  # type: ignore[arg-type]


@virtual
async def test_without_a_pace_bursts_are_allowed_after_the_pause() -> None:
    """`PushBack(paced=False)` pauses only, for as long as it is told."""
    bucket, log = TokenBucket(SIX, push_back=PushBack(pause=0.5, paced=False)), []
    (await bucket.acquire()).refused()

    await asyncio.gather(*(take(bucket, log, number) for number in range(5)))

    assert {0.5} == {at for _, at in log}


@virtual
async def test_blocks_that_end_in_another_order_are_timed_one_by_one() -> None:
    """A long block among short ones is the longest answer seen."""
    bucket = TokenBucket(SIX)

    async def block(seconds: float) -> None:
        async with bucket:
            await asyncio.sleep(seconds)

    long = asyncio.create_task(block(3.0))
    for _ in range(20):
        await block(0.1)
    await long

    assert 3.0 == pytest.approx(bucket.state.rules.max_latency.seconds(now()), abs=TICKS)


@virtual
async def test_between_two_calls_of_the_pace_no_token_is_free() -> None:
    """And the wait is what is left of the interval."""
    bucket = TokenBucket(SIX)
    (await bucket.acquire()).refused()
    (await bucket.acquire()).answered()

    assert 0 == bucket.free
    assert 0.2 == pytest.approx(bucket.wait, abs=TICKS)
