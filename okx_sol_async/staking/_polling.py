"""A balance that is read again and again, in the background."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Final, TypeAlias

from okx_sol_async.errors import OKXError
from okx_sol_async.models import Balance
from okx_sol_async.session import Session
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.staking._endpoints import BALANCE

logger: Final = logging.getLogger("okx_sol_async")

#: The pause after the first failure, in seconds. It doubles with each further one.
FIRST_PAUSE: Final = 1.0
#: The longest pause after a failure, in seconds.
LONGEST_PAUSE: Final = 30.0
#: The most seconds that a call waits for its turn. After that it counts as a failure, which is reported.
PATIENCE: Final = 60.0

#: Called with the first error of an outage, and with `None` at its end.
OnOutage: TypeAlias = Callable[[OKXError | None], object]


async def watch_balance(
    session: Session, credentials: Credentials, every: float, *, changes_only: bool, on_outage: OnOutage | None
) -> AsyncGenerator[Balance, None]:
    """Give the balance each ``every`` seconds, or whenever it has changed, until the session is closed."""
    loop = asyncio.get_running_loop()
    outage = _Outage(on_outage)
    view = session.with_options(background=True, max_wait=PATIENCE)
    last: Balance | None = None
    at = loop.time()
    # To begin with a closed session is a mistake, which the first call raises; to close it later is the end.
    was_open = not session.closed
    while True:
        await _sleep_until(session, at)
        if was_open and session.closed:
            return
        try:
            balance = await view.call(BALANCE, credentials)
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
    missed = (now + pause - at) / every
    # An interval may be too short to be counted.
    return at + every * max(math.ceil(missed), 1) if math.isfinite(missed) else now + pause


async def _sleep_until(session: Session, at: float) -> None:
    """Sleep until a time of the loop, or until the session is closed."""
    if at <= asyncio.get_running_loop().time():
        return
    with suppress(TimeoutError):
        async with asyncio.timeout_at(at):
            await session.wait_closed()


class _Outage:
    """How long a watch has gone without a response."""

    def __init__(self, report: OnOutage | None = None) -> None:
        self.failures = 0
        self._report = report

    def note(self, error: OKXError) -> float:
        """Count a failure, and return the pause that follows it, in seconds."""
        self.failures += 1
        if self.failures == 1:
            logger.warning("watch: retrying after a temporary failure: %s", error.summary)
            if self._report is not None:
                self._report(error)
        return min(math.ldexp(FIRST_PAUSE, min(self.failures - 1, 10)), LONGEST_PAUSE)

    def end(self) -> None:
        failures, self.failures = self.failures, 0
        if failures:
            logger.info("watch: OKX responds again, after %d failures", failures)
            if self._report is not None:
                self._report(None)
