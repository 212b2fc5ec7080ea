"""Calls in the background wait behind all others of the user, in whichever process these are."""

import asyncio

import pytest

from okx_sol_async import QueueTimeout, TokenBucket
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.buckets import SIX, key
from tests.support.shared_clock import on_a_shared_clock
from tests.support.valkey import Valkey
from tests.support.virtual_time import now


def bucket_of(limiter: RedisLimiter, owner: str) -> TokenBucket:
    return limiter.bucket(key(owner), SIX)


async def leave(bucket: TokenBucket, name: str, log: list[tuple[str, float]], *, background: bool = False) -> None:
    """Take a lease, note it, and end it after 20 ms."""
    lease = await bucket.acquire(background=background)
    log.append((name, now()))
    await asyncio.sleep(0.02)
    lease.answered()


async def machines(url: str, number: int, owner: str) -> list[TokenBucket]:
    """Return the buckets of a user in several processes that know how long calls take."""
    limiters = [RedisLimiter.from_url(url, timeout=5.0, on_failure="raise") for _ in range(number)]
    for limiter in limiters:
        await leave(bucket_of(limiter, f"not {owner}"), "", [])
        await asyncio.sleep(2.0)
    return [bucket_of(limiter, owner) for limiter in limiters]


@on_a_shared_clock
async def test_background_calls_wait_behind_the_foreground_of_every_process(valkey_server: Valkey) -> None:
    """Also behind calls that come later, and they delay none of them."""
    idle, *busy = await machines(valkey_server.url, 4, "behind")
    log: list[tuple[str, float]] = []
    began = now()
    # The first six leave at once, and then the background calls are the first to wait.
    calls = [asyncio.create_task(leave(busy[0], "first", log)) for _ in range(6)]
    await asyncio.sleep(0.1)
    calls += [asyncio.create_task(leave(idle, "background", log, background=True)) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0.2)
        calls += [asyncio.create_task(leave(bucket, "foreground", log)) for bucket in busy for _ in range(2)]
    await asyncio.gather(*calls)
    names = [name for name, _ in log]

    assert ["first"] * 6 + ["foreground"] * 18 + ["background"] * 3 == names
    # 24 calls are four windows, and the last three follow in the fifth.
    assert log[23][1] - began < 3 * 1.06 + 0.2
    assert log[26][1] - began < 4 * 1.06 + 0.2


@on_a_shared_clock
async def test_a_background_call_leaves_at_once_if_none_waits(valkey_server: Valkey) -> None:
    """What is free is there for it, and it takes its turn as soon as a slot is."""
    one, other = await machines(valkey_server.url, 2, "free")
    log: list[tuple[str, float]] = []
    began = now()
    await asyncio.gather(*(leave(one, "foreground", log) for _ in range(5)))
    await asyncio.gather(*(leave(other, "background", log, background=True) for _ in range(2)))

    assert 0.2 > log[5][1] - began
    assert 1.0 < log[6][1] - began < 1.2


@on_a_shared_clock
async def test_a_background_call_that_gives_up_leaves_no_reservation(valkey_server: Valkey) -> None:
    """The next foreground call of another process comes at the time that it had without it."""
    one, other = await machines(valkey_server.url, 2, "gone")
    log: list[tuple[str, float]] = []
    began = now()
    await asyncio.gather(*(leave(one, "foreground", log) for _ in range(6)))
    waiting = asyncio.create_task(leave(other, "background", log, background=True))
    with pytest.raises(QueueTimeout):
        await other.acquire(now() + 0.3, background=True)
    waiting.cancel()
    await leave(one, "last", log)

    assert ["last"] == [name for name, _ in log[6:]]
    assert log[6][1] - began < 1.2
