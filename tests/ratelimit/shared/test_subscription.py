"""Notifications of reservations that move arrive from a single server and from a cluster, with each redis-py."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from redis.asyncio.cluster import RedisCluster

from okx_sol_async import BucketKey, RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit.shared import _batching as batching
from okx_sol_async.ratelimit.shared import _subscription as subscription
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from okx_sol_async.ratelimit.shared._moves import Notifications, Waiting
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from okx_sol_async.ratelimit.shared._subscription import Subscription
from tests.support.valkey import PATIENCE, Valkey

#: One call in a time that no test waits for.
ONE = RateLimit(1, 600.0, Scope.USER)


def bucket_of(limiter: RedisLimiter, owner: str) -> TokenBucket:
    key = BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")
    return limiter.bucket(key, ONE)


def reserved_at(bucket: TokenBucket) -> float:
    """Return when the reservation of a bucket may be used, infinite without one."""
    source = bucket.state.source
    assert isinstance(source, SharedSlots)
    reservation = source.reserver.reservation
    return reservation.at if reservation is not None else float("inf")


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing sets an event
        await asyncio.sleep(0.005)


async def one_moves_up(limiters: list[RedisLimiter], owner: str) -> None:
    """Let the second of three give up, and wait until the third has its slot."""
    first, second, third = (bucket_of(limiter, owner) for limiter in limiters)
    (await first.acquire()).answered()
    gives_up = asyncio.create_task(second.acquire())
    await until(lambda: reserved_at(second) < float("inf"))
    stays = asyncio.create_task(third.acquire())
    # Until notifications arrive, a process asks again for its slot, and has none in between.
    await until(lambda: max(map(reserved_at, (second, third))) < float("inf") and limiters[2].listen())
    before, slot = reserved_at(third), reserved_at(second)
    assert before > slot + ONE.seconds
    gives_up.cancel()
    await until(lambda: abs(reserved_at(third) - slot) < ONE.seconds / 10)
    stays.cancel()
    await asyncio.gather(gives_up, stays, return_exceptions=True)


@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_a_reservation_moves_up_when_another_process_gives_up(
    valkey_server: Valkey, cluster: list[Valkey], kind: str
) -> None:
    """Its process is notified, whichever node of a cluster it listens to and whichever keeps the bucket."""
    url = valkey_server.url if kind == "single" else cluster[0].url
    async with contextlib.AsyncExitStack() as stack:
        limiters = [
            await stack.enter_async_context(
                RedisLimiter.from_url(url, cluster=kind == "cluster", timeout=30, prefix=kind, on_failure="raise")
            )
            for _ in range(3)
        ]
        for user in range(5):
            await one_moves_up(limiters, f"user:{user}")


async def test_a_process_whose_node_is_frozen_listens_to_another(
    cluster: list[Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reservations on the other nodes still move up."""
    monkeypatch.setattr(subscription, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(subscription, "SUBSCRIBE_EVERY", 0.01)
    # Commands have time on a busy machine; a subscription that is dropped without need is made anew.
    monkeypatch.setattr(batching, "Subscription", lambda client, _: Subscription(client, 0.5))
    pick = RedisCluster.get_random_node
    #: Which node each client listens to: that which is going to be frozen, and once it is, any other.
    picked: dict[RedisCluster, int] = {}
    is_frozen = False

    def frozen_first(client: RedisCluster) -> object:
        chosen = pick(client)
        while (chosen.port == cluster[2].port) is is_frozen:
            chosen = pick(client)
        picked[client] = chosen.port
        return chosen

    async with contextlib.AsyncExitStack() as stack:
        limiters = [
            await stack.enter_async_context(
                RedisLimiter.from_url(cluster[0].url, cluster=True, timeout=30, on_failure="raise")
            )
            for _ in range(3)
        ]
        for index, limiter in enumerate(limiters):
            (await bucket_of(limiter, f"connects:{index}").acquire()).answered()
        names = (f"elsewhere:{number}" for number in itertools.count())
        frozen = f"127.0.0.1:{cluster[2].port}"
        # No command goes to the node that is frozen, only subscriptions.
        owner, *busy = itertools.islice((name for name in names if node_of(limiters[0], name) != frozen), 4)
        for index, name in enumerate(busy):
            (await bucket_of(limiters[index - 1], name).acquire()).answered()
        monkeypatch.setattr(RedisCluster, "get_random_node", frozen_first)
        waiting = [
            asyncio.create_task(bucket_of(limiter, name).acquire())
            for limiter, name in zip(limiters, busy, strict=True)
        ]
        await until(lambda: 3 == sum(limiter.listen() for limiter in limiters))
        assert [cluster[2].port] * 3 == list(picked.values())
        cluster[2].freeze()
        is_frozen = True
        try:
            # Each is asked each time: a subscription ends if nothing waits at the moment, and begins when asked.
            await until(
                lambda: 3 == sum(limiter.listen() for limiter in limiters) and cluster[2].port not in picked.values()
            )
            await one_moves_up(limiters, owner)
        finally:
            cluster[2].thaw()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def node_of(limiter: RedisLimiter, owner: str) -> str:
    source = bucket_of(limiter, owner).state.source
    assert isinstance(source, SharedSlots)
    return limiter.node_of(source.name)


async def test_a_subscription_may_be_the_first_that_is_asked_of_a_cluster(cluster: list[Valkey]) -> None:
    """The client learns then which nodes there are."""
    notifications = Notifications()
    notifications.begin(7, cast("Waiting", SimpleNamespace(look_again=lambda: None)))
    client = RedisCluster.from_url(cluster[0].url)
    listening = Subscription(client, PATIENCE)
    try:
        async with asyncio.timeout(PATIENCE):
            listening.begin("channel", notifications)
            await until(lambda: listening.is_active)
    finally:
        await listening.aclose()
        await client.aclose()

    assert not listening.is_active
