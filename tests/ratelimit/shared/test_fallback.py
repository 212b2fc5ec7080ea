"""Sharing a limit while the server is unavailable."""

import asyncio

import pytest

from okx_sol_async.ratelimit.shared import _outage as outage
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from tests.ratelimit.shared.test_failures import SIX, bucket_of
from tests.support.shared_clock import on_a_shared_clock, this_loop
from tests.support.valkey import Valkey


async def _run_late() -> None:
    for _ in range(60):
        await asyncio.sleep(0.31)
        this_loop().hold_up(0.06)


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("number", [1, 6, 12, 40])
@on_a_shared_clock
async def test_processes_share_the_limit_while_the_server_is_unavailable(
    valkey_server: Valkey,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    frozen: bool,  # noqa: FBT001
    busy: bool,  # noqa: FBT001
) -> None:
    """From two seconds after the outage began no second has more calls than the limit, and each process makes some.

    If the server is frozen, processes go on with the slots that they have reserved until a command has taken too long.
    On a busy machine they run late, and give back slots that have come too late.
    """
    monkeypatch.setattr(outage, "TRY_EVERY", 5.0)
    limiters = [RedisLimiter.from_url(valkey_server.url, timeout=5.0) for _ in range(number)]
    buckets = [bucket_of(limiter, "user:a", SIX) for limiter in limiters]
    # Each knows of all others with its second reply.
    for bucket in buckets * 2:
        (await bucket.acquire()).answered()

    async def fail(bucket: str, *_: object) -> object:
        await asyncio.sleep(5.0 if frozen else 0.01)
        reason = "it is away"
        raise StoreUnavailable(reason)

    loop = asyncio.get_running_loop()
    left: list[tuple[float, int]] = []

    async def go_on(index: int) -> None:
        while True:
            lease = await buckets[index].acquire()
            left.append((loop.time(), index))
            await asyncio.sleep(0.02)
            lease.answered()

    tasks: list[asyncio.Task[None]] = []

    def start() -> None:
        tasks.extend(asyncio.create_task(go_on(index)) for index in range(number) for _ in range(7))

    if busy:
        # Each has a slot reserved when the server goes; some from when it was not known how long calls take.
        await asyncio.sleep(61)
        start()
        await asyncio.sleep(11)
    began = loop.time()
    for limiter in limiters:
        limiter.run = fail  # type: ignore[method-assign]
    if busy:
        tasks.append(asyncio.create_task(_run_late()))
    else:
        start()
    await asyncio.sleep(42)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    times = [at for at, _ in left if at > began + 2]

    assert max(sum(first <= at < first + 1.0 for at in times) for first in times) <= 6
    assert number == len({index for at, index in left if at > began + 2})
    # 40 seconds: more than six processes wait once until no slot is reserved any more, and then leave a bit apart.
    assert len(times) > 40 * 6 * 0.5
