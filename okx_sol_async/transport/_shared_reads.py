"""Equal reads of one user that share a call, because it is in flight or its result is young enough."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from okx_sol_async.errors import OKXError

R = TypeVar("R")

#: Results that are kept at most, so that memory does not grow with the number of users.
MAX_RESULTS: Final = 10_000


class _SharedRead:
    """One call that several callers wait for, and its result."""

    __slots__ = ("background", "ended_at", "task", "waiters")

    def __init__(self, task: asyncio.Task[Any], *, background: bool) -> None:
        self.task = task
        self.background = background
        self.waiters = 0
        #: When it had its result, by the event loop's clock; `None` before.
        self.ended_at: float | None = None

    def serves(self, oldest: float, *, background: bool) -> bool:
        """Return whether a caller may have its result, which must not be from before ``oldest``."""
        if self.ended_at is None:
            return background or not self.background
        return self.ended_at >= oldest


class SharedReads:
    """The reads of a session that may be shared, by what makes two of them equal."""

    __slots__ = ("_reads",)

    def __init__(self) -> None:
        self._reads: OrderedDict[Hashable, _SharedRead] = OrderedDict()

    async def read(
        self, key: Hashable, max_age: float, call: Callable[[], Awaitable[R]], *, background: bool = False
    ) -> R:
        """Return a result that is at most ``max_age`` seconds old: one that is known, one in flight, or a new one.

        Args:
            key: what makes two reads equal.
            max_age: seconds since the response came.
            call: makes the call.
            background: whether the call waits behind all others. Only such callers wait for it too.

        Raises:
            OKXError: the call that this caller has waited for has failed.

        """
        loop = asyncio.get_running_loop()
        read = self._reads.get(key)
        if read is None or not read.serves(loop.time() - max_age, background=background):
            read = self._begin(key, call, loop, background=background)
        result: R = await self._wait(key, read)
        return result

    def _begin(
        self, key: Hashable, call: Callable[[], Awaitable[R]], loop: asyncio.AbstractEventLoop, *, background: bool
    ) -> _SharedRead:
        async def run() -> R:
            try:
                result = await call()
            except BaseException:
                # Only who waits for this call has its error.
                self._drop(key, read)
                raise
            read.ended_at = loop.time()
            return result

        self._reads[key] = read = _SharedRead(loop.create_task(run()), background=background)
        self._reads.move_to_end(key)
        while len(self._reads) > MAX_RESULTS:
            self._reads.popitem(last=False)
        return read

    async def _wait(self, key: Hashable, read: _SharedRead) -> Any:  # noqa: ANN401 - `read` knows its type
        task = read.task
        read.waiters += 1
        try:
            if not task.done():
                await asyncio.wait([task])
        finally:
            read.waiters -= 1
            if not read.waiters and not task.done():
                # The last one who waited was cancelled.
                self._drop(key, read)
                task.cancel()
        if not task.cancelled():
            error = task.exception()
            # A copy for each: one exception that is raised in several tasks collects the traceback of all.
            if isinstance(error, OKXError):
                raise error.with_details()
        return task.result()

    def _drop(self, key: Hashable, read: _SharedRead) -> None:
        if self._reads.get(key) is read:
            del self._reads[key]
