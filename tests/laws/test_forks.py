"""Processes that fork, and worker processes."""

import asyncio
import gc
import multiprocessing
import os
import select
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from okx_sol_async import (
    ConfigurationError,
    Credentials,
    LocalLimiter,
    MemoryWriteLog,
    Session,
    SolStaking,
    TokenBucket,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse
from okx_sol_async.ratelimit._registry import SWEEP_EVERY, SWEEP_ROUND
from okx_sol_async.ratelimit._state import CLOCK_DRIFT
from tests.support.buckets import SIX
from tests.support.threads import KEY, PATIENCE, burst
from tests.support.virtual_time import VirtualLoop, run

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


# As an error, a warning would keep what it warns of alive.
left_open = pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")


START_METHODS = multiprocessing.get_all_start_methods()


@contextmanager
def forking_with_threads() -> Iterator[None]:
    """Ignore the warning of Python 3.12 and later about a fork while the emulator runs in a thread."""
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
    return outcome or "the child did not end"


@forks
@pytest.mark.usefixtures("short_windows")
def test_a_child_process_keeps_the_history(background_exchange: Emulator) -> None:
    """After a fork between two loops the child waits for the second that the parent has used up."""
    exchange = background_exchange
    asyncio.run(burst(exchange.url, exchange.credentials, 6))

    in_child(lambda: asyncio.run(burst(exchange.url, exchange.credentials, 1)))

    assert (7, 7) == (exchange.tally().received, exchange.tally().accepted)


@forks
@pytest.mark.usefixtures("short_windows")
async def test_a_child_that_is_forked_inside_a_loop_keeps_the_history(background_exchange: Emulator) -> None:
    """The parent's loop does not run in the child, so the user's calls may go on there, as after a loop that is gone."""
    exchange = background_exchange
    async with Session(base_url=exchange.url, timeout=PATIENCE) as session:
        staking = SolStaking(exchange.credentials, session)
        await asyncio.gather(*(staking.balance() for _ in range(6)))

        in_child(lambda: asyncio.run(burst(exchange.url, exchange.credentials, 1)))

        await staking.balance()
    assert (8, 8) == (exchange.tally().received, exchange.tally().accepted)


@forks
def test_a_child_process_evicts_the_users_of_its_parent() -> None:
    """The buckets that came with the fork are evicted when they are idle, though the parent's loop was running."""
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
    """Leave them to the garbage collector."""
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
    """Whatever a child does with a session that came with the fork, the parent's next call succeeds."""
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
def test_a_child_of_a_loop_that_does_not_run_leaves_the_sockets_alone(
    background_exchange: Emulator, act: Callable[[list[Session], list[SolStaking]], str], *, goes_on: bool
) -> None:
    """The same holds when the loop of the session does not run at the moment of the fork, and runs on after it."""
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
def test_a_bucket_goes_on_with_its_loop_in_a_child_process() -> None:
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
    """The child has a lock of its own, because the other thread's would never be released there."""
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
        waits = pool.starmap_async(_call_in_process, arguments, chunksize=1).get(PATIENCE)
        pool.close()
        pool.join()

    assert [0.0, 0.0] == waits
    assert (15, 15) == (exchange.tally().received, exchange.tally().accepted)


@forks
async def test_what_the_parent_has_in_flight_is_open_for_its_child(exchange: Emulator) -> None:
    """The parent waits for its response, and the child can only look it up."""
    exchange.fail_next(NoResponse())
    log = MemoryWriteLog()

    async def unresolved() -> int:
        staking = SolStaking(exchange.credentials, Session(base_url=exchange.url, write_log=log))
        return len([write async for write in staking.unresolved()])

    async with Session(base_url=exchange.url, write_log=log, limiter=LocalLimiter()) as session:
        task = asyncio.create_task(SolStaking(exchange.credentials, session).purchase("1"))
        while not exchange.tally().faulted:  # noqa: ASYNC110 - there is no notification
            await asyncio.sleep(0.01)

        assert 0 == await unresolved()
        assert "1" == in_child(lambda: asyncio.run(unresolved()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
