"""A failure is as large as what failed, and whatever a server replies, nothing waits for ever."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import pytest

from okx_sol_async import BucketKey, QueueTimeout, RateLimit, Scope, TokenBucket, TransportError
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from tests.support.shared_clock import on_a_shared_clock
from tests.support.valkey import Valkey
from tests.support.virtual_time import now

MANY = RateLimit(100, 0.1, Scope.USER)
SIX = RateLimit(6, 1.0, Scope.USER)


def bucket_of(limiter: RedisLimiter, owner: str, limit: RateLimit = MANY) -> TokenBucket:
    key = BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")
    return limiter.bucket(key, limit)


def name_of(bucket: TokenBucket) -> str:
    """Return the key of a bucket on the server."""
    source = bucket.state.source
    assert isinstance(source, SharedSlots)
    return source.name


async def test_a_frozen_node_is_an_outage_for_its_own_users_only(
    cluster: list[Valkey], caplog: pytest.LogCaptureFixture
) -> None:
    """The users of the two other nodes go on without an error and without waiting for its timeouts."""
    async with contextlib.AsyncExitStack() as stack:
        falls_back, raises = [
            await stack.enter_async_context(
                RedisLimiter.from_url(cluster[0].url, cluster=True, timeout=2.0, on_failure=on_failure)
            )
            for on_failure in ("local", "raise")
        ]
        frozen = f"127.0.0.1:{cluster[2].port}"
        theirs: dict[RedisLimiter, list[TokenBucket]] = {falls_back: [], raises: []}
        others: list[TokenBucket] = []
        for limiter, mine in theirs.items():
            for number in range(12):
                bucket = bucket_of(limiter, f"user:{number}")
                (await bucket.acquire()).answered()
                (mine if limiter.node_of(name_of(bucket)) == frozen else others).append(bucket)
        assert others
        assert all(theirs.values())
        cluster[2].freeze()
        try:
            outcomes = {
                limiter: asyncio.gather(*(bucket.acquire() for bucket in buckets), return_exceptions=True)
                for limiter, buckets in theirs.items()
            }
            for _ in range(3):
                for lease in await asyncio.gather(*(bucket.acquire() for bucket in others)):
                    lease.answered()
            # Not one command to the frozen node has run into its timeout yet.
            assert falls_back.is_up
            assert raises.is_up
            assert not any(outcome.done() for outcome in outcomes.values())
            for outcome in await outcomes[falls_back]:
                assert not isinstance(outcome, BaseException)
                outcome.answered()
            assert {TransportError} == {type(outcome) for outcome in await outcomes[raises]}
        finally:
            cluster[2].thaw()
        assert [{frozen}] * 2 == [set(limiter._store.outages._since) for limiter in theirs]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    assert 2 == len(warnings)
    assert all(frozen in warning for warning in warnings)


REPLIES: dict[str, Callable[[object], object]] = {
    "nil": lambda _: None,
    "text": lambda _: b"OK",
    "a number": lambda _: 1,
    "too short": lambda reply: reply[:3],  # type: ignore[index]
    "too long": lambda reply: [*reply, 0],  # type: ignore[misc]
    "text in it": lambda reply: [*reply[:5], b"0"],  # type: ignore[index]
    "an absurd wait": lambda reply: [reply[0], 10**15, *reply[2:]],  # type: ignore[index]
    "a wait below 0": lambda reply: [reply[0], -1, *reply[2:]],  # type: ignore[index]
    "that of another command": lambda reply: [reply[0] + 1, *reply[1:]],  # type: ignore[index]
    "no process": lambda reply: [*reply[:3], 0, 0, reply[5]],  # type: ignore[index]
}


@pytest.mark.parametrize("on_failure", ["local", "raise"])
@pytest.mark.parametrize("reply", REPLIES)
@on_a_shared_clock
async def test_a_malformed_reply_is_a_failure_of_its_key(
    valkey_server: Valkey, caplog: pytest.LogCaptureFixture, on_failure: str, reply: str
) -> None:
    """It is logged once, other keys are not affected, and the fallback or the error follows."""
    limiter = RedisLimiter.from_url(valkey_server.url, timeout=5.0, on_failure=on_failure)  # type: ignore[arg-type]
    bucket, other = bucket_of(limiter, "user:a", SIX), bucket_of(limiter, "user:b", SIX)
    run = limiter.run

    async def distort(name: str, command: tuple[float | str, ...]) -> object:
        answer = await run(name, command)
        if name == name_of(bucket) and command[0] == "reserve":
            return REPLIES[reply](answer)
        return answer

    limiter.run = distort  # type: ignore[method-assign]
    if on_failure == "raise":
        for _ in range(2):
            with pytest.raises(TransportError):
                await bucket.acquire()
    else:
        for _ in range(2):
            (await bucket.acquire()).answered()
        soon = asyncio.get_running_loop().time() + 0.2
        with pytest.raises(QueueTimeout) as caught:
            await asyncio.gather(*(bucket.acquire(soon) for _ in range(6)))
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after < 3
    for _ in range(3):
        (await other.acquire()).answered()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]

    assert 1 == len(warnings)


@on_a_shared_clock
async def test_an_unexpected_exception_of_the_client_is_a_failure(valkey_server: Valkey) -> None:
    """No call waits for a reply that does not come."""
    limiter = RedisLimiter.from_url(valkey_server.url, timeout=5.0, on_failure="raise")
    bucket = bucket_of(limiter, "user:a", SIX)

    async def fail(*_: object) -> object:
        raise KeyError

    limiter.run = fail  # type: ignore[method-assign]
    with pytest.raises(TransportError):
        await bucket.acquire()


@pytest.mark.parametrize("on_failure", ["local", "raise"])
@on_a_shared_clock
async def test_garbage_in_one_key_is_replaced_and_no_failure(
    valkey_server: Valkey, caplog: pytest.LogCaptureFixture, on_failure: str
) -> None:
    """Its user waits for one window, because the history that it replaced is lost; the others' calls go on at once."""
    limiter = RedisLimiter.from_url(valkey_server.url, timeout=5.0, on_failure=on_failure)  # type: ignore[arg-type]
    bucket, other = bucket_of(limiter, "user:a", SIX), bucket_of(limiter, "user:b", SIX)
    for used in (bucket, other):
        (await used.acquire()).answered()
    with valkey_server.client as client:
        client.set(name_of(bucket), b"rubbish")
    began = now()
    theirs = asyncio.create_task(bucket.acquire())
    for _ in range(5):
        (await other.acquire()).answered()
    assert now() - began < 0.1
    (await theirs).answered()
    waited = now() - began
    with valkey_server.client as client:
        value = client.get(name_of(bucket))

    assert 1.0 < waited < 1.7
    assert isinstance(value, bytes)
    assert value != b"rubbish"
    assert limiter.is_up
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
