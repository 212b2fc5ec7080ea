"""Several machines that share a limit through a server, and how that server fails."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from okx_sol_async import (
    Bucket,
    RateLimit,
    Scope,
)
from tests.support.shared_clock import this_loop
from tests.support.valkey import Valkey, free_port
from tests.support.virtual_time import now

THREE = RateLimit(3, 0.2, Scope.USER)


FAST = RateLimit(3, 0.1, Scope.USER)


#: What the virtual clock adds by itself.
TICKS = 0.01


async def timed_call(bucket: Bucket, times: list[float]) -> None:
    lease = await bucket.acquire(None)
    times.append(now())
    lease.answered()


def most_within(times: Sequence[float], seconds: float) -> int:
    times = sorted(times)
    return max(sum(first <= at < first + seconds for at in times) for first in times)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; pytest ends a test that waits for ever."""
    while not condition():  # noqa: ASYNC110 - there is no notification
        await asyncio.sleep(0.02)


class LimiterLog:
    """The log levels of what was logged about the shared limit."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="okx_sol_async")
        self._caplog = caplog

    @property
    def levels(self) -> list[str]:
        return [record.levelname for record in self._caplog.records if "Shared rate limiter" in record.getMessage()]


def fail_by_kill(server: Valkey) -> Callable[[], object]:
    server.kill()
    return server.start


def fail_by_freezing(server: Valkey) -> Callable[[], object]:
    server.freeze()
    this_loop().is_answered(answers=False)

    def repair() -> None:
        server.thaw()
        this_loop().is_answered(answers=True)

    return repair


def fail_by_being_full(server: Valkey) -> Callable[[], object]:
    client = server.client
    client.config_set("maxmemory", 1)

    def repair() -> None:
        client.config_set("maxmemory", 0)
        client.close()

    return repair


def fail_by_being_a_replica(server: Valkey) -> Callable[[], object]:
    client = server.client
    client.replicaof("127.0.0.1", free_port())

    def repair() -> None:
        client.replicaof("NO", "ONE")
        client.close()

    return repair


def fail_by_password(server: Valkey) -> Callable[[], object]:
    client = server.client
    client.config_set("requirepass", "secret")
    with server.client as other:
        # It takes effect for new connections only.
        client.client_kill_filter(_type="normal", skipme=True)
        del other

    def repair() -> None:
        client.config_set("requirepass", "")
        client.close()

    return repair


FAILURES = [fail_by_kill, fail_by_freezing, fail_by_being_full, fail_by_being_a_replica, fail_by_password]
