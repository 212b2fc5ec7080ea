"""The commands of a process to the store: one that fails begins an outage."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from okx_sol_async.errors import OKXError
from okx_sol_async.ratelimit._loops import running_loop
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable

if TYPE_CHECKING:
    from okx_sol_async.ratelimit.shared._outage import Outages

Arguments = tuple[float | str, ...]


class Commands(Protocol):
    """Runs the script."""

    async def run(self, bucket: str, command: Arguments) -> object:
        """Run one command on one bucket and return the reply.

        Raises:
            StoreUnavailable: it could not be done.

        """

    def node_of(self, bucket: str) -> str:
        """Return the name of the server that keeps a bucket, empty if there is only one."""

    def listen(self) -> bool:
        """Have notifications delivered to `SlotStore.notifications`; return whether they arrive already."""


class CommandRunner:
    """Runs commands, and knows which part of the store is unavailable."""

    def __init__(self, commands: Commands, outages: Outages) -> None:
        self._commands = commands
        self._outages = outages
        self._tasks: set[asyncio.Future[object]] = set()

    async def run(self, bucket: str, *command: float | str) -> object:
        """Run a command and return the reply."""
        try:
            try:
                return await self._commands.run(bucket, command)
            except (OKXError, StoreUnavailable):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, calls wait for it
                reason = f"the client failed ({type(error).__name__})"
                raise StoreUnavailable(reason, bucket) from None
        except StoreUnavailable as error:
            self._outages.begin(error)
            raise

    def send(self, bucket: str, *command: float | str) -> None:
        """Run a command whose reply does not matter."""
        if self.unavailable_part(bucket) is not None or running_loop() is None:
            return
        task = asyncio.ensure_future(self.run(bucket, *command))
        self._tasks.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Future[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # A failure was logged as an outage.
            task.exception()

    def unavailable_part(self, bucket: str) -> str | None:
        """Return the unavailable part that keeps a bucket away, `None` if it can be reached."""
        if not self._outages:
            return None
        if bucket in self._outages:
            return bucket
        node = self._commands.node_of(bucket)
        return node if node in self._outages else None

    def listen(self) -> bool:
        return self._commands.listen()

    def reached(self, bucket: str) -> None:
        """Note that a bucket can be used, and so can its server."""
        self.reached_node(bucket)
        self._outages.end(bucket)

    def reached_node(self, bucket: str) -> None:
        """Note that the server of a bucket can be reached."""
        if self._outages:
            # Before a cluster said which server keeps what, its servers had no names.
            self._outages.end(self._commands.node_of(bucket))
            self._outages.end("")
