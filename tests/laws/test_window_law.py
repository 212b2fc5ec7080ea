"""The window law on a virtual clock: what no arrival order, delay, failure or cancellation may break."""

import asyncio
import math
import random
from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_sol_async import RateLimit, Scope, TokenBucket
from okx_sol_async.emulator import FixedWindow, SlidingWindow, TokenWindow
from okx_sol_async.ratelimit._latency import LEAST_LATENCY
from okx_sol_async.ratelimit._loops import COARSE_CLOCK
from tests.support.buckets import granted
from tests.support.virtual_time import VirtualLoop, run

WINDOWS = {"sliding": SlidingWindow, "fixed": FixedWindow, "token": TokenWindow}
#: How many calls each may refuse.
NONE = dict.fromkeys(WINDOWS, 0)


@attrs.frozen
class Plan:
    """What happens to one call; all in seconds."""

    #: When it is made, from the beginning.
    at: float
    #: How long it takes to the exchange.
    there: float
    #: How long the response takes.
    back: float
    #: How long after it was made it is cancelled, most often in the queue.
    cancelled_after: float | None = None
    #: How long after it left it is cancelled in flight.
    gone_after: float | None = None
    #: Whether no answer comes: the call fails when the answer would have come.
    fails: bool = False


@attrs.define
class Exchange:
    """What the exchange and an observer of the calls see."""

    arrivals: list[float] = attrs.field(factory=list)
    left: list[int] = attrs.field(factory=list)
    answered: int = 0

    def most_within(self, seconds: float) -> int:
        times = sorted(self.arrivals)
        return max((bisect_left(times, start + seconds) - at for at, start in enumerate(times)), default=0)


