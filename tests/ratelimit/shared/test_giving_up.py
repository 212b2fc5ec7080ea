"""Many processes whose callers give up use the limit all the same, on a virtual clock: no machine's load matters."""

import asyncio
import contextlib

import pytest

from okx_sol_async import QueueTimeout, TokenBucket
from okx_sol_async.ratelimit.shared._store import window_of
from tests.support.buckets import SIX
from tests.support.model_server import ONE_WAY, ModelServer, call
from tests.support.virtual_time import now

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("virtual_outages")]

OFFERED = 12.0
PATIENCE = 2.0
SECONDS = 8.0
#: A burst leaves at once, and the queue is filled.
WARM_UP = 3.0
#: For how long a slot is in use: a window and the margin.
HOLD = window_of(SIX) + 0.05


async def warmed_up(server: ModelServer, number: int) -> list[TokenBucket]:
    """Return the buckets of processes that know how long calls take."""
    buckets = [server.process() for _ in range(number)]
    await asyncio.gather(*(call(bucket, lambda _: None) for bucket in buckets))
    await asyncio.sleep(3.0)
    server.commands = 0
    return buckets


async def impatient_call(bucket: TokenBucket, left: list[float], *, cancelled: bool) -> None:
    with contextlib.suppress(TimeoutError, QueueTimeout):
        if cancelled:
            await call(bucket, left.append, patience=PATIENCE)
        else:
            await call(bucket, left.append, max_wait=PATIENCE)


@pytest.mark.parametrize("number", [1, 4, 8, 16, 40, 100])
async def test_each_slot_is_used_within_50_ms_of_when_it_is_free(number: int) -> None:
    """Twelve calls a second are offered for six, and callers give up after 2 s, by cancellation and `max_wait` in turn."""
    server = ModelServer()
    buckets = await warmed_up(server, number)
    left: list[float] = []
    began = now()
    async with asyncio.TaskGroup() as group:
        for count in range(int(OFFERED * SECONDS)):
            # A process has each way in turn.
            cancelled = (count // number + count % number) % 2 == 0
            group.create_task(impatient_call(buckets[count % number], left, cancelled=cancelled))
            await asyncio.sleep(1 / OFFERED)
    counted = sorted(at for at in left if WARM_UP <= at - began < SECONDS)
    idle = [after - before - HOLD for before, after in zip(counted, counted[SIX.requests :], strict=False)]
    windows = len(idle) // SIX.requests
    used = windows * SIX.seconds / (counted[windows * SIX.requests] - counted[0])

    assert windows >= 3
    assert 0 <= max(idle) < 0.05
    assert used >= 0.93


async def test_the_last_of_sixty_leaves_when_the_others_are_cancelled() -> None:
    """The sixty are processes of their own; the last one leaves as soon as a slot is free."""
    server = ModelServer()
    buckets = await warmed_up(server, 60)
    left: list[float] = []
    tasks = []
    for bucket in buckets:
        tasks.append(asyncio.create_task(call(bucket, left.append)))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    cancelled_at, first = now(), left[0]
    for task in tasks[:-1]:
        task.cancel()
    await tasks[-1]

    assert SIX.requests + 1 == len(left)
    assert left[-1] - cancelled_at < 1.2
    assert left[-1] - (first + HOLD) < 4 * ONE_WAY


async def test_four_processes_take_equal_parts_with_one_command_a_call() -> None:
    """Each calls without pause with twenty tasks."""
    server = ModelServer()
    buckets = await warmed_up(server, 4)
    left: list[list[float]] = [[] for _ in buckets]

    async def go_on(number: int) -> None:
        while True:
            await call(buckets[number], left[number].append)

    tasks = [asyncio.create_task(go_on(number)) for number in range(4) for _ in range(20)]
    await asyncio.sleep(20)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    counts = [len(times) for times in left]

    assert min(counts) >= 0.8 * max(counts)
    assert server.commands <= 1.1 * sum(counts)
    assert sum(counts) >= 0.93 * 6 * 20
