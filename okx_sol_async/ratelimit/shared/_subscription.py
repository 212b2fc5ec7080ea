"""Receiving notifications from the store: one subscription for each event loop, while reservations may move."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

    from okx_sol_async.ratelimit.shared._moves import Notifications

    Client = Redis | RedisCluster

#: After how many seconds of silence to unsubscribe if no notification is expected.
LISTEN_FOR: Final = 60.0
#: After how many seconds of silence to check that the node of a cluster still replies.
CHECK_AFTER: Final = 5.0
#: After how long to subscribe again when that failed, in seconds.
SUBSCRIBE_EVERY: Final = 1.0


class Subscription:
    """The subscription of one event loop."""

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None
        #: Whether notifications arrive.
        self.is_active: bool = False

    def begin(self, channel: str, notifications: Notifications) -> None:
        """Subscribe to a channel, unless that is done already."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(channel, notifications))
            self._task.add_done_callback(self._ended)

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self, channel: str, notifications: Notifications) -> None:
        while notifications:
            try:
                await self._receive_all(channel, notifications)
            except (OSError, RedisError, RedisClusterException, AttributeError, IndexError):
                # Without notifications, waiting calls look again from time to time.
                await asyncio.sleep(SUBSCRIBE_EVERY)

    async def _receive_all(self, channel: str, notifications: Notifications) -> None:
        pubsub = await self._open()
        is_cluster = isinstance(self._client, RedisCluster)
        silence = CHECK_AFTER if is_cluster else LISTEN_FOR
        checking = False
        try:
            await pubsub.subscribe(channel)
            while True:
                message = await pubsub.get_message(timeout=self._timeout if checking else silence)
                if message is None:
                    if checking:
                        raise TimeoutError
                    if not notifications:
                        return
                    if is_cluster:
                        # It may be another node than those that keep the buckets, so no command shows that it is away.
                        checking = True
                        await pubsub.ping()
                    continue
                checking = False
                if message["type"] == "subscribe":
                    self.is_active = True
                    notifications.missed()
                elif message["type"] == "message":
                    data = message["data"]
                    notifications.receive(data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data))
        except (OSError, RedisError):
            if self.is_active:
                # If the server is gone, what is reserved there does not count any more.
                notifications.missed()
            raise
        finally:
            self.is_active = False
            with contextlib.suppress(OSError, RuntimeError, RedisError):
                await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _open(self) -> PubSub:
        client = self._client
        if isinstance(client, Redis):
            return client.pubsub()
        # A notification reaches all nodes. Clusters of redis-py have no subscriptions before version 8.
        await client.initialize()
        node = client.get_random_node()
        pool = ConnectionPool(connection_class=node.connection_class, **node.connection_kwargs)
        return Redis(connection_pool=pool).pubsub()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self.is_active = False
        if not task.cancelled():
            task.exception()
