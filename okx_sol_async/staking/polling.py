"""A balance that is read again and again, when no other call wants the limit."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from typing import Final, Protocol, runtime_checkable

from okx_sol_async.errors import OKXError
from okx_sol_async.models import Balance
from okx_sol_async.session import Session
from okx_sol_async.signing.credentials import Credentials
from okx_sol_async.staking.endpoints import BALANCE

logger: Final = logging.getLogger("okx_sol_async")

#: The pause after the first failure, in seconds. It doubles with each further one.
FIRST_PAUSE: Final = 1.0
#: The longest pause after a failure, in seconds.
LONGEST_PAUSE: Final = 30.0
#: Seconds between two looks whether there is room.
LOOK_AGAIN: Final = 0.1
#: Seconds without room after which the log says so.
PATIENCE: Final = 60.0


@runtime_checkable
class _HasRoom(Protocol):
    """A bucket that knows how many calls could leave at once. That of another limiter may not."""

    @property
    def free(self) -> int: ...


async def watch_balance(
    session: Session, credentials: Credentials, every: float, *, changes_only: bool
) -> AsyncGenerator[Balance, None]:
    """Give the balance each ``every`` seconds, or whenever it has changed, until the session is closed.

    Raises:
        OKXError: what does not pass; what does is waited for.

    """
    loop = asyncio.get_running_loop()
    outage = _Outage()
    last: Balance | None = None
    at = loop.time()
    # To begin with a closed session is a mistake, which the first call raises; to close it later is the end.
    was_open = not session.closed
    while True:
        await _sleep_until(session, at)
        await _wait_for_room(session, credentials)
        if was_open and session.closed:
            return
        try:
            balance = await session.call(BALANCE, credentials)
        except OKXError as error:
            if was_open and session.closed:
                return
            if not error.transient:
                raise
            pause = outage.note(error)
        else:
            pause = 0.0
            outage.end()
            if not changes_only or balance != last:
                last = balance
                yield balance
        at = _next_time(at, every, loop.time(), pause)


def _next_time(at: float, every: float, now: float, pause: float) -> float:
    """Return the first time of the beat that began with ``at`` which is still to come, ``pause`` from now or later."""
    return at + every * max(math.ceil((now + pause - at) / every), 1)


async def _sleep_until(session: Session, at: float) -> None:
    """Sleep until a time of the loop, or until the session is closed."""
    if at <= asyncio.get_running_loop().time():
        return
    try:
        async with asyncio.timeout_at(at):
            await session.wait_closed()
    except TimeoutError:
        pass


async def _wait_for_room(session: Session, credentials: Credentials) -> None:
    """Wait until no other call waits for a balance, and one more call could leave at once.

    Of a bucket that never has room for two, because it is paced or small, the only slot is taken after a period.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    room_since: float | None = None
    warned = False
    while not session.closed:
        bucket = session.bucket(BALANCE, credentials)
        if not isinstance(bucket, _HasRoom):
            return
        now = loop.time()
        free = bucket.free
        if free > 1:
            return
        room_since = None if free == 0 else now if room_since is None else room_since
        if room_since is not None and now - room_since >= BALANCE.limit.seconds:
            return
        if not warned and now - began >= PATIENCE:
            warned = True
            logger.warning("watch: other calls have left no room for %.0f s; it goes on waiting", PATIENCE)
        await _sleep_until(session, now + LOOK_AGAIN)


class _Outage:
    """How long a watch has gone without a response."""

    def __init__(self) -> None:
        self.failures = 0

    def note(self, error: OKXError) -> float:
        """Count a failure, and return the pause that follows it, in seconds."""
        self.failures += 1
        if self.failures == 1:
            logger.warning("watch: it goes on in spite of this: %s", error.summary)
        return min(math.ldexp(FIRST_PAUSE, min(self.failures - 1, 10)), LONGEST_PAUSE)

    def end(self) -> None:
        """Count a response."""
        if self.failures:
            logger.info("watch: OKX responds again, after %d failures", self.failures)
        self.failures = 0
