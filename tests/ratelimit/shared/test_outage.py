"""The server is unavailable, and comes back."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from okx_sol_async import (
    ConfigurationError,
    OKXError,
    Timeout,
    TransportError,
)
from okx_sol_async.ratelimit.shared import _outage as outage
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.buckets import key
from tests.support.machines import (
    FAILURES,
    FAST,
    THREE,
    TICKS,
    LimiterLog,
    fail_by_being_full,
    fail_by_freezing,
    fail_by_kill,
    most_within,
    timed_call,
    until,
)
from tests.support.shared_clock import on_a_shared_clock
from tests.support.valkey import Valkey
from tests.support.virtual_time import now

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize("fail", FAILURES)
@on_a_shared_clock
async def test_calls_go_on_while_the_server_is_unavailable(
    server: Valkey, machines: list[RedisLimiter], log: LimiterLog, fail: Callable[[Valkey], Callable[[], object]]
) -> None:
    """Each process uses its part of the limit, logs that once, and recovers by itself."""
    buckets = [machine.bucket(key("user:a"), FAST) for machine in machines]
    for bucket in buckets * 2:
        # With the second reply, both know of each other.
        await timed_call(bucket, [])
    repair = fail(server)
    times: list[float] = []
    await asyncio.gather(*(timed_call(bucket, times) for bucket in buckets for _ in range(3)))

    assert most_within(times, FAST.seconds) <= 2
    assert ["WARNING"] * 2 == log.levels
    assert "the server is away" in repr(machines[0])

    repair()
    while log.levels.count("INFO") < 2:
        for bucket in buckets:
            await timed_call(bucket, [])
    times.clear()
    await asyncio.gather(*(timed_call(bucket, times) for bucket in buckets for _ in range(4)))

    assert most_within(times, FAST.seconds) <= 3
    assert max(times) - min(times) < 8 * FAST.seconds
    assert ["WARNING", "WARNING", "INFO", "INFO"] == log.levels


@pytest.mark.parametrize("fail", [fail_by_kill, fail_by_being_full])
@on_a_shared_clock
async def test_a_server_that_is_back_counts_what_was_sent_without_it(
    server: Valkey, log: LimiterLog, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Valkey], Callable[[], object]]
) -> None:
    """Processes that call all the time send no burst on top of each other's calls."""
    # Each tries several times for every call that it sends by itself.
    monkeypatch.setattr(outage, "TRY_EVERY", FAST.seconds / 10)
    times: list[float] = []

    async def go_on(machine: RedisLimiter) -> None:
        while True:
            await timed_call(machine.bucket(key("user:a"), FAST), times)

    async with contextlib.AsyncExitStack() as stack:
        machines = [
            await stack.enter_async_context(RedisLimiter.from_url(server.url, timeout=1, margin=0.3)) for _ in range(3)
        ]
        tasks = [asyncio.create_task(go_on(machine)) for machine in machines for _ in range(4)]
        await until(lambda: len(times) > 6)
        for outages in range(3, 21, 3):
            repair = fail(server)
            await until(lambda outages=outages: log.levels.count("WARNING") == outages)
            await asyncio.sleep(2 * FAST.seconds)
            times.clear()
            repair()
            await until(lambda outages=outages: log.levels.count("INFO") == outages and len(times) > 6)

            assert most_within(times, FAST.seconds) <= 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@on_a_shared_clock
async def test_calls_fail_while_the_server_is_unavailable_with_on_failure_raise(
    server: Valkey, log: LimiterLog
) -> None:
    """Each waiter gets the error at once, it says what to do, and the limiter recovers by itself."""
    async with RedisLimiter.from_url(server.url, on_failure="raise") as limiter:
        bucket = limiter.bucket(key("user:a"), THREE)
        await timed_call(bucket, [])
        server.kill()
        outcomes = await asyncio.gather(*(bucket.acquire(None) for _ in range(20)), return_exceptions=True)

        assert all(type(outcome) is TransportError and "nothing was sent" in str(outcome) for outcome in outcomes)

        with pytest.raises(TransportError, match="on_failure"):
            await bucket.acquire(None)

        assert 0 == bucket.queue

        server.start()
        await asyncio.sleep(outage.TRY_EVERY)
        await timed_call(bucket, [])

        assert ["WARNING", "INFO"] == log.levels


@on_a_shared_clock
async def test_max_wait_holds_while_the_server_does_not_reply(server: Valkey) -> None:
    """A call gives up when its time is over, whatever it waits for."""
    async with RedisLimiter.from_url(server.url, timeout=5) as limiter:
        bucket = limiter.bucket(key("user:a"), THREE)
        await timed_call(bucket, [])
        repair = fail_by_freezing(server)
        began = now()

        with pytest.raises(Timeout):
            await bucket.acquire(began + 0.2)

        assert 0.2 == pytest.approx(now() - began, abs=TICKS)
        repair()


async def test_a_password_is_never_shown(
    valkey_server: Valkey, log: LimiterLog, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands in no message, no log record and no repr."""
    with pytest.raises(ConfigurationError) as refused:
        RedisLimiter.from_url("redis://user:hunter2@host:hunter2/0")
    async with RedisLimiter.from_url(valkey_server.url.replace("//", "//user:hunter2@"), on_failure="raise") as limiter:
        with pytest.raises(OKXError) as failed:
            await limiter.bucket(key("user:a"), THREE).acquire(None)
        shown = [str(refused.value), str(failed.value), repr(limiter), caplog.text]

    assert ["WARNING"] == log.levels
    assert not any("hunter2" in text for text in shown)
