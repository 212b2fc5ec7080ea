"""Correcting a session's clock: by the refusal of a timestamp (50102), or by asking OKX for its time."""

from __future__ import annotations

import asyncio
import enum
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from okx_sol_async.errors import OKXError
from okx_sol_async.transport._clock import RoundTrip, ServerClock

logger: Final = logging.getLogger("okx_sol_async")

#: How many times OKX is asked for its time while its responses take longer than `QUICK`, in seconds.
SAMPLES: Final = 3
QUICK: Final = 0.25


class TimeSample(NamedTuple):
    """OKX's time, as it responds when it is asked for it."""

    #: Seconds since 1970 (UTC).
    seconds: float
    times: RoundTrip


class RefusedTimestamp(NamedTuple):
    """A timestamp that OKX refused."""

    #: The timestamp, in seconds since 1970.
    signed_at: float
    #: The ``Date`` of the refusal; `None` if it has none, or comes out of a cache.
    date: str | None
    times: RoundTrip


class Correction(enum.Enum):
    """How the clock was corrected after a refusal."""

    BY_DATE = "by the Date of the refusal"
    BY_ASKING = "by asking OKX for its time"
    #: OKX does not say its time, or says that the clock was right.
    NONE = "not at all"


#: Asks OKX for its time; raises `OKXError`.
AskTime = Callable[[], Awaitable[TimeSample]]


class ClockSynchronizer:
    """The clock that a session signs by, and its corrections. Calls that need one at once share it."""

    __slots__ = ("_asking", "_last_failure_at", "server_clock")

    def __init__(self, server_clock: ServerClock | None = None) -> None:
        self.server_clock: ServerClock = ServerClock() if server_clock is None else server_clock
        # Held while OKX is asked, so that others wait for the response instead of asking too.
        self._asking = asyncio.Lock()
        # When OKX was last asked without success, by the steady clock.
        self._last_failure_at = -math.inf

    async def correct(self, refused: RefusedTimestamp, ask: AskTime, *, trust_date: bool) -> Correction:
        """Correct the clock after OKX has refused a timestamp.

        Args:
            refused: what OKX refused.
            ask: asks OKX for its time, where the ``Date`` of the refusal does not explain it.
            trust_date: whether that ``Date`` may be OKX's. It is not if a correction by it was refused too.

        """
        clock = self.server_clock
        if trust_date and clock.correct_by_date(refused.date, refused.signed_at, refused.times):
            return Correction.BY_DATE
        async with self._asking:
            # Another call may have asked meanwhile.
            if max(clock.corrected_at, self._last_failure_at) <= refused.times.sent:
                await self._correct_by_asking(refused, ask)
            return Correction.BY_ASKING if clock.corrected_at > refused.times.sent else Correction.NONE

    async def _correct_by_asking(self, refused: RefusedTimestamp, ask: AskTime) -> None:
        clock = self.server_clock
        try:
            sample = await best_sample(ask, SAMPLES, QUICK)
        except OKXError as error:
            self._last_failure_at = clock.steady()
            logger.warning("OKX's time could not be read: %s", error.summary)
            return
        if not clock.correct_by_time(*sample, refused.signed_at - refused.times.sent):
            self._last_failure_at = clock.steady()

    async def synchronize(self, ask: AskTime, samples: int) -> None:
        """Set the clock to OKX's, by the best of some samples."""
        self.server_clock.correct_by_time(*await best_sample(ask, samples, 0.0))


async def best_sample(ask: AskTime, samples: int, quick: float) -> TimeSample:
    """Return the sample that took the shortest time: of ``samples``, or the first that took ``quick`` seconds or less.

    Raises:
        OKXError: as ``ask`` does, if there was no response at all.

    """
    best: TimeSample | None = None
    for _ in range(samples):
        try:
            sample = await ask()
        except OKXError:
            if best is None:
                raise
            break
        if best is None or sample.times.took < best.times.took:
            best = sample
        if best.times.took <= quick:
            break
    assert best is not None  # noqa: S101 - there is at least one sample, or an error was raised
    return best
