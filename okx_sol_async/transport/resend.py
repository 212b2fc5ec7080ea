"""Sending a call again that failed: after what wait, and how often a whole service may."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from okx_sol_async.errors import OKXError

R = TypeVar("R")

logger: Final = logging.getLogger("okx_sol_async")

_SILENCE: Final = logging.NullHandler()
#: The longest wait before the first retry, in seconds. It doubles with each further one.
FIRST_WAIT: Final = 0.5
#: The longest wait before any retry, in seconds.
LONGEST_WAIT: Final = 10.0
#: So many retries a session may make at once.
RESERVE: Final = 50.0
#: So many retries each call adds to what the session may make.
SHARE: Final = 0.1
#: So many retries each second adds to what the session may make.
PER_SECOND: Final = 1.0
#: So many connections may be dead at once without anything else being wrong: as many as a session keeps.
KEPT: Final = 256


class RetryBudget:
    """How many retries a session may make, so that an outage of OKX is not answered by a storm of calls.

    In an outage all calls fail, and with three attempts each a service would call OKX three times as often as before.
    With the budget it is a tenth more, and one a second, once the reserve is spent. A single bot never notices.
    """

    __slots__ = ("_empty", "_filled_at", "_kept", "_left")

    def __init__(self) -> None:
        self._left = RESERVE
        self._filled_at: float | None = None
        self._empty = False
        self._kept = 0

    def earn(self) -> None:
        """Count a call that was made."""
        self._left += SHARE

    def kept(self) -> None:
        """Count an answer, whose connection may be kept."""
        if self._kept < KEPT:
            self._kept += 1

    def spend_on_kept(self) -> bool:
        """Take one retry for a connection that was kept and is dead, and tell whether there may have been one.

        Each has carried an answer before, so there are no more of them than answers. What breaks beyond that was new,
        and is an outage.
        """
        if not self._kept:
            return False
        self._kept -= 1
        return True

    def spend(self, now: float) -> bool:
        """Take one retry, and tell whether there was one.

        Args:
            now: the event loop's time, in seconds.

        """
        elapsed = 0.0 if self._filled_at is None else max(now - self._filled_at, 0.0)
        self._filled_at = now
        self._left = min(self._left + elapsed * PER_SECOND, RESERVE)
        if self._left >= 1:
            self._left -= 1
            # In an outage there is one again every now and then, which is no news.
            self._empty = self._empty and self._left < RESERVE / 2
            return True
        if not self._empty:
            self._empty = True
            logger.warning("so many calls fail that most of them are not sent again: OKX or the network is down")
        return False


async def try_again(
    failure: OKXError,
    send: Callable[[], Awaitable[R | OKXError]],
    may_try_again: Callable[[OKXError], bool],
    attempts: int,
) -> R | OKXError:
    """Send a call again, after growing waits, until it succeeds or may not be sent again.

    Args:
        failure: what the first attempt ended with.
        send: makes one more attempt.
        may_try_again: whether a failure is worth another attempt, and may have one.
        attempts: how many there are in all.

    Returns:
        the result, or the failure of the last attempt.

    """
    # Most processes never come here.
    import stamina  # noqa: PLC0415

    # It logs each retry as a warning, which Python prints where nobody has set up logging.
    logging.getLogger("stamina").addHandler(_SILENCE)
    failures = 0

    def wait_before_next(error: Exception) -> bool | float:
        nonlocal failures
        failures += 1
        if not isinstance(error, OKXError) or failures >= attempts or not may_try_again(error):
            return False
        # Full jitter: those that failed together come back spread over the whole wait.
        return random.uniform(0.0, min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT))  # noqa: S311 - no secret

    try:
        async for attempt in stamina.retry_context(wait_before_next, attempts=attempts, timeout=None):
            with attempt:
                outcome = failure if attempt.num == 1 else await send()
                if isinstance(outcome, OKXError):
                    raise outcome
                return outcome
    except OKXError as error:
        return error
    return failure
