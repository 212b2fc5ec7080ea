"""The connections of one event loop to the store. Commands of the same moment are sent together."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from okx_sol_async.ratelimit.shared._subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    Client = Redis | RedisCluster
    Command = tuple[str, tuple[float | str, ...]]
    Pending = tuple[Command, asyncio.Future[object]]

SCRIPT: Final = Path(__file__).with_name("reserve.lua").read_text(encoding="utf-8")
_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
#: How many batches are on their way to one server at once.
MAX_CONCURRENT_BATCHES: Final = 4
#: How many commands one batch holds at most.
BATCH_SIZE: Final = 64


class BatchingClient:
    """The connections of one event loop."""

    def __init__(self, client: Client, make_client: Callable[[], Client] | None, timeout: float) -> None:
        self._make_client = make_client
        self._client = client if make_client is None else make_client()
        self._timeout = timeout
        self._batchers: dict[str, _Batcher] = {}
        self._at_the_end: AsyncGenerator[None, None] | None = None
        #: The subscription to notifications.
        self.subscription: Subscription = Subscription(self._client, timeout)

    async def run(self, bucket: str, command: tuple[float | str, ...]) -> object:
        node = self.node_of(bucket)
        batcher = self._batchers.get(node)
        if batcher is None:
            batcher = self._batchers[node] = _Batcher(self, node)
        return await batcher.run((bucket, command))

    def node_of(self, bucket: str) -> str:
        if isinstance(self._client, RedisCluster):
            # Before the client has asked which server keeps what, none is known.
            with contextlib.suppress(RedisError, RedisClusterException, AttributeError):
                return str(self._client.get_node_from_key(bucket).name)  # type: ignore[union-attr]
        return ""

    async def aclose(self, reason: Exception) -> None:
        """Cancel what is on its way, fail what waits, and close what was opened here."""
        await self.subscription.aclose()
        for batcher in self._batchers.values():
            await batcher.aclose(reason)
        if self._at_the_end is not None:
            await self._at_the_end.aclose()

    async def send(self, commands: Sequence[Command]) -> list[object]:
        """Run the script once for each command, and return the replies or what came instead."""
        if self._make_client is not None and self._at_the_end is None:
            # An event loop that ends closes what it has begun to iterate over, and the connections with it.
            self._at_the_end = self._close_at_the_end()
            await anext(self._at_the_end)
        async with asyncio.timeout(self._timeout):
            replies = await self._execute(commands, "evalsha", _SHA)
            unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if unknown:
                again = await self._execute([commands[index] for index in unknown], "eval", SCRIPT)
                for index, reply in zip(unknown, again, strict=True):
                    replies[index] = reply
            return replies

    async def _execute(self, commands: Sequence[Command], how: str, script: str) -> list[object]:
        client = self._client
        if isinstance(client, RedisCluster):
            # Before it has asked which server keeps what, it sends a command anywhere, and drops connections.
            await client.initialize()
        if len(commands) == 1 or isinstance(client, RedisCluster):
            # The pipeline of a cluster has no scripts.
            calls = (getattr(client, how)(script, 1, bucket, *command) for bucket, command in commands)
            replies: list[object] = await asyncio.gather(*calls, return_exceptions=True)
        else:
            async with client.pipeline(transaction=False) as pipeline:
                for bucket, command in commands:
                    getattr(pipeline, how)(script, 1, bucket, *command)
                replies = await pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, ResponseError):
                raise reply
        return replies

    async def reconnect(self) -> None:
        """Connect anew: another server may have the name of this one by now."""
        # A cluster finds out by itself, and so does a client that was lent.
        if self._make_client is not None and isinstance(self._client, Redis):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _close_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # It is closed even if that fails.
            with contextlib.suppress(OSError, RuntimeError, RedisError):
                await self._client.aclose()


class _Batcher:
    """The commands for one server."""

    def __init__(self, client: BatchingClient, node: str) -> None:
        self._client = client
        self._node = node
        self._waiting: deque[Pending] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        # Whether a sender has begun that takes what waits.
        self._begins = False

    async def run(self, command: Command) -> object:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[object] = loop.create_future()
        self._waiting.append((command, done))
        self._start_sender(loop)
        return await done

    async def aclose(self, reason: Exception) -> None:
        senders = tuple(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        self._fail_waiting(reason)

    def _start_sender(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._begins and len(self._senders) < MAX_CONCURRENT_BATCHES:
            self._begins = True
            sender = loop.create_task(self._send_all(loop))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def _send_all(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_SIZE, len(self._waiting)))]
            self._begins = False
            self._start_sender(loop)
            try:
                replies = await self._client.send([command for command, _ in batch])
            except asyncio.CancelledError:
                self._waiting.extendleft(reversed(batch))
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, calls wait for it
                reason = self._unavailable(error, "")
                _settle(batch, [reason] * len(batch))
                self._fail_waiting(reason)
                await self._client.reconnect()
            else:
                found = [
                    self._unavailable(reply, bucket) if isinstance(reply, BaseException) else reply
                    for ((bucket, _), _), reply in zip(batch, replies, strict=True)
                ]
                _settle(batch, found)
                if any(isinstance(reply, StoreUnavailable) for reply in found):
                    await self._client.reconnect()
        self._begins = False

    def _fail_waiting(self, reason: Exception) -> None:
        waiting, self._waiting = self._waiting, deque()
        _settle(waiting, [reason] * len(waiting))

    def _unavailable(self, error: BaseException, bucket: str) -> StoreUnavailable:
        """Return what is reported of a failure: only its kind, because a message may contain what was sent."""
        kind = type(error).__name__
        if isinstance(error, ResponseError):
            text = str(error)
            word = text.partition(" ")[0]
            # The script failed on what is under this key; anything else is wrong with the server.
            part = bucket if word == "WRONGTYPE" or "user_script" in text else self._node
            return StoreUnavailable(f"the server refused a command ({word if word.isupper() else kind})", part)
        if isinstance(error, TimeoutError) or kind == "TimeoutError":
            return StoreUnavailable("the server does not reply in time", self._node)
        return StoreUnavailable(f"the server cannot be reached ({kind})", self._node)


def _settle(batch: Sequence[Pending] | deque[Pending], replies: Sequence[object]) -> None:
    for (_, done), reply in zip(batch, replies, strict=True):
        if done.done():
            continue
        if isinstance(reply, BaseException):
            done.set_exception(reply)
        else:
            done.set_result(reply)
