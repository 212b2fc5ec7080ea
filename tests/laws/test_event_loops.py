"""Several event loops, threads and processes, other event loops than asyncio's own, and loops that end."""

import asyncio
import gc
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import pytest

from okx_sol_async import (
    BALANCE,
    BucketKey,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    RateLimit,
    Scope,
    Session,
    SessionClosed,
    SolStaking,
    TokenBucket,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse
from okx_sol_async.ratelimit.loops import COARSE_CLOCK, PROCESS
from okx_sol_async.ratelimit.merging import evict
from okx_sol_async.ratelimit.registry import SWEEP_EVERY, SWEEP_ROUND
from okx_sol_async.ratelimit.state import CLOCK_DRIFT
from tests.support.virtual_time import VirtualLoop, run

R = TypeVar("R")

SIX = RateLimit(6, 1.0, Scope.USER)
KEY = BucketKey("https://openapi.okx.com", demo=False, owner="a", method="GET", path="/api/v5/x")
#: Seconds after which a test gives up on a thread or a process. Nothing takes so long, however busy the machine is.
PATIENCE = 60.0
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
# As an error, a warning would keep what it warns of alive.
left_open = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")
START_METHODS = multiprocessing.get_all_start_methods()


async def burst(url: str, credentials: Credentials, calls: int, limiter: LocalLimiter | None = None) -> float:
    """Make so many calls at once with a session of its own, and return the seconds that their bucket told them to wait.

    The emulator refuses what comes sooner than it may, so that no clock is needed to see that they did wait.
    """
    async with Session(base_url=url, limiter=limiter, timeout=PATIENCE) as session:
        staking = SolStaking(credentials, session)
        bucket = session.bucket(BALANCE, credentials)
        assert isinstance(bucket, TokenBucket)
        answers = asyncio.gather(*(staking.balance() for _ in range(calls)))
        told = bucket.wait
        await answers
    return told


def in_threads(*mains: Callable[[], Coroutine[object, object, R]]) -> list[R | BaseException]:
    """Run each in an event loop and thread of its own, all at once, and return what they return or raise."""
    outcomes: dict[int, R | BaseException] = {}

    def run(number: int, main: Callable[[], Coroutine[object, object, R]]) -> None:
        try:
            outcomes[number] = asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - it is looked at in the test
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number, main)) for number, main in enumerate(mains)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    return [outcomes[number] for number in range(len(mains))]


# Two event loops at once.


def test_one_user_on_two_living_loops_is_told_so(background_exchange: Emulator) -> None:
    """The second loop gets a `ConfigurationError` that says what to do, the first is not disturbed, and then it may."""
    exchange = background_exchange
    limiter = LocalLimiter()
    at_work, refused = threading.Event(), threading.Event()

    async def first() -> float:
        async with Session(base_url=exchange.url, limiter=limiter) as session:
            staking = SolStaking(exchange.credentials, session)
            await staking.balance()
            at_work.set()
            await asyncio.to_thread(refused.wait, PATIENCE)
            await asyncio.gather(*(staking.balance() for _ in range(7)))
        return 0.0

    async def second() -> float:
        try:
            await asyncio.to_thread(at_work.wait, PATIENCE)
            return await burst(exchange.url, exchange.credentials, 1, limiter)
        finally:
            refused.set()

    done, error = in_threads(first, second)

    assert 0.0 == done
    assert isinstance(error, ConfigurationError)
    assert "another event loop" in str(error)
    assert "run_coroutine_threadsafe" in str(error)
    assert exchange.tally().accepted == exchange.tally().received == 8

    asyncio.run(burst(exchange.url, exchange.credentials, 1, limiter))
    assert (9, 9) == (exchange.tally().received, exchange.tally().accepted)


