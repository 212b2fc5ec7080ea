"""A cluster and a Sentinel."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio.sentinel import Sentinel

from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.buckets import key
from tests.support.machines import (
    THREE,
    LimiterLog,
    most_within,
    timed_call,
    until,
)
from tests.support.valkey import PATIENCE, Valkey, valkey

pytestmark = pytest.mark.usefixtures("impatient")


async def test_a_cluster_works_as_a_single_server(cluster: list[Valkey], caplog: pytest.LogCaptureFixture) -> None:
    """All of a bucket is on one node, so nothing differs and nothing is logged."""
    times: list[float] = []
    async with RedisLimiter.from_url(cluster[0].url, cluster=True, timeout=PATIENCE) as limiter:
        users = [limiter.bucket(key(f"user:{number}"), THREE) for number in range(20)]
        await asyncio.gather(*(timed_call(bucket, times) for bucket in users))
        times.clear()
        await asyncio.gather(*(timed_call(users[0], times) for _ in range(5)))

    assert most_within(times, THREE.seconds) <= 3
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_calls_go_on_after_a_failover(log: LimiterLog) -> None:
    """After a failover the calls are counted by the new master that the Sentinel names."""
    with (
        valkey("--repl-diskless-sync-delay", "0") as one,
        valkey("--replicaof", "127.0.0.1", str(one.port)) as two,
        sentinel(one) as watcher,
    ):
        with two.client as client:
            await until(lambda: client.info("replication")["master_link_status"] == "up")
        sentinels = Sentinel([("127.0.0.1", watcher)], socket_timeout=PATIENCE)
        limiter = RedisLimiter(sentinels.master_for("desk", socket_timeout=PATIENCE), timeout=PATIENCE)
        async with contextlib.aclosing(limiter):
            bucket = limiter.bucket(key("user:a"), THREE)
            await timed_call(bucket, [])
            one.kill()
            times: list[float] = []
            # On a machine that is busy, the Sentinel may have named the other one before.
            while log.levels[-1:] != ["INFO"]:
                await timed_call(bucket, times)
        with two.client as client:
            assert "master" == client.info("replication")["role"]
            assert client.exists(bucket.state.source.name)  # type: ignore[union-attr]
        await limiter._client.aclose()
        for known in sentinels.sentinels:
            await known.aclose()

    assert most_within(times, THREE.seconds) <= 3


@contextlib.contextmanager
def sentinel(master: Valkey) -> Iterator[int]:
    """Run a single Sentinel, so that it decides quickly, and yield its port."""
    watcher = Valkey()
    settings = Path(watcher._folder.name, "sentinel.conf")
    settings.write_text(
        f"port {watcher.port}\n"
        f"sentinel monitor desk 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds desk 300\n"
        "sentinel failover-timeout desk 2000\n"
    )
    watcher.start(str(settings), "--sentinel")
    try:
        yield watcher.port
    finally:
        watcher.close()
