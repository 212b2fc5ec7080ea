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
from typing import Final, NamedTuple

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


class Outcome(enum.IntEnum):
    """What is known of a write. Where there are fewer orders than writes, the lower ones have theirs first."""

    #: It happened, or it is under way and may have happened at any moment.
    TAKEN = 0
    #: Nobody knows.
    UNKNOWN = 1
    #: The history did not show it, and its caller was told so: perhaps it was sent again since.
    DENIED = 2


class WriteOwner(NamedTuple):
    """Whose history a write is in. The same key may be used at two exchanges, as tests do, and each has its own."""

    origin: str
    demo: bool
    #: `Credentials.owner`.
    user: str


@attrs.define(eq=False)
class Write:
    """A purchase or redemption that this process made."""

    owner: WriteOwner
    type: OrderType
    amt: Decimal
    #: When it was signed, or for as long as that is not known, when it began; by OKX's clock.
    at: datetime
    outcome: Outcome = Outcome.TAKEN

    def is_near(self, other: Write) -> bool:
        """Tell whether the order of one may be taken for that of the other, or for that of one between them."""
        return (
            (self.owner, self.type) == (other.owner, other.type)
            and _same(self.amt, other.amt)
            and abs(self.at - other.at) <= 3 * NEAR
        )

    def may_be(self, order: Order) -> bool:
        """Tell whether ``order`` may be what became of this write."""
        return order.type == self.type and _same(order.amt, self.amt) and abs(order.request_time - self.at) <= NEAR


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
        """Return the writes that the history cannot tell from ``write``, with itself, in the order of their time.

        Those whose orders lie far from its own are none of them.
        """
        with self._lock:
            equal = [other for other in self._writes if other is not write and other.is_near(write)]
        return sorted([*equal, write], key=lambda other: other.at)


#: The journal of this process: another client of the same user finds what the last one wrote.
JOURNAL: Final = Journal()


def find(write: Write, equal: list[Write], orders: Iterable[Order]) -> Order | None:
    """Return the order that ``write`` became, as far as ``orders`` show it.

    Each order is given to one write at most, so that as many writes as possible have one, those first that certainly
    happened; and of all the ways to do so it is the one in which they are nearest to each other in time.

    Args:
        write: one whose outcome is unknown.
        equal: the writes that the history cannot tell from it, with itself, in the order of their time.
        orders: all orders that any of them may have become.

    """
    oldest_first = sorted(orders, key=lambda order: order.request_time)
    # The best way to give the first so many orders to the writes so far.
    best = [_Given()] * (len(oldest_first) + 1)
    for other in equal:
        ways = best[:1]
        for number, order in enumerate(oldest_first, start=1):
            choices = [best[number], ways[-1]]
            if other.may_be(order):
                choices.append(best[number - 1].with_one_more(other, order, is_asked_for=other is write))
            ways.append(max(choices, key=_Given.merit))
        best = ways
    return best[-1].found


@attrs.frozen
class _Given:
    """Orders that are given to writes."""

    #: To how many writes of each `Outcome`.
    writes: tuple[int, ...] = (0,) * len(Outcome)
    #: The time between the two of each pair, added up.
    distance: timedelta = timedelta(0)
    #: What the write is given that is looked for.
    found: Order | None = None

    def merit(self) -> tuple[tuple[int, ...], timedelta]:
        return self.writes, -self.distance

    def with_one_more(self, write: Write, order: Order, *, is_asked_for: bool) -> _Given:
        writes = tuple(count + (outcome == write.outcome) for outcome, count in enumerate(self.writes))
        distance = self.distance + abs(order.request_time - write.at)
        return _Given(writes, distance, order if is_asked_for else self.found)


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
                write.outcome = Outcome.DENIED if order is None else Outcome.TAKEN
                return order
        await asyncio.sleep(min(pause, max(left, 0.0)))
        pause = min(2 * pause, LONGEST_PAUSE)


def _same(amt: Decimal, other: Decimal) -> bool:
    """Tell whether two amounts are the same in the history, which may have fewer decimals than the write had."""
    return abs(_EXACT.subtract(amt, other)) < _ROUNDING
