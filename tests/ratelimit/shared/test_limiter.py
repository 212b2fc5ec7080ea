"""The shared limiter: its names, its settings, and the client that it borrows or makes."""

import asyncio
import gc
import subprocess
import sys
import warnings

import pytest
import redis.asyncio

from okx_sol_async import (
    ConfigurationError,
    Credentials,
    RateLimit,
    Scope,
)
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.buckets import key
from tests.support.machines import (
    THREE,
    TICKS,
    timed_call,
)
from tests.support.shared_clock import on_a_shared_clock
from tests.support.valkey import PATIENCE, Valkey
from tests.support.virtual_time import now

pytestmark = pytest.mark.usefixtures("impatient")


async def test_names_on_the_server_show_no_secret_and_expire(valkey_server: Valkey) -> None:
    """Neither a key nor a label is on the server, and nothing stays there."""
    credentials = Credentials("a-key-of-somebody", "s" * 16, "p", "a label")
    async with RedisLimiter.from_url(valkey_server.url, prefix="desk", timeout=PATIENCE) as limiter:
        # A minute, so that nothing has gone before it is looked at.
        slow = RateLimit(3, PATIENCE, Scope.USER)
        for owner in (credentials.owner, Credentials("a-key-of-somebody", "s", "p").owner, None):
            await timed_call(limiter.bucket(key(owner), slow), [])
    with valkey_server.client as client:
        names = client.keys()
        kept = [(name, client.get(name)) for name in names]

        assert 3 == len(kept)
        assert all(name.startswith(b"desk:{") and name.endswith(b"}") for name in names)
        assert not any(
            secret in bytes(part or b"") for pair in kept for part in pair for secret in (b"somebody", b"label")
        )
        assert all(0 < client.pttl(name) <= 1000 * (PATIENCE + 2) for name in names)


async def test_limits_by_ip_address_are_shared_within_an_egress(valkey_server: Valkey) -> None:
    """`egress` separates the addresses; a user is the same everywhere."""
    async with (
        RedisLimiter.from_url(valkey_server.url, egress="office") as one,
        RedisLimiter.from_url(valkey_server.url, egress="cloud") as two,
    ):
        assert one._name(key(None)) != two._name(key(None))
        assert one._name(key("user:a")) == two._name(key("user:a"))
        assert one._name(key("user:a")) != one._name(key("user:b"))


async def test_a_borrowed_client_is_not_closed(valkey_server: Valkey) -> None:
    """It belongs to the caller that made it."""
    async with redis.asyncio.Redis.from_url(valkey_server.url) as client:
        async with RedisLimiter(client) as limiter:
            await timed_call(limiter.bucket(key("user:a"), THREE), [])

        assert await client.ping()


@on_a_shared_clock
async def test_a_closed_limiter_raises(valkey_server: Valkey) -> None:
    """Calls that wait get the error at once, and so do later ones; closing again does nothing."""
    limiter = RedisLimiter.from_url(valkey_server.url)
    bucket = limiter.bucket(key("user:closing"), RateLimit(3, 60.0, Scope.USER))
    for _ in range(3):
        await timed_call(bucket, [])
    waiting = [asyncio.create_task(bucket.acquire(None)) for _ in range(4)]
    await asyncio.sleep(0.1)
    closed_at = now()
    await limiter.aclose()
    await limiter.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    # They would have waited for a minute.
    assert now() - closed_at < TICKS
    assert all(type(outcome) is ConfigurationError and "closed" in str(outcome) for outcome in outcomes)

    with pytest.raises(ConfigurationError, match="closed"):
        await bucket.acquire(None)


def test_an_event_loop_that_ends_closes_the_connections(valkey_server: Valkey) -> None:
    """They are closed also if the limiter was not, and without a warning."""
    limiter = RedisLimiter.from_url(valkey_server.url, timeout=PATIENCE)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):
            asyncio.run(timed_call(limiter.bucket(key("user:a"), THREE), []))
        gc.collect()

    assert not warned
    with valkey_server.client as client:
        # The server sees their end when it comes to it.
        while 1 != len(client.client_list()):
            pass


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"margin": -0.1}, "margin"),
        ({"margin": "0"}, "margin"),
        ({"local_share": 0}, "local_share"),
        ({"local_share": 1.1}, "local_share"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"on_failure": "wait"}, "on_failure"),
    ],
)
def test_the_settings_are_checked(arguments: dict[str, object], field: str) -> None:
    """A setting that makes no sense raises an error that names it."""
    with pytest.raises(ConfigurationError, match=f"{field} must") as refused:
        RedisLimiter.from_url("redis://localhost", **arguments)  # type: ignore[arg-type]
    assert field == refused.value.argument


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost"])
def test_a_url_is_checked(url: str) -> None:
    """A URL of another scheme is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="redis://"):
        RedisLimiter.from_url(url)


def test_a_client_is_checked() -> None:
    """A blocking client would block the event loop, so it is refused."""
    with redis.Redis() as client, pytest.raises(ConfigurationError, match="client must"):
        RedisLimiter(client)  # type: ignore[arg-type]


def test_without_redis_the_error_names_the_extra() -> None:
    """The module can be imported, and what needs the package names the extra."""
    script = """
import sys
sys.modules["redis"] = sys.modules["redis.asyncio"] = None
from okx_sol_async import ConfigurationError
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
try:
    RedisLimiter.from_url("redis://localhost")
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert "pip install 'okx-sol-async[redis]'" in done.stdout
