"""What became of a write whose answer never came.

OKX gives a purchase no id, and the history has none either. But OKX takes a signature only within 30 seconds of its
timestamp, so an order that the write became lies within that time; and what else this process has sent is known, so an
order that belongs to an equal write is not taken for it.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Final

import attrs

from okx_sol_async.errors import OKXError
from okx_sol_async.models import Order, OrderType

#: An order lies so near to the signature of the write that made it: what OKX tolerates, and five seconds to take it.
NEAR: Final = timedelta(seconds=35)
#: So many seconds after its signature, a write that the history does not show is taken for one that did not happen.
SETTLED: Final = 40.0
#: The seconds between two looks at the history, at first and at most.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
#: For how long writes are remembered.
MEMORY: Final = timedelta(minutes=10)
# OKX writes eight decimals in all its examples, and takes nine.
_ROUNDING: Final = Decimal("0.00000001")
_EXACT: Final = Context(prec=100)


class Outcome(enum.Enum):
    """What is known of a write."""

    UNDER_WAY = "under way"
    HAPPENED = "happened"
    UNKNOWN = "unknown"


@attrs.define(eq=False)
class Write:
    """A purchase or redemption that this process made."""

    owner: str
    type: OrderType
    amt: Decimal
    #: When it was signed, or for as long as that is not known, when it began; by OKX's clock.
    at: datetime
    outcome: Outcome = Outcome.UNDER_WAY

    def is_equal(self, other: Write) -> bool:
        """Tell whether the history cannot tell the two apart but by their time."""
        return (self.owner, self.type) == (other.owner, other.type) and _same(self.amt, other.amt)

    def may_be(self, order: Order) -> bool:
        """Tell whether ``order`` may be what became of this write."""
        return order.type == self.type and _same(order.amt, self.amt) and abs(order.request_time - self.at) <= NEAR

    def nearest(self, orders: Iterable[Order]) -> Order | None:
        """Return that of ``orders`` which it most likely became."""
        return min(filter(self.may_be, orders), key=lambda order: abs(order.request_time - self.at), default=None)


class Journal:
    """The writes of a process in the last minutes."""

    def __init__(self) -> None:
        self._writes: deque[Write] = deque()
        # Event loops of several threads may write.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._writes)

    def begin(self, write: Write) -> None:
        """Remember a write that is about to be sent, and forget old ones."""
        with self._lock:
            while self._writes and self._writes[0].at < write.at - MEMORY:
                self._writes.popleft()
            self._writes.append(write)

    def forget(self, write: Write) -> None:
        """Forget a write that certainly did not happen."""
        with self._lock:
            if write in self._writes:
                self._writes.remove(write)

    def equal_to(self, write: Write) -> list[Write]:
        """Return the writes that the history cannot tell from ``write``, with itself, in the order of their time."""
        with self._lock:
            equal = [other for other in self._writes if other is not write and other.is_equal(write)]
        return sorted([*equal, write], key=lambda other: other.at)


#: The journal of this process: another client of the same user finds what the last one wrote.
JOURNAL: Final = Journal()


def find(write: Write, equal: list[Write], orders: Iterable[Order]) -> Order | None:
    """Return the order that ``write`` became, as far as ``orders`` show it.

    Args:
        write: one whose outcome is unknown.
        equal: the writes that the history cannot tell from it, with itself, in the order of their time.
        orders: all orders that any of them may have become.

    """
    # Orders may be equal too, and are not the same for it.
    left = dict(enumerate(orders))
    # Those that certainly happened, or are about to, have their order first. Which of several unknown ones happened
    # is all the same, if each order is given to one of them only.
    for other in sorted(equal, key=lambda other: other.outcome is Outcome.UNKNOWN):
        order = other.nearest(left.values())
        if other is write:
            return order
        if order is not None:
            del left[next(number for number, candidate in left.items() if candidate is order)]
    return None


async def look_up(
    read: Callable[[datetime, datetime], Awaitable[list[Order]]],
    write: Write,
    okx_now: Callable[[], datetime],
    wait: float | None,
) -> Order | None:
    """Look for the order that ``write`` became until it is in sight, or cannot come any more.

    Args:
        read: reads the history from one time to another.
        write: one whose outcome is unknown.
        okx_now: tells OKX's time.
        wait: the most seconds to go on looking; `None` until `SETTLED`.

    Raises:
        OKXError: the history cannot be read.

    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    pause = FIRST_PAUSE
    while True:
        left = SETTLED - (okx_now() - write.at).total_seconds() if wait is None else wait - (loop.time() - began)
        equal = JOURNAL.equal_to(write)
        try:
            orders = await read(equal[0].at - NEAR, equal[-1].at + NEAR)
        except OKXError as error:
            if left <= 0 or not error.transient:
                raise
        else:
            order = find(write, equal, orders)
            if order is not None or left <= 0:
                return order
        await asyncio.sleep(min(pause, max(left, 0.0)))
        pause = min(2 * pause, LONGEST_PAUSE)


def _same(amt: Decimal, other: Decimal) -> bool:
    """Tell whether two amounts are the same in the history, which may have fewer decimals than the write had."""
    return abs(_EXACT.subtract(amt, other)) < _ROUNDING