def test_each_user_may_have_a_loop_of_its_own(background_exchange: Emulator) -> None:
    """Four users on four loops in four threads share one limiter, and each has its six a second."""
    exchange = background_exchange
    limiter = LocalLimiter()
    users = [exchange.add_user() for _ in range(4)]

    outcomes = in_threads(*(lambda user=user: burst(exchange.url, user.credentials, 8, limiter) for user in users))

    # None of them had to wait for what the others sent.
    assert [0.0] * 4 == outcomes
    assert [(8, 8)] * 4 == [(tally.received, tally.accepted) for tally in (exchange.tally(uid=u.uid) for u in users)]


def test_calls_from_any_thread_may_go_through_one_loop(background_exchange: Emulator) -> None:
    """What the error advises works: `asyncio.run_coroutine_threadsafe` from several threads keeps the limit."""
    exchange = background_exchange
    loop = asyncio.new_event_loop()
    serving = threading.Thread(target=loop.run_forever)
    serving.start()
    try:
        session = Session(base_url=exchange.url, limiter=LocalLimiter())
        staking = SolStaking(exchange.credentials, session)

        def call_twice() -> None:
            for _ in range(2):
                asyncio.run_coroutine_threadsafe(staking.balance(), loop).result(PATIENCE)

        threads = [threading.Thread(target=call_twice) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        asyncio.run_coroutine_threadsafe(session.aclose(), loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        serving.join(PATIENCE)
        loop.close()

    assert (8, 0) == (exchange.tally().accepted, exchange.tally().refused)


class _MeetingLoop(VirtualLoop):
    """A loop that is gone; two threads that look whether it is do so at the same moment, if they can."""

    meeting: threading.Barrier | None = None

    def is_closed(self) -> bool:
        if self.meeting is not None:
            # Broken if only one of them got here.
            with suppress(threading.BrokenBarrierError):
                self.meeting.wait(0.3)
        return super().is_closed()


def test_two_threads_that_take_over_a_bucket_at_the_same_moment() -> None:
    """Only one of two new loops gets the bucket of a loop that is gone; the other is told."""
    bucket = TokenBucket(SIX)
    gone = _MeetingLoop()
    gone.run_until_complete(bucket.acquire()).answered()
    gone.close()
    gone.meeting = threading.Barrier(2)
    both_tried = threading.Barrier(2)

    async def take_over() -> float:
        try:
            lease = await bucket.acquire()
        finally:
            await asyncio.to_thread(both_tried.wait, PATIENCE)
        lease.answered()
        return 0.0

    outcomes = in_threads(take_over, take_over)

    assert 1 == sum(isinstance(outcome, ConfigurationError) for outcome in outcomes)
    assert 1 == outcomes.count(0.0)
    assert 0 == bucket.state.window.in_flight
    assert 2 == len(bucket.state.window.releases)


class _Interrupted:
    """A lock before which something else happens once, as if another thread had been quicker."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = [happens]
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if self._happens:
            self._happens.pop()()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@pytest.mark.parametrize("before", ["made", "left by a loop that is gone", "let go"])
def test_a_bucket_that_another_thread_lets_go_at_that_moment(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """Between the look whether it was let go and the first lease; there are never two buckets at work for one key."""
    limiter = LocalLimiter()
    other = VirtualLoop()
    bucket = limiter.bucket(KEY, SIX)
    if before == "left by a loop that is gone":
        gone = VirtualLoop(-1000.0)
        gone.run_until_complete(bucket.acquire()).answered()
        bucket.state.window.releases = ()
        gone.close()
    if before == "let go":
        limiter._evict_idle(other)

    async def main() -> None:
        monkeypatch.setattr(PROCESS, "moving", _Interrupted(lambda: limiter._evict_idle(other)))
        lease = await bucket.acquire()

        assert limiter.bucket(KEY, SIX) is bucket
        lease.answered()
        assert 5 == limiter.bucket(KEY, SIX).free

    run(main())
    other.close()


def test_two_loops_that_begin_to_let_go_at_the_same_moment() -> None:
    """Neither is forgotten, or it would begin again with each call."""
    limiter = LocalLimiter()
    gone = _MeetingLoop()
    gone.run_until_complete(call_for(limiter, "a"))
    gone.close()
    gone.meeting = threading.Barrier(2)

    both_began = threading.Barrier(2)

    async def begin(owner: str) -> asyncio.AbstractEventLoop:
        await call_for(limiter, owner)
        await asyncio.to_thread(both_began.wait, PATIENCE)
        return asyncio.get_running_loop()

    loops = in_threads(lambda: begin("b"), lambda: begin("c"))

    assert limiter._sweeping >= set(loops)  # type: ignore[arg-type]


async def call_for(limiter: LocalLimiter, owner: str) -> None:
    (await limiter.bucket(KEY._replace(owner=owner), SIX).acquire()).answered()


def test_a_lease_may_end_while_its_thread_is_inside_the_limiter() -> None:
    """The garbage collector may run there, and end a call that nobody remembers."""
    limiter = LocalLimiter()

    async def main() -> None:
        bucket = limiter.bucket(KEY, SIX)
        lease = await bucket.acquire()
        lease.answered()
        evict(limiter._buckets.pop(tuple(KEY)), limiter, KEY)
        with limiter._lock:
            lease.refused()
        assert limiter.bucket(KEY, SIX) is bucket

    in_threads(main)


# One after the other.


def test_a_service_may_run_several_loops_one_after_the_other(background_exchange: Emulator) -> None:
    """`asyncio.run` three times, each with a session made anew: the limit holds over all of them."""
    exchange = background_exchange

    for _ in range(3):
        asyncio.run(burst(exchange.url, exchange.credentials, 4))

    assert (12, 12) == (exchange.tally().received, exchange.tally().accepted)


@pytest.fixture(name="shared_exchange", scope="module")
def _shared_exchange() -> Iterator[Emulator]:
    with Emulator() as exchange:
        yield exchange


@pytest.mark.parametrize("turn", range(3))
async def test_each_test_of_pytest_has_a_loop_of_its_own(shared_exchange: Emulator, turn: int) -> None:
    """Tests that call for one user keep the limit together, with a loop and a session each."""
    before = shared_exchange.tally().accepted
    await burst(shared_exchange.url, shared_exchange.credentials, 4)

    assert before + 4 == shared_exchange.tally().accepted
    assert 0 == shared_exchange.tally().refused


def test_a_loop_that_was_closed_in_the_middle_of_its_calls(background_exchange: Emulator) -> None:
    """Its calls may still be on their way, so the next loop waits for them, and is not refused."""
    exchange = background_exchange
    limiter = LocalLimiter()
    # None of them is answered before.
    exchange.fail_next(*[NoResponse()] * 6)

    async def leave() -> None:
        session = Session(base_url=exchange.url, limiter=limiter)
        staking = SolStaking(exchange.credentials, session)
        calls = [asyncio.create_task(staking.balance()) for _ in range(8)]
        while exchange.tally().received < 6:  # noqa: ASYNC110 - the exchange tells nobody
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await session.aclose()

    asyncio.run(leave())
    asyncio.run(burst(exchange.url, exchange.credentials, 6, limiter))

    assert (12, 0) == (exchange.tally().received, exchange.tally().refused)


# A session belongs to one event loop.


def test_a_session_is_not_used_on_a_second_loop(background_exchange: Emulator) -> None:
    """Its calls there fail with a `ConfigurationError`, whether the first loop lives or not, and send nothing."""
    exchange = background_exchange

    async def open_session() -> Session:
        session = Session(base_url=exchange.url, limiter=LocalLimiter())
        await SolStaking(exchange.credentials, session).balance()
        return session

    with asyncio.Runner() as first:
        session = first.run(open_session())
        with (
            asyncio.Runner() as second,
            pytest.raises(ConfigurationError, match=r"another event loop.*Make one in each"),
        ):
            second.run(SolStaking(exchange.credentials, session).balance())
        # The first is none the worse for it.
        first.run(SolStaking(exchange.credentials, session).balance())
        first.run(session.aclose())

    with pytest.raises(SessionClosed, match="closed"):
        asyncio.run(SolStaking(exchange.credentials, session).balance())

    assert 2 == exchange.tally().received


def test_a_session_is_not_closed_on_a_second_loop_while_the_first_is_at_work(background_exchange: Emulator) -> None:
    """Who tries is told with a `ConfigurationError`, and the session goes on working where it belongs."""
    exchange = background_exchange
    session = Session(base_url=exchange.url, limiter=LocalLimiter())
    staking = SolStaking(exchange.credentials, session)
    at_work, tried = threading.Event(), threading.Event()

    async def first() -> int:
        try:
            calls = [asyncio.create_task(staking.balance()) for _ in range(7)]
            await calls[0]
            at_work.set()
            await asyncio.to_thread(tried.wait, PATIENCE)
            return len(await asyncio.gather(*calls))
        finally:
            at_work.set()
            await session.aclose()

    async def second() -> int:
        await asyncio.to_thread(at_work.wait, PATIENCE)
        try:
            await session.aclose()
        finally:
            tried.set()
        return 0

    answers, error = in_threads(first, second)

    assert isinstance(error, ConfigurationError)
    assert "another event loop" in str(error)
    assert 7 == answers


def close_late(exchange: Emulator) -> float:
    """Close the loop of a session with a call in the queue, then the session, and return the seconds that it waits."""
    session = Session(base_url=exchange.url, limiter=LocalLimiter())
    staking = SolStaking(exchange.credentials, session)
    bucket = session.bucket(BALANCE, exchange.credentials)
    assert isinstance(bucket, TokenBucket)

    async def use_up() -> None:
        await staking.balance()
        while bucket.free:
            await bucket.acquire()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use_up())
    call = staking.balance()
    # As far as the queue, as a task would have run it.
    loop.call_soon(call.send, None)
    loop.run_until_complete(asyncio.sleep(0))
    assert 1 == bucket.queue
    loop.close()

    async def close() -> float:
        began = asyncio.get_running_loop().time()
        await session.aclose()
        return asyncio.get_running_loop().time() - began

    # On a virtual clock, so that only what it waits for takes time.
    seconds = run(close())
    call.close()
    return seconds


# The loop is closed, so nothing can close its connections any more but the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning", "ignore:Unclosed:ResourceWarning")
def test_a_session_may_be_closed_after_its_loop_is_gone(background_exchange: Emulator) -> None:
    """Also when a call was under way: a fixture or a shutdown hook may come too late, and must not fail or hang."""
    seconds = close_late(background_exchange)
    gc.collect()

    assert seconds < 0.01


# Other event loops and modes.


def test_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under uvloop a burst of eight draws no refusal, cancelling costs nobody anything, and history outlives the loop."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    limiter = LocalLimiter()

    def run_under_uvloop(main: Awaitable[R]) -> R:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)  # type: ignore[arg-type]

    async def eight(exchange: Emulator) -> None:
        assert type(asyncio.get_running_loop()).__module__.partition(".")[0] == "uvloop"
        await burst(exchange.url, exchange.credentials, 8, limiter)

    async def serve_eight() -> Emulator:
        async with Emulator(latency=0.01, jitter=0.02, seed=1) as exchange:
            await eight(exchange)
        return exchange

    exchange = run_under_uvloop(serve_eight())
    assert (8, 8) == (exchange.tally().received, exchange.tally().accepted)

    async def queue_and_cancel(exchange: Emulator) -> None:
        async with Session(base_url=exchange.url, limiter=limiter, timeout=PATIENCE) as session:
            staking = SolStaking(exchange.credentials, session)
            calls = [asyncio.create_task(staking.balance()) for _ in range(10)]
            # Each takes its place in the queue; at most six have left.
            await asyncio.sleep(0)
            for call in calls[6:8]:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    with Emulator() as exchange:
        # uvloop, then asyncio, then uvloop again: each finds the history of the one before.
        run_under_uvloop(burst(exchange.url, exchange.credentials, 4, limiter))
        asyncio.run(burst(exchange.url, exchange.credentials, 4, limiter))
        run_under_uvloop(queue_and_cancel(exchange))
        assert (16, 16) == (exchange.tally().received, exchange.tally().accepted)
        assert exchange.most_within(1.0) <= 6


def test_every_turn_comes_under_uvloop() -> None:
    """Also when a slot becomes free within the half millisecond for which uvloop sets no timer, and when it rounds."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    left: list[int] = []

    async def main() -> None:
        bucket = TokenBucket(RateLimit(5, 0.01, Scope.USER))

        async def take(number: int) -> None:
            lease = await bucket.acquire()
            left.append(number)
            await asyncio.sleep(number % 7 / 10_000)
            lease.answered()

        await asyncio.gather(*(take(number) for number in range(500)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

    assert list(range(500)) == left


def test_a_clock_that_does_not_tell_its_resolution_may_be_behind() -> None:
    """Uvloop's is up to two milliseconds late, and a slot is taken for so much longer there."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not for this system")
    bucket = TokenBucket(SIX)
    holds = []

    for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop, asyncio.new_event_loop):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(bucket.acquire()).answered()
            holds.append(bucket.state.cooldown - (1 + CLOCK_DRIFT))

    own = time.get_clock_info("monotonic").resolution
    assert [own, COARSE_CLOCK, own] == pytest.approx(holds)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are eager from 3.12 on")
def test_eager_tasks_keep_the_order_and_the_limit(background_exchange: Emulator) -> None:
    """A task that runs as soon as it is made takes its place in the queue as any other."""
    exchange = background_exchange
    limiter = LocalLimiter()
    left: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        bucket = limiter.bucket(KEY, SIX)

        async def take(number: int) -> None:
            lease = await bucket.acquire()
            left.append(number)
            lease.answered()

        await asyncio.gather(*(take(number) for number in range(8)), burst(exchange.url, exchange.credentials, 8))

    asyncio.run(main())

    assert list(range(8)) == left
    assert (8, 8) == (exchange.tally().received, exchange.tally().accepted)


def test_debug_mode_finds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The debug mode of asyncio sees no call into a foreign loop and nothing that was never awaited."""

    async def main() -> Emulator:
        # A machine that is busy makes a step long, which is not what this is about.
        asyncio.get_running_loop().slow_callback_duration = 30
        async with Emulator() as exchange:
            await burst(exchange.url, exchange.credentials, 8, LocalLimiter())
            async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
                call = asyncio.create_task(SolStaking(exchange.add_user().credentials, session).balance())
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
        return exchange

    exchange = asyncio.run(main(), debug=True)
    gc.collect()

    assert 0 == exchange.tally().refused
    assert [] == [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


# Several processes.


@contextmanager
def forking_with_threads() -> Iterator[None]:
    """Let a process fork while the emulator serves in a thread of it, which Python 3.12 and later warn of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
        yield


def in_child(act: Callable[[], object]) -> str:
    """Fork, return the repr of what ``act`` returns or raises in the child, and see the child end."""
    reading, writing = os.pipe()
    with forking_with_threads():
        pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        try:
            try:
                outcome = repr(act())
            except BaseException as error:  # noqa: BLE001 - the parent looks at it
                outcome = repr(error)
            os.write(writing, outcome.encode())
        finally:
            # Without pytest's end, and without what belongs to the parent.
            os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], PATIENCE)
        if not ready:
            os.kill(pid, signal.SIGKILL)
        outcome = os.read(reading, 65_536).decode()
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
    return outcome or "the child came to no end"


@forks
def test_a_child_process_finds_the_history(background_exchange: Emulator) -> None:
    """After a fork between two loops the child waits for the second that the parent has used up."""
    exchange = background_exchange
    asyncio.run(burst(exchange.url, exchange.credentials, 6))

    in_child(lambda: asyncio.run(burst(exchange.url, exchange.credentials, 1)))

    assert (7, 7) == (exchange.tally().received, exchange.tally().accepted)


@forks
async def test_a_child_process_that_is_forked_inside_a_loop_finds_the_history(background_exchange: Emulator) -> None:
    """The parent's loop does not run in the child, so the user's calls may go on there, as after a loop that is gone."""
    exchange = background_exchange
    async with Session(base_url=exchange.url, timeout=PATIENCE) as session:
        staking = SolStaking(exchange.credentials, session)
        await asyncio.gather(*(staking.balance() for _ in range(6)))

        in_child(lambda: asyncio.run(burst(exchange.url, exchange.credentials, 1)))

        await staking.balance()
    assert (8, 8) == (exchange.tally().received, exchange.tally().accepted)


@forks
def test_a_child_process_lets_go_of_the_users_of_its_parent() -> None:
    """The buckets that came with the fork are idle after a while, and go, though the parent's loop was running."""
    limiter = LocalLimiter()

    async def sweep(parents: asyncio.AbstractEventLoop) -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert isinstance(parents, VirtualLoop)
        # The clock of a machine goes on for all loops.
        parents._polling = loop._polling
        limiter.bucket(KEY._replace(owner="b"), SIX)
        await asyncio.sleep(1 + CLOCK_DRIFT + SWEEP_ROUND + SWEEP_EVERY)
        return len(limiter)

    async def fork() -> str:
        (await limiter.bucket(KEY, SIX).acquire()).answered()
        loop = asyncio.get_running_loop()
        return in_child(lambda: run(sweep(loop)))

    assert "0" == run(fork())


def use(sessions: list[Session], users: list[SolStaking]) -> str:
    with pytest.raises(ConfigurationError, match=r"opened by the parent.*Make one in each process"):
        asyncio.run(users[0].balance())
    return "done"


def close(sessions: list[Session], users: list[SolStaking]) -> str:
    asyncio.run(sessions[0].aclose())
    return "done"


def drop(sessions: list[Session], users: list[SolStaking]) -> str:
    """Let the garbage collector have them."""
    users.clear()
    sessions.clear()
    gc.collect()
    return "done"


@forks
@left_open
@pytest.mark.parametrize("act", [use, close, drop])
async def test_a_child_process_leaves_the_sockets_of_its_parent_alone(
    background_exchange: Emulator, act: Callable[[list[Session], list[SolStaking]], str]
) -> None:
    """Whatever a child does with a session that came with the fork, the parent's next call is answered."""
    exchange = background_exchange
    sessions = [Session(base_url=exchange.url, limiter=LocalLimiter(), timeout=PATIENCE)]
    users = [SolStaking(exchange.credentials, sessions[0])]
    await users[0].balance()

    outcome = in_child(lambda: act(sessions, users))

    await users[0].balance()
    await sessions[0].aclose()
    assert "'done'" == outcome
    assert (2, 2) == (exchange.tally().received, exchange.tally().accepted)


@forks
@left_open
@pytest.mark.parametrize("act", [use, close, drop])
@pytest.mark.parametrize("goes_on", [False, True], ids=["", "the child's loop is that of the parent"])
def test_a_child_of_a_resting_loop_leaves_the_sockets_of_its_parent_alone(
    background_exchange: Emulator, act: Callable[[list[Session], list[SolStaking]], str], *, goes_on: bool
) -> None:
    """The same when the loop of the session does not run at the moment of the fork, and runs on after it."""
    exchange = background_exchange
    sessions = [Session(base_url=exchange.url, limiter=LocalLimiter(), timeout=PATIENCE)]
    users = [SolStaking(exchange.credentials, sessions[0])]

    with asyncio.Runner() as runner:
        runner.run(users[0].balance())

        def in_the_same_loop() -> str:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(asyncio, "run", runner.run)
                return act(sessions, users)

        outcome = in_child(in_the_same_loop if goes_on else lambda: act(sessions, users))
        runner.run(users[0].balance())
        runner.run(sessions[0].aclose())

    assert "'done'" == outcome
    assert (2, 2) == (exchange.tally().received, exchange.tally().accepted)


@forks
def test_a_bucket_without_a_limiter_goes_on_in_a_child_process() -> None:
    """Its history counts there, and neither the loop nor the queue of the parent does."""
    bucket = TokenBucket(SIX)

    async def wait_for_one() -> float:
        assert 0 == bucket.queue
        began = asyncio.get_running_loop().time()
        await bucket.acquire()
        return asyncio.get_running_loop().time() - began

    async def fork() -> str:
        for _ in range(5):
            (await bucket.acquire()).answered()
        lease = await bucket.acquire()
        waiting = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0)
        assert 1 == bucket.queue

        seconds = in_child(lambda: run(wait_for_one()))

        assert (1, 1) == (bucket.queue, bucket.state.window.in_flight)
        lease.answered()
        (await waiting).answered()
        return seconds

    assert 1 + CLOCK_DRIFT == pytest.approx(float(run(fork())), abs=1e-3)


@forks
def test_a_bucket_of_a_resting_loop_goes_on_with_it_in_a_child_process() -> None:
    """What is in flight on a loop that the child runs on with is ended there once."""
    limiter = LocalLimiter()
    bucket = limiter.bucket(KEY, SIX)

    with asyncio.Runner() as runner:
        lease = runner.run(bucket.acquire())

        async def end() -> tuple[int, int]:
            (await bucket.acquire()).answered()
            limiter._sweep(asyncio.get_running_loop())
            lease.answered()
            return bucket.state.window.in_flight, len(bucket.state.window.releases)

        assert "(0, 2)" == in_child(lambda: runner.run(end()))
        assert (0, 2) == runner.run(end())


@forks
def test_a_fork_while_another_thread_is_inside_the_limiter() -> None:
    """A lock that another thread holds at that moment would never be released in the child, so it has one of its own."""
    limiter = LocalLimiter()
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with limiter._lock:
            inside.set()
            done.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(PATIENCE)

        outcome = in_child(lambda: limiter.bucket(KEY, SIX).free)
    finally:
        done.set()
        thread.join(PATIENCE)

    assert "6" == outcome


def _call_in_process(url: str, credentials: tuple[str, str, str, str | None], calls: int) -> float:
    return asyncio.run(burst(url, Credentials(*credentials), calls))


@pytest.mark.parametrize("method", START_METHODS)
def test_worker_processes_work(background_exchange: Emulator, method: str) -> None:
    """However `multiprocessing` starts them, each has a limiter of its own for the users that it serves."""
    exchange = background_exchange
    # A fork takes over what its parent knows, also of users that only the parent has called for.
    asyncio.run(burst(exchange.url, exchange.credentials, 1))
    users = [exchange.add_user() for _ in range(2)]
    arguments = []
    for user in users:
        keys = user.credentials
        arguments.append((exchange.url, (keys.api_key, keys.secret_key, keys.passphrase, keys.user_id), 7))

    with forking_with_threads(), multiprocessing.get_context(method).Pool(2) as pool:
        told = pool.starmap_async(_call_in_process, arguments, chunksize=1).get(PATIENCE)
        pool.close()
        pool.join()

    assert [0.0, 0.0] == told
    assert (15, 15) == (exchange.tally().received, exchange.tally().accepted)