def play(plans: Iterable[Plan], limit: RateLimit) -> Exchange:
    """Let the calls of ``plans`` go through one bucket."""
    exchange = Exchange()
    ordered = sorted(enumerate(plans), key=lambda item: (item[1].at, item[0]))

    async def call(bucket: TokenBucket, number: int, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        lease = await bucket.acquire(None)
        exchange.left.append(number)
        # Once it is sent, it arrives, whatever becomes of the caller.
        exchange.arrivals.append(loop.time() + plan.there)
        task = asyncio.current_task()
        if plan.gone_after is not None and task is not None:
            loop.call_later(plan.gone_after, task.cancel)
        try:
            await asyncio.sleep(plan.there + plan.back)
            if plan.fails:
                raise ConnectionError  # noqa: TRY301 - this is the call
        except BaseException:
            lease.abandoned()
            raise
        exchange.answered += 1
        lease.answered()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        bucket = TokenBucket(limit)
        tasks = []
        began = loop.time()
        for number, (_, plan) in enumerate(ordered):
            await asyncio.sleep(max(began + plan.at - loop.time(), 0))
            task = asyncio.create_task(call(bucket, number, plan))
            tasks.append(task)
            # It takes its place in the queue before the next one is made.
            await asyncio.sleep(0)
            if plan.cancelled_after is not None:
                loop.call_later(plan.cancelled_after, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert bucket.state.window.in_flight == granted(bucket) == 0
        assert not bucket.state.queue

    run(main())
    return exchange


def refusals(exchange: Exchange, limit: RateLimit) -> dict[str, int]:
    """Return how many calls a server would have refused, for each way in which it may count."""
    windows = {kind: window(limit.requests, limit.seconds) for kind, window in WINDOWS.items()}
    arrivals = sorted(exchange.arrivals)
    return {kind: sum(not window.accept(arrival) for arrival in arrivals) for kind, window in windows.items()}


short = st.floats(0.0, LEAST_LATENCY / 2)
limits = st.builds(RateLimit, st.integers(1, 8), st.sampled_from([0.5, 1.0, 2.0]), st.just(Scope.USER))
arrival_times = st.floats(0.0, 6.0)
answered_calls = st.builds(Plan, at=arrival_times, there=st.floats(0, 3), back=st.floats(0, 3))
any_calls = st.builds(
    Plan,
    at=arrival_times,
    there=short,
    back=short,
    cancelled_after=st.none() | st.floats(0, 4),
    gone_after=st.none() | short,
    fails=st.booleans(),
)


@given(plans=st.lists(answered_calls, max_size=40), limit=limits)
@settings(max_examples=200, deadline=None)
def test_calls_with_responses_are_never_refused(plans: list[Plan], limit: RateLimit) -> None:
    """At every delay and jitter, no window holds more calls than the limit, and all leave in order."""
    exchange = play(plans, limit)

    assert exchange.most_within(limit.seconds) <= limit.requests
    assert NONE == refusals(exchange, limit)
    assert sorted(exchange.left) == exchange.left
    assert len(plans) == exchange.answered


@given(plans=st.lists(any_calls, max_size=40), limit=limits)
@settings(max_examples=200, deadline=None)
def test_calls_that_fail_or_are_cancelled_are_never_refused_either(plans: list[Plan], limit: RateLimit) -> None:
    """The same holds for calls cancelled in the queue and in flight and for calls without a response, up to a latency of M."""
    exchange = play(plans, limit)

    assert exchange.most_within(limit.seconds) <= limit.requests
    assert NONE == refusals(exchange, limit)
    assert sorted(exchange.left) == exchange.left


@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("cancelled", [0.0, 0.05, 0.3])
def test_a_saturated_bucket_over_thousands_of_calls(jitter: float, cancelled: float) -> None:
    """Long runs with the delays of a real network, late messages included, draw no refusal of any server."""
    rng = random.Random(f"{jitter} {cancelled}")

    def plan(number: int) -> Plan:
        late = rng.uniform(0.2, 0.4) if rng.random() < 0.03 else 0.0
        there, back = (0.025 + rng.uniform(0, jitter) + late * way for way in (rng.random(), rng.random()))
        # Calls are made faster than they may leave, so the queue never empties and some are cancelled in flight.
        gone = rng.uniform(0, there + back) if rng.random() < cancelled else None
        fails = rng.random() < cancelled / 10
        return Plan(number / 1000, min(there, LEAST_LATENCY), back, gone_after=gone, fails=fails)

    exchange = play([plan(number) for number in range(2000)], RateLimit(6, 1.0, Scope.USER))

    assert exchange.most_within(1.0) <= 6
    assert NONE == refusals(exchange, RateLimit(6, 1.0, Scope.USER))
    assert all(earlier < later for earlier, later in pairwise(exchange.left))


class CoarseLoop(VirtualLoop):
    """Its clock shows whole milliseconds of a clock that goes in steps of a millisecond, as that of uvloop may."""

    def __init__(self) -> None:
        super().__init__()
        self._clock_resolution = COARSE_CLOCK

    def time(self) -> float:
        step = math.floor(super().time() * 1000 + 0.1) - 0.1
        return math.floor(step) / 1000

    def true_time(self) -> float:
        return super().time()


@pytest.mark.parametrize("seconds", [0.0015, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_clock_that_is_behind_breaks_nothing(seconds: float, seed: int) -> None:
    """However short the period is, a slot is used again only when it has truly passed since the response."""
    rng = random.Random(seed)
    limit = RateLimit(4, seconds, Scope.USER)
    # When calls left and were answered, in truth.
    left: list[float] = []
    answered: list[float] = []

    with asyncio.Runner(loop_factory=CoarseLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CoarseLoop)

        async def call() -> None:
            lease = await bucket.acquire()
            left.append(loop.true_time())
            await asyncio.sleep(rng.uniform(0, 0.01))
            loop._polling.clock += rng.uniform(0, 0.001)
            answered.append(loop.true_time())
            lease.answered()

        async def main() -> None:
            await asyncio.gather(*(call() for _ in range(300)))

        bucket = TokenBucket(limit)
        runner.run(main())

    for at in left:
        counted = sum(since > at - seconds for since in answered) - sum(leaving > at for leaving in left)
        assert counted <= limit.requests


def test_the_law_is_broken_by_a_limiter_that_counts_from_the_send() -> None:
    """The check can fail: calls spaced by when they leave arrive closer together, seven in a second."""
    exchange = Exchange(arrivals=[0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 1.05])

    assert 7 == exchange.most_within(1.0)
    assert 1 == refusals(exchange, RateLimit(6, 1.0, Scope.USER))["sliding"]
