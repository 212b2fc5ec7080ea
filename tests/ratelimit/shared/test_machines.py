"""Several processes and machines that share a limit through a server."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing.process import BaseProcess

import pytest

from okx_sol_async.emulator import Emulator
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.buckets import key
from tests.support.caller import USED, call_without_pause
from tests.support.machines import (
    FAST,
    THREE,
    TICKS,
    most_within,
    timed_call,
    until,
)
from tests.support.shared_clock import on_a_shared_clock, this_loop
from tests.support.valkey import Valkey
from tests.support.virtual_time import now

pytestmark = pytest.mark.usefixtures("impatient")

# Each begins with what it needs in memory, so that it begins soon.
_PROCESSES = multiprocessing.get_context("forkserver")


_PROCESSES.set_forkserver_preload(["tests.support.caller"])


@contextlib.contextmanager
def processes(exchange: Emulator, server: Valkey, skews: list[float]) -> Iterator[list[BaseProcess]]:
    key = exchange.credentials
    where = [exchange.url, server.url, key.api_key, key.secret_key, key.passphrase]
    running = [_PROCESSES.Process(target=call_without_pause, args=(skew, *where)) for skew in skews]
    for process in running:
        process.start()
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.join()


async def calls(exchange: Emulator, more: int) -> None:
    """Wait for a number of calls."""
    there = exchange.tally().received
    await until(lambda: exchange.tally().received >= there + more)


async def test_four_processes_keep_one_limit(valkey_server: Valkey) -> None:
    """Four processes keep one limit whatever their clocks say, if one is killed, begins anew or the script is flushed.

    They use real clocks, and a busy machine may delay a call after its slot. So the slots are checked: no window holds
    too many, each call has one, and none leaves before it.
    """
    async with Emulator(latency=0.01, jitter=0.02, seed=1) as exchange:
        with processes(exchange, valkey_server, [0.0, 0.3, -0.3, 3600.0]) as running:
            await calls(exchange, 7)
            running[0].kill()
            await calls(exchange, 3)
            with valkey_server.client as client:
                client.script_flush()
            await calls(exchange, 3)
            with processes(exchange, valkey_server, [0.0]):
                await calls(exchange, 6)
        received = exchange.tally().received
        assert 0 == exchange.tally().rejected
    with valkey_server.client as client:
        used = [[int(part) for part in bytes(entry).split()] for entry in client.lrange(USED, 0, -1)]  # type: ignore[union-attr]
    slots = sorted(slot for _, slot, _ in used)

    assert len(used) >= received >= 19
    assert len({ticket for ticket, _, _ in used}) == len(used)
    assert most_within(slots, 1_000_000) <= 6
    # The server's own clock, when the call left: not before its slot, however wrong the clock of its process is.
    assert all(left_at >= slot for _, slot, left_at in used)


@on_a_shared_clock
async def test_two_machines_share_a_limit_and_take_turns(machines: list[RedisLimiter]) -> None:
    """Neither reserves ahead of the other, however many calls wait in it and however much closer to the server it is."""
    ask = machines[1].run

    async def ask_from_far_away(bucket: str, command: tuple[float | str, ...]) -> object:
        await asyncio.sleep(0.001)
        answer = await ask(bucket, command)
        await asyncio.sleep(0.001)
        return answer

    machines[1].run = ask_from_far_away  # type: ignore[method-assign]
    times: list[list[float]] = [[], []]
    tasks = [
        asyncio.create_task(timed_call(machine.bucket(key("user:a"), THREE), mine))
        for machine, mine, count in zip(machines, times, (40, 4), strict=True)
        for _ in range(count)
    ]
    await until(lambda: len(times[1]) == 4)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert most_within(times[0] + times[1], THREE.seconds) <= 3
    # After the first burst, no more than the other.
    assert len(times[0]) - THREE.requests <= len(times[1])


@on_a_shared_clock
async def test_a_refusal_slows_all_machines_down(machines: list[RedisLimiter]) -> None:
    """No call leaves any machine for a period, and then they leave one by one."""
    one, two = (machine.bucket(key("user:a"), THREE) for machine in machines)
    await timed_call(two, [])
    lease = await one.acquire(None)
    lease.refused()
    refused_at = now()
    # It reports it to the server at once, though none of its own calls waits.
    await asyncio.sleep(TICKS)
    times: list[float] = []
    await asyncio.gather(*(timed_call(two, times) for _ in range(3)))

    assert THREE.seconds <= times[0] - refused_at < THREE.seconds + TICKS
    assert all(later - earlier > THREE.seconds / 2 - TICKS for earlier, later in pairwise(times))


@on_a_shared_clock
async def test_a_slot_that_came_too_late_is_given_back(
    machines: list[RedisLimiter], caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was blocked does not send into the window of others."""
    late_one, other = (machine.bucket(key("user:a"), THREE) for machine in machines)
    # Both know how long answers take, so that a slot is not taken for longer for that reason.
    for bucket in (late_one, other):
        await timed_call(bucket, [])
    await asyncio.sleep(2 * THREE.seconds)
    await asyncio.gather(*(timed_call(other, []) for _ in range(3)))
    times: list[float] = []
    late = asyncio.create_task(timed_call(late_one, times))
    await asyncio.sleep(0.05)
    # Nothing runs in this process for longer than its slot takes to come.
    this_loop().hold_up(0.4 - 0.05)
    held_up_until = now()
    await asyncio.gather(*(timed_call(other, times) for _ in range(4)), late)

    assert most_within(times, THREE.seconds) <= 3
    assert min(times) > held_up_until


@on_a_shared_clock
async def test_lost_history_is_waited_for(server: Valkey, machines: list[RedisLimiter]) -> None:
    """After `FLUSHALL` no window holds more calls than the limit, because each process that sent in it knows."""
    times: list[float] = []
    buckets = [machine.bucket(key("user:a"), FAST) for machine in machines]
    tasks = [asyncio.create_task(timed_call(bucket, times)) for bucket in buckets for _ in range(12)]
    with server.client as client:
        for count in (5, 8, 14):
            await until(lambda count=count: len(times) >= count)
            client.flushall()
    await asyncio.gather(*tasks)

    assert most_within(times, FAST.seconds) <= 3
