"""Other ways to reach the server that keeps a shared limit: over TLS, in a cluster, through a client of the caller's."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
import trustme

from okx_sol_async import BucketKey, ConfigurationError, RateLimit, Scope, TokenBucket, TransportError
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.valkey import Valkey

#: None of these tests waits for a turn.
MANY = RateLimit(100, 0.1, Scope.USER)


def bucket_of(limiter: RedisLimiter, number: int) -> TokenBucket:
    key = BucketKey("https://openapi.okx.com", demo=False, owner=f"user:{number}", method="GET", path="/api/v5/x")
    return limiter.bucket(key, MANY)


async def take(limiter: RedisLimiter, number: int = 0) -> None:
    lease = await bucket_of(limiter, number).acquire()
    lease.answered()


# TLS.


@contextlib.asynccontextmanager
async def behind_tls(server: Valkey, certificate: trustme.LeafCert) -> AsyncIterator[int]:
    """Stand before a server and speak TLS to its clients, and yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as front:
        yield front.sockets[0].getsockname()[1]


async def test_a_server_behind_tls(valkey_server: Valkey, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server with a certificate of the caller's own authority can be used."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with behind_tls(valkey_server, authority.issue_cert("localhost")) as port:
        url = f"rediss://localhost:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}"
        async with RedisLimiter.from_url(url, timeout=30, on_failure="raise") as limiter:
            await asyncio.gather(*(take(limiter, number) for number in range(20)))

    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_certificate_of_another_server_is_refused(valkey_server: Valkey, tmp_path: Path, wrong: str) -> None:
    """Nothing is sent to a server whose certificate is another one's."""
    authority, another = trustme.CA(), trustme.CA()
    (another if wrong == "authority" else authority).cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost" if wrong == "authority" else "another.example")
    async with behind_tls(valkey_server, certificate) as port:
        url = f"rediss://localhost:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}"
        async with RedisLimiter.from_url(url, timeout=30, on_failure="raise") as limiter:
            with pytest.raises(TransportError, match="cannot be reached"):
                await take(limiter)


# A cluster.


async def test_a_cluster_of_three(cluster: list[Valkey], caplog: pytest.LogCaptureFixture) -> None:
    """Users are spread over the nodes, and each is on one, to which all its calls go at once."""
    async with RedisLimiter.from_url(cluster[0].url, cluster=True, timeout=30, on_failure="raise") as limiter:
        await asyncio.gather(*(take(limiter, number) for number in range(60)))
    seen, errors = [], set()
    for node in cluster:
        with node.client as client:
            seen.append(client.info("commandstats")["cmdstat_eval"]["calls"])
            errors |= set(client.info("errorstats"))

    assert all(seen)
    assert "errorstat_MOVED" not in errors
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


# A client of the caller's.


def test_a_borrowed_client_is_refused_on_a_second_loop(valkey_server: Valkey) -> None:
    """It belongs to the first loop, and the error on another one says what to do."""
    client = redis.asyncio.Redis.from_url(valkey_server.url)
    limiter = RedisLimiter(client, timeout=60)

    async def first() -> None:
        await take(limiter)
        # What is reported after the response is still in flight.
        await asyncio.gather(*limiter._store.commands._tasks)
        await client.aclose()

    asyncio.run(first())
    with pytest.raises(ConfigurationError, match="another event loop") as caught:
        asyncio.run(take(limiter))

    assert caught.value.hint is not None
    assert "from_url" in caught.value.hint
    assert not limiter._store.outages


# Several event loops.


async def test_a_loop_of_another_thread_connects_at_the_same_time(valkey_server: Valkey) -> None:
    """Neither loses its connections while those of closed loops are dropped."""
    here, there = asyncio.get_running_loop(), asyncio.new_event_loop()
    async with RedisLimiter.from_url(valkey_server.url, timeout=60) as limiter:

        class Gone(asyncio.AbstractEventLoop):
            def is_closed(self) -> bool:
                limiter._clients[there] = link
                return True

        settle = ("settle", 1, 1, 0)
        await limiter.run("bucket", settle)
        link = limiter._clients.pop(here)
        limiter._clients[Gone()] = link
        await limiter.run("bucket", settle)

        assert {here, there} == set(limiter._clients)
        await link.aclose(RuntimeError())
    there.close()
