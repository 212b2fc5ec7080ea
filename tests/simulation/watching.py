"""What reports to the book of a world: its leases, the corrections of its clocks, and a tag on each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import okx_sol_async.ratelimit._bucket
import okx_sol_async.transport._call
from okx_sol_async.transport._clock_sync import ClockSynchronizer, Correction
from tests.simulation.book import TAG, Book, current

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse


def watched_lease(book: Book) -> type:
    """Return the leases of this world, which report to the book how they end."""

    class WatchedLease(okx_sol_async.ratelimit._bucket.BucketLease):
        __slots__ = ("_granted",)

        def __init__(self, bucket: Any, loop: Any, number: int, since: float) -> None:
            super().__init__(bucket, loop, number, since)
            self._granted = book.granted(current.get(), bucket)

        def answered(self) -> Any:
            if self._open:
                self._granted.answered_at = self._loop.time()
                book.leases_held -= 1
            return super().answered()

        def abandoned(self) -> Any:
            if self._open:
                self._granted.abandoned_at = self._loop.time()
                book.leases_held -= 1
            return super().abandoned()

    return WatchedLease


_real_ask_time: Final = okx_sol_async.transport._call.Call.ask_time


async def ask_time(call: Any) -> Any:
    entry = current.get()
    if entry is None:
        return await _real_ask_time(call)
    entry.asked_time = entry.asking_time = True
    try:
        return await _real_ask_time(call)
    finally:
        entry.asking_time = False


_real_correct: Final = ClockSynchronizer.correct


async def correct(clock: ClockSynchronizer, *refused: Any, **settings: Any) -> Correction:
    correction = None
    try:
        correction = await _real_correct(clock, *refused, **settings)
    finally:
        entry = current.get()
        if entry is not None and correction is not Correction.BY_DATE:
            # It asked, or waited for another call that did, perhaps until the session was closed.
            entry.asked_time = True
    return correction


async def tag(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Say on each request which call it is of."""
    entry = current.get()
    if entry is not None:
        request.headers[TAG] = str(entry.number)
    return await handler(request)
