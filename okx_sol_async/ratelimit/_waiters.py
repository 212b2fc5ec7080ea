"""The queue of calls that wait for their turn: first in, first out, in three ranks."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from okx_sol_async.errors import OKXError

#: Numbers calls in order of arrival, over all buckets.
NUMBERS: Final = itertools.count()

#: The ranks of waiters. A call that had a lease and is sent again keeps its place, ahead of all others.
RETURNING, FOREGROUND, BACKGROUND = range(3)


class Waiter:
    """A call in the queue."""

    __slots__ = ("deadline", "failure", "number", "rank", "slot", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int, rank: int, deadline: float | None) -> None:
        self.number: int = number
        self.rank: int = rank
        #: When it gives up, by the clock of its loop; `None` for never.
        self.deadline: float | None = deadline
        #: Done when it may leave (`True`) or has to give up (`False`).
        self.turn: asyncio.Future[bool] = loop.create_future()
        #: The shared slot that it was given, if slots are shared.
        self.slot: object = None
        #: Why it has to give up, if not because of its deadline.
        self.failure: OKXError | None = None

    def fail(self, failure: OKXError | None = None) -> None:
        """Make it give up, unless it may leave already."""
        if not self.turn.done():
            self.failure = failure
            self.turn.set_result(False)


class Waiters:
    """All waiters of one bucket. Joining, leaving and serving the first take constant time."""

    __slots__ = ("_ranks", "_timer", "granted", "one_by_one", "wakes_at")

    def __init__(self) -> None:
        #: How many may leave and have not run since.
        self.granted: int = 0
        #: Whether the last one that may leave has to wait for a pace first.
        self.one_by_one: bool = False
        # uvloop returns a plain handle, which does not say when it is due, if that is at once.
        self._timer: asyncio.Handle | None = None
        #: When the timer is due, `None` if it is not set.
        self.wakes_at: float | None = None
        self._ranks: tuple[OrderedDict[int, Waiter], ...] = (OrderedDict(), OrderedDict(), OrderedDict())

    def __len__(self) -> int:
        returning, foreground, background = self._ranks
        return len(returning) + len(foreground) + len(background)

    def __iter__(self) -> Iterator[Waiter]:
        return itertools.chain.from_iterable(rank.values() for rank in self._ranks)

    def ahead_of(self, number: int, rank: int) -> int:
        """Return how many go before a call that joins now."""
        returning, foreground, background = self._ranks
        if rank == RETURNING:
            return sum(other < number for other in returning)
        return len(returning) + len(foreground) + (len(background) if rank == BACKGROUND else 0)

    def join(self, waiter: Waiter) -> None:
        queue = self._ranks[waiter.rank]
        in_order = not queue or next(reversed(queue)) < waiter.number
        queue[waiter.number] = waiter
        if not in_order:
            for number in sorted(queue):
                queue.move_to_end(number)

    def leave(self, waiter: Waiter) -> bool:
        """Remove a waiter; return whether it was there."""
        queue = self._ranks[waiter.rank]
        if queue.get(waiter.number) is not waiter:
            return False
        del queue[waiter.number]
        return True

    def first(self) -> Waiter:
        return next(iter(self))

    def merge(self, other: Waiters) -> None:
        other.wake_at(None)
        self.granted += other.granted
        self.one_by_one = self.one_by_one or other.one_by_one
        for waiter in other:
            self.join(waiter)

    def wake_at(
        self, at: float | None, loop: asyncio.AbstractEventLoop | None = None, call: Callable[[], None] | None = None
    ) -> None:
        """Set the timer to ``at``, or stop it."""
        if self._timer is not None:
            if self.wakes_at == at:
                return
            self._timer.cancel()
            self._timer = self.wakes_at = None
        if at is not None and loop is not None and call is not None:
            self._timer = loop.call_at(at, self._wake, call)
            self.wakes_at = at

    def _wake(self, call: Callable[[], None]) -> None:
        self._timer = self.wakes_at = None
        call()
