"""Several event loops in a process, one after the other, and what a session does on a second one."""

import asyncio
import gc
import threading

import pytest

from okx_sol_async import (
    BALANCE,
    ConfigurationError,
    LocalLimiter,
    Session,
    SessionClosed,
    SolStaking,
    TokenBucket,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse
from tests.support.threads import PATIENCE, burst, in_threads
from tests.support.virtual_time import run

pytestmark = pytest.mark.usefixtures("short_windows")


def test_one_user_on_two_running_loops_is_refused(background_exchange: Emulator) -> None:
    """The second loop gets an error that says what to do, the first is not disturbed, and afterwards the second may call."""
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
    """`asyncio.run_coroutine_threadsafe` from several threads keeps the limit, as the error recommends."""
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


def test_a_service_may_run_several_loops_one_after_the_other(background_exchange: Emulator) -> None:
    """The limit holds over three `asyncio.run`, each with a session of its own."""
    exchange = background_exchange

    for _ in range(3):
        asyncio.run(burst(exchange.url, exchange.credentials, 4))

    assert (12, 12) == (exchange.tally().received, exchange.tally().accepted)


@pytest.mark.parametrize("turn", range(3))
async def test_each_test_of_pytest_has_a_loop_of_its_own(module_exchange: Emulator, turn: int) -> None:
    """Tests that call for one user keep the limit together, with a loop and a session each."""
    before = module_exchange.tally().accepted
    await burst(module_exchange.url, module_exchange.credentials, 4)

    assert before + 4 == module_exchange.tally().accepted
    assert 0 == module_exchange.tally().refused


def test_calls_of_a_closed_loop_still_count(background_exchange: Emulator) -> None:
    """They may still be in flight, so the next loop waits for them and is not refused."""
    exchange = background_exchange
    limiter = LocalLimiter()
    # None of them is answered before.
    exchange.fail_next(*[NoResponse()] * 6)

    async def leave() -> None:
        session = Session(base_url=exchange.url, limiter=limiter)
        staking = SolStaking(exchange.credentials, session)
        calls = [asyncio.create_task(staking.balance()) for _ in range(8)]
        while exchange.tally().received < 6:  # noqa: ASYNC110 - there is no notification
            await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await session.aclose()

    asyncio.run(leave())
    asyncio.run(burst(exchange.url, exchange.credentials, 6, limiter))

    assert (12, 0) == (exchange.tally().received, exchange.tally().refused)


def test_a_session_is_not_used_on_a_second_loop(background_exchange: Emulator) -> None:
    """Its calls there raise a `ConfigurationError`, whether the first loop runs or not, and send nothing."""
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
        # The first one is not affected.
        first.run(SolStaking(exchange.credentials, session).balance())
        first.run(session.aclose())

    with pytest.raises(SessionClosed, match="closed"):
        asyncio.run(SolStaking(exchange.credentials, session).balance())

    assert 2 == exchange.tally().received


def test_a_session_in_use_is_not_closed_on_a_second_loop(background_exchange: Emulator) -> None:
    """Closing it there raises a `ConfigurationError`, and the session goes on working on its own loop."""
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
    """Closing neither fails nor hangs, also when a call was in flight."""
    seconds = close_late(background_exchange)
    gc.collect()

    assert seconds < 0.01


def test_debug_mode_finds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The debug mode of asyncio sees no call into a foreign loop and no coroutine that was never awaited."""

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
