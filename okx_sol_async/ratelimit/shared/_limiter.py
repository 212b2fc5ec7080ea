"""One limit over many processes and machines, through Redis or Valkey.

It needs the extra ``redis``: ``pip install 'okx-sol-async[redis]'``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Literal, Self
from weakref import WeakSet

from okx_sol_async._checks import part, seconds, wrong, wrong_type
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit._bucket import TokenBucket, make_bucket
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._limit import is_bucket_key
from okx_sol_async.ratelimit._pacing import DEFAULT, PushBack
from okx_sol_async.ratelimit._registry import BucketRegistry
from okx_sol_async.ratelimit._state import Rules, make_rules
from okx_sol_async.ratelimit.shared._slots import SharedSlots, is_closed
from okx_sol_async.ratelimit.shared._store import SlotStore

try:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    from okx_sol_async.ratelimit.shared._batching import BatchingClient
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import redis.asyncio

    from okx_sol_async.ratelimit._limit import RateLimit

    Client = redis.asyncio.Redis | redis.asyncio.RedisCluster


class RedisLimiter(BucketRegistry):
    """One limit for each user over all processes and machines that use the same Redis or Valkey.

    Give each process one of these, and it to its sessions::

        async with (
            RedisLimiter.from_url("redis://localhost") as limiter,
            Session(limiter=limiter) as session,
        ):
            ...

    Use it as an async context manager, or call `aclose`. See `docs/machines.md` for what is promised.

    Args:
        client: a `redis.asyncio.Redis`, also one of a Sentinel, or a `redis.asyncio.RedisCluster`. It is never closed,
            and belongs to one event loop.
        prefix: what the names of all keys on the server begin with. Processes with the same prefix share their limits.
        margin: seconds by which a slot is in use for longer than the period, from the time for which it was reserved.
            It covers what the times of two calls on their way differ by, and how late a process is. From 0 on.
        push_back: what a refusal (50011) does, in all processes.
        on_failure: what happens to calls while the server does not reply. ``"local"``: each process goes on by
            itself with a part of the limit. ``"raise"``: they fail with `TransportError`.
        local_share: that part of each limit for a process that the server has not yet said how many share it, above 0
            and up to 1. Otherwise each spends an equal part.
        timeout: seconds after which the server is taken to be away. Above 0.
        egress: a name for the IP address from which this process calls OKX. Limits that OKX counts by IP address are
            shared by the processes with the same name.

    Raises:
        ConfigurationError: an argument is not of the kind above, or redis-py is not installed.

    """

    def __init__(
        self,
        client: Client,
        *,
        prefix: str = "okx-sol-async",
        margin: float = 0.05,
        push_back: PushBack = DEFAULT,
        on_failure: Literal["local", "raise"] = "local",
        local_share: float = 1 / 6,
        timeout: float = 0.5,
        egress: str = "",
    ) -> None:
        _check_installed()
        if not isinstance(client, Redis | RedisCluster):
            raise wrong_type(client, "client", "a redis.asyncio.Redis or RedisCluster", "Or use RedisLimiter.from_url.")
        if on_failure not in {"local", "raise"}:
            raise wrong(on_failure, "on_failure", "'local' or 'raise'")
        super().__init__(self._new_bucket)
        self._prefix = str(prefix)
        self._egress = str(egress)
        self._timeout = seconds("timeout", timeout, positive=True)
        self._push_back = push_back
        # Makes a client for an event loop; None if the client is the caller's.
        self._make_client: Callable[[], Client] | None = None
        self._client = client
        self._clients: dict[asyncio.AbstractEventLoop, BatchingClient] = {}
        self._closed = False
        self._rules: dict[RateLimit, Rules] = {}
        self._max_latency = MaxLatency()
        self._sources: WeakSet[SharedSlots] = WeakSet()
        self._store = SlotStore(
            self,
            margin=seconds("margin", margin, positive=False),
            push_back=push_back,
            on_failure=on_failure,
            local_share=part("local_share", local_share),
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        cluster: bool = False,
        prefix: str = "okx-sol-async",
        margin: float = 0.05,
        push_back: PushBack = DEFAULT,
        on_failure: Literal["local", "raise"] = "local",
        local_share: float = 1 / 6,
        timeout: float = 0.5,
        egress: str = "",
    ) -> Self:
        """Make a limiter with connections of its own, which `aclose` closes.

        Args:
            url: ``redis://[user:password@]host[:port][/database]``, ``rediss://`` for TLS, or ``unix://path``. What
                redis-py takes besides may follow as a query, such as ``?ssl_ca_certs=ca.pem``.
            cluster: whether it is one node of a cluster, which knows the others.
            prefix: as for the class, and so are the others.
            margin: as for the class.
            push_back: as for the class.
            on_failure: as for the class.
            local_share: as for the class.
            timeout: as for the class.
            egress: as for the class.

        Raises:
            ConfigurationError: an argument is not of the kind above, or redis-py is not installed.

        """
        _check_installed()

        def make_client() -> Client:
            kind = RedisCluster if cluster else Redis
            # A connection that turns out to be dead is made anew once; whatever takes longer is an outage.
            client: Client = kind.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1)
            )
            return client

        try:
            client = make_client()
        except (ValueError, TypeError, RedisError):
            # What is wrong may be in the password, so it is not quoted.
            message = "url must be one that redis-py takes: redis://host:6379/0, rediss://… or unix://…"
            raise ConfigurationError(message, argument="url") from None
        limiter = cls(
            client,
            prefix=prefix,
            margin=margin,
            push_back=push_back,
            on_failure=on_failure,
            local_share=local_share,
            timeout=timeout,
            egress=egress,
        )
        limiter._make_client = make_client
        return limiter

    def __repr__(self) -> str:
        away = ", the server is away" if self._store.outages else ""
        return f"<RedisLimiter of {len(self)} buckets{away}>"

    async def __aenter__(self) -> Self:
        """Return the limiter itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.aclose()

    @property
    def is_up(self) -> bool:
        """Whether the server responded when it was last asked; of a cluster, all its nodes."""
        return not self._store.outages

    async def aclose(self) -> None:
        """Close the connections of this event loop that the limiter has opened. Closing again does nothing.

        Calls that wait for their turn fail with `ConfigurationError`, and so do later ones.
        """
        self._closed = True
        loop = asyncio.get_running_loop()
        for source in tuple(self._sources):
            source.close(loop)
        client = self._clients.pop(loop, None)
        if client is not None:
            await client.aclose(is_closed())

    # Internal: the `Commands` of its store.

    async def run(self, bucket: str, command: tuple[float | str, ...]) -> object:
        """Run one command of the script on a bucket. Internal."""
        return await self._client_here().run(bucket, command)

    def node_of(self, bucket: str) -> str:
        """Return the name of the server that keeps a bucket, empty if there is only one. Internal."""
        client = next(iter(self._clients.values()), None)
        return "" if client is None else client.node_of(bucket)

    def listen(self) -> bool:
        """Receive notifications in this event loop; return whether they arrive already. Internal."""
        subscription = self._client_here().subscription
        subscription.begin(f"{self._prefix}:{self._store.process}", self._store.notifications)
        return subscription.is_active

    def begin_in_child(self) -> None:
        """Begin anew in a child process. Internal."""
        super().begin_in_child()
        self._store.begin_in_child()

    def _client_here(self) -> BatchingClient:
        if self._closed:
            raise is_closed()
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            if self._clients and self._make_client is None:
                raise _of_another_loop()
            # A loop that was closed has taken its connections with it.
            for other in tuple(self._clients):
                # One at a time, because another thread may connect meanwhile.
                if other.is_closed():
                    self._clients.pop(other, None)
            client = self._clients[loop] = BatchingClient(self._client, self._make_client, self._timeout)
        return client

    def _new_bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:
        rules = self._rules.get(limit)
        if rules is None:
            rules = make_rules(limit, lead=0.0, push_back=self._push_back, max_latency=self._max_latency)
            self._rules[limit] = rules
        source = SharedSlots(limit, self._store, self._name(key))
        self._sources.add(source)
        return make_bucket(rules, source)

    def _name(self, key: Hashable) -> str:
        """Return the name of a bucket in the store, which does not identify the user."""
        parts = [*key] if is_bucket_key(key) else [repr(key)]
        if is_bucket_key(key) and key[2] is None:
            parts.append(self._egress)
        digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
        return f"{self._prefix}:{{{digest}}}"


def _of_another_loop() -> ConfigurationError:
    message = "the client of this limiter was used on another event loop, to which it belongs"
    return ConfigurationError(
        message, hint="Use RedisLimiter.from_url, which connects for each loop, or give each loop a client and limiter."
    )


def _check_installed() -> None:
    if not _INSTALLED:
        message = "the package redis is not installed"
        raise ConfigurationError(message, hint="Install it: pip install 'okx-sol-async[redis]'")
