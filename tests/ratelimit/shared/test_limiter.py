"""The shared limiter: its names, its settings, and the client that it borrows or makes."""

import asyncio
import gc
import importlib
import sys
import warnings
from collections.abc import Callable

import pytest
import redis.asyncio

from okx_sol_async import (
    ConfigurationError,
    Credentials,
    RateLimit,
    Scope,
)
from okx_sol_async.ratelimit import shared
from okx_sol_async.ratelimit.shared import _limiter as limiter_module
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from tests.support.buckets import SIX, key
from tests.support.machines import (
    THREE,
    TICKS,
    timed_call,
)
from tests.support.serving import serving_raw
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


def test_without_redis_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module can be imported, and what needs the package names the extra."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, limiter_module.__name__)
    # The import changes this too.
    monkeypatch.setattr(shared, "_limiter", limiter_module)
    without = importlib.import_module(limiter_module.__name__).RedisLimiter

    for make in (lambda: without(None), lambda: without.from_url("redis://localhost")):
        with pytest.raises(ConfigurationError, match=r"pip install 'okx-sol-async\[redis\]'"):
            make()


LIMITERS: dict[str, Callable[..., RedisLimiter]] = {
    "of a client": lambda **settings: RedisLimiter(redis.asyncio.Redis(), **settings),
    "of a URL": lambda **settings: RedisLimiter.from_url("redis://localhost", **settings),
}


@pytest.mark.parametrize("make", LIMITERS.values(), ids=LIMITERS)
def test_what_holds_without_settings(make: Callable[..., RedisLimiter]) -> None:
    """A margin of 0.05 s, a sixth for a process by itself, and a timeout of half a second."""
    limiter = make()

    assert 1.051 == pytest.approx(limiter._store.hold(SIX))
    assert [1, 2] == [limiter._store.alone(RateLimit(requests, 1.0, Scope.USER), 0) for requests in (11, 12)]
    assert 0.5 == limiter._timeout


def test_a_margin_is_not_needed() -> None:
    """Where all processes are equally far from OKX."""
    assert 1.001 == pytest.approx(LIMITERS["of a URL"](margin=0)._store.hold(SIX))


def test_a_child_process_is_another_one() -> None:
    """It has its own tickets, and a lock that no thread of its parent holds."""
    limiter = LIMITERS["of a URL"]()
    process, lock = limiter._store.process, limiter._lock
    limiter.begin_in_child()

    assert process != limiter._store.process
    assert lock is not limiter._lock


def test_keys_of_any_kind_have_names() -> None:
    """Equal ones the same, whatever their type."""
    limiter = LIMITERS["of a URL"]()

    assert limiter._name(key("user:a")) == limiter._name(tuple(key("user:a")))
    assert 3 == len({limiter._name(5), limiter._name("5"), limiter._name((5,))})


async def test_a_connection_that_is_dead_is_made_anew_once() -> None:
    """Whatever takes longer is an outage."""
    connections: list[int] = []

    async def reply_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script for the first connection and once only; the client's own commands are refused."""
        connections.append(0)
        while data := await reader.read(65536):
            script = b"EVALSHA" in data
            if script and (len(connections) > 1 or connections[0]):
                return
            connections[0] += script
            writer.write(b"*0\r\n" if script else b"-ERR unknown\r\n" * data.count(b"CLIENT"))

    async with (
        serving_raw(reply_once) as url,
        RedisLimiter.from_url(f"redis{url.removeprefix('http')}?protocol=2", timeout=PATIENCE) as limiter,
    ):
        assert [] == await limiter.run("bucket", ("settle", 1, 0, 0))
        with pytest.raises(StoreUnavailable):
            await limiter.run("bucket", ("settle", 2, 0, 0))

    assert 2 == len(connections)
