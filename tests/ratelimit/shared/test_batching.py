"""Commands that are sent to the server together."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
import redis.asyncio

from okx_sol_async.ratelimit.shared._batching import BatchingClient
from okx_sol_async.ratelimit.shared._moves import Notifications, Waiting
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from tests.support.serving import serving_raw
from tests.support.valkey import PATIENCE, Valkey


def settle(number: int) -> tuple[float | str, ...]:
    """Return a command that asks for nothing."""
    return "settle", number, 0, 0


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read, and never reply."""
    while await reader.read(1000):
        pass


async def test_a_cancelled_command_costs_the_others_of_its_batch_nothing(valkey_server: Valkey) -> None:
    """They have their replies, and the next batch is sent too."""
    async with redis.asyncio.Redis.from_url(valkey_server.url) as client, asyncio.timeout(5):
        batches = BatchingClient(client, None, 5)
        cancelled, *others = [
            asyncio.create_task(batches.run(f"{{{number}}}", ("settle", number + 1, 0, 0))) for number in range(3)
        ]
        await asyncio.sleep(0)
        cancelled.cancel()

        assert [[], []] == await asyncio.gather(*others)
        assert cancelled.cancelled()
        assert [] == await batches.run("{3}", ("settle", 4, 0, 0))


async def test_commands_of_a_moment_are_sent_together(valkey_server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pipeline, and a single one without."""
    pipelines: list[object] = []
    pipeline = redis.asyncio.Redis.pipeline
    monkeypatch.setattr(
        redis.asyncio.Redis, "pipeline", lambda *args, **options: pipelines.append(args) or pipeline(*args, **options)
    )
    async with redis.asyncio.Redis.from_url(valkey_server.url) as client:
        batches = BatchingClient(client, None, PATIENCE)
        await batches.run("{0}", settle(1))
        assert not pipelines
        await asyncio.gather(*(batches.run(f"{{{number}}}", settle(number + 1)) for number in range(5)))

    assert 1 == len(pipelines)


async def test_each_server_of_a_cluster_has_its_own_batches(cluster: list[Valkey]) -> None:
    """A single server has no name."""
    buckets = [f"{{{number}}}" for number in range(50)]
    async with redis.asyncio.RedisCluster.from_url(cluster[0].url) as client:
        assert 3 == len({BatchingClient(client, None, PATIENCE).node_of(bucket) for bucket in buckets})
    async with redis.asyncio.Redis.from_url(cluster[0].url) as single:
        assert {""} == {BatchingClient(single, None, PATIENCE).node_of(bucket) for bucket in buckets}


async def test_closing_ends_all_that_goes_on() -> None:
    """What waits for a reply fails with the reason, and nothing listens any more."""
    reason = StoreUnavailable("closed", "")
    notifications = Notifications()
    notifications.begin(1, cast("Waiting", SimpleNamespace(look_again=lambda: None)))
    async with serving_raw(hang) as url, redis.asyncio.Redis.from_url(f"redis{url.removeprefix('http')}") as client:
        batches = BatchingClient(client, None, PATIENCE)
        batches.subscription.begin("channel", notifications)
        waiting = asyncio.create_task(batches.run("{1}", settle(1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await batches.aclose(reason)
        with pytest.raises(StoreUnavailable) as caught:
            await asyncio.wait_for(waiting, PATIENCE)

        assert caught.value is reason
        assert batches.subscription._task is None


@pytest.mark.parametrize("is_own", [True, False])
async def test_a_client_that_was_lent_keeps_its_connections(*, is_own: bool) -> None:
    """Another server may have the name of this one after a failure, so those of an own one that nobody uses are closed."""
    closed: list[dict[str, bool]] = []

    async def disconnect(**options: bool) -> None:
        closed.append(options)

    client = redis.asyncio.Redis()
    client.connection_pool.disconnect = disconnect  # type: ignore[method-assign]
    await BatchingClient(client, (lambda: client) if is_own else None, PATIENCE).reconnect()

    assert ([{"inuse_connections": False}] if is_own else []) == closed
