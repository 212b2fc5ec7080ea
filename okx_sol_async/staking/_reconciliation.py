"""Which order of the history a write became.

OKX gives a purchase no id, and the history has none either. But OKX accepts a signature only within 30 seconds of its
timestamp, so the order of a write lies within that time; and the other writes of the user are in the log, so an order
that belongs to an equal write is not taken for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Final

import attrs

from okx_sol_async._writes import Write, WriteOutcome
from okx_sol_async.errors import OKXError
from okx_sol_async.models import Order

#: The most time between the signature of a write and its order: what OKX tolerates, and five seconds to take it.
NEAR: Final = timedelta(seconds=35)
#: The most time between two equal writes that may be mistaken for each other, or for one between them.
RELATED: Final = 3 * NEAR
#: Seconds after its signature when a write that the history does not show counts as one that did not happen.
SETTLED: Final = 40.0
#: Seconds after the signature of an accepted write when the history shows its order, as far as that is known.
LATE: Final = 10.0
#: The seconds between two reads of the history, at first and at most.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
#: Seconds by which an order may seem to precede its write: clocks differ, and OKX cuts its times to milliseconds.
_CLOCK_ERROR: Final = 0.002
#: An order that precedes a write by more is this many times less likely to be its own: as good as never, unless no other
#: write explains it.
_EARLY: Final = 10_000
# OKX writes eight decimals in all its examples, and accepts nine.
_ROUNDING: Final = Decimal("0.00000001")
_EXACT: Final = Context(prec=100)
#: Where there are fewer orders than writes, the lower ranks have theirs first.
_RANKS: Final = {
    WriteOutcome.TAKEN: 0,
    WriteOutcome.SENT: 1,
    WriteOutcome.UNKNOWN: 1,
    # The caller knows it as one that did not happen, and perhaps sent it again since.
    WriteOutcome.NOT_SEEN: 2,
    WriteOutcome.NOT_FOUND: 2,
}


def related(write: Write, writes: Iterable[Write]) -> list[Write]:
    """Return the writes that the history cannot distinguish from ``write``, including it, in the order of their time.

    Args:
        write: the one to be looked up. What ``writes`` has under its ``id`` is newer, and takes its place.
        writes: all writes of the user.

    """
    found = {write.id: write} | {other.id: other for other in writes if _is_related(other, write)}
    return sorted(found.values(), key=lambda other: other.sent_at)


def find(write: Write, writes: Iterable[Write], orders: Iterable[Order]) -> Order | None:
    """Return the order that ``write`` became, as far as ``orders`` show it.

    Each order is given to one write at most, so that as many writes as possible have one, those first that certainly
    happened; of all the ways to do so it is the one in which writes and orders are nearest to each other in time.

    Args:
        write: the one to be looked up.
        writes: what `related` returns.
        orders: all orders that any of them may have become.

    """
    equal = sorted((order for order in orders if _is_equal(write, order)), key=lambda order: order.request_time)
    undecided = []
    for other in writes:
        found = next((order for order in equal if order.request_time == other.ordered_at), None)
        if found is None:
            undecided.append(other)
        elif other.id == write.id:
            return found
        else:
            equal.remove(found)
    return _matched(write, undecided, equal).found


def _matched(write: Write, writes: Iterable[Write], oldest_first: Sequence[Order]) -> _Matching:
    # The best way to give the first n orders to the writes so far, for each n.
    best = [_Matching()] * (len(oldest_first) + 1)
    for other in writes:
        ways = best[:1]
        for number, order in enumerate(oldest_first, start=1):
            choices = [best[number], ways[-1]]
            if abs(order.request_time - other.sent_at) <= NEAR:
                choices.append(best[number - 1].extended(other, order, is_wanted=other.id == write.id))
            ways.append(max(choices, key=_Matching.merit))
        best = ways
    return best[-1]


async def look_up(
    write: Write,
    *,
    read_orders: Callable[[datetime, datetime], Awaitable[list[Order]]],
    read_log: Callable[[], Awaitable[Iterable[Write]]],
    okx_now: Callable[[], datetime],
    pause: Callable[[float], Awaitable[None]],
    wait: float | None,
) -> tuple[Write, Order | None]:
    """Look for the order of a write until the history shows it, or cannot show it any more.

    Args:
        write: the one to be looked up.
        read_orders: reads the history of the write's type from one time to another.
        read_log: reads all writes of the user.
        okx_now: returns OKX's time.
        pause: sleeps for a number of seconds.
        wait: the most seconds to go on looking; `None` until `SETTLED`.

    Returns:
        the write as it is known now, and its order, `None` if the history shows none.

    Raises:
        OKXError: the history or the log cannot be read.

    """
    loop = asyncio.get_running_loop()
    deadline = None if wait is None else loop.time() + wait
    delay = FIRST_PAUSE
    while True:
        now = okx_now()
        left = _seconds_left(write, now) if deadline is None else deadline - loop.time()
        try:
            orders = await read_orders(write.sent_at - RELATED - NEAR, write.sent_at + RELATED + NEAR)
            # The log after the history: whatever order is shown has its write in the log by then.
            writes = related(write, await read_log())
        except OKXError as error:
            if left <= 0 or not error.transient:
                raise
        else:
            pending = {other: _seconds_pending(other, now) for other in writes if other.id != write.id}
            pending = {other: seconds for other, seconds in pending.items() if seconds > 0}
            order = _certain(write, writes, pending, orders)
            if order is None and pending:
                order = find(write, writes, orders)
                if order is not None and deadline is None:
                    # It may belong to another write, once the response or the order of a pending one is there.
                    left = max(left, *pending.values())
                order = None if left > 0 else order
            if order is not None and _age(write, now) < LATE and _is_of_earlier(order, write, writes):
                # That of the write itself is not shown yet.
                order = None
            if order is not None or left <= 0:
                known = next(other for other in writes if other.id == write.id)
                return _resolved(known, order, now), order
        await pause(min(delay, max(left, 0.0)))
        delay = min(2 * delay, LONGEST_PAUSE)


@attrs.frozen
class _Matching:
    """Orders that are given to writes."""

    #: To how many writes of each rank.
    ranks: tuple[int, ...] = (0, 0, 0)
    #: How unlikely the times make it, in seconds.
    distance: float = 0.0
    #: The order of the write that is looked up.
    found: Order | None = None

    def merit(self) -> tuple[tuple[int, ...], float]:
        return self.ranks, -self.distance

    def extended(self, write: Write, order: Order, *, is_wanted: bool) -> _Matching:
        ranks = tuple(count + (rank == _RANKS[write.outcome]) for rank, count in enumerate(self.ranks))
        distance = self.distance + _distance(write, order)
        return _Matching(ranks, distance, order if is_wanted else self.found)


def _distance(write: Write, order: Order) -> float:
    after = (order.request_time - write.sent_at).total_seconds()
    if after >= 0:
        return after
    early = max(-after - _CLOCK_ERROR, 0.0)
    return min(-after, _CLOCK_ERROR) + _EARLY * early


def _is_related(other: Write, write: Write) -> bool:
    return (
        other.type == write.type
        and _is_same(other.amt, write.amt)
        and (other.origin, other.demo) == (write.origin, write.demo)
        and abs(other.sent_at - write.sent_at) <= RELATED
    )


def _is_equal(write: Write, order: Order) -> bool:
    return order.type == write.type and _is_same(order.amt, write.amt)


def _is_same(amt: Decimal, other: Decimal) -> bool:
    """Return whether two amounts are the same in the history, which may have fewer decimals than the write had."""
    return abs(_EXACT.subtract(amt, other)) < _ROUNDING


def _certain(write: Write, writes: Iterable[Write], pending: Container[Write], orders: Iterable[Order]) -> Order | None:
    """Return the order of a write if it is the same whether the history shows all orders of pending writes or none."""
    all_shown = [attrs.evolve(other, outcome=WriteOutcome.TAKEN) if other in pending else other for other in writes]
    order = find(write, all_shown, orders)
    return order if order == find(write, (other for other in writes if other not in pending), orders) else None


def _is_of_earlier(order: Order, write: Write, writes: Iterable[Write]) -> bool:
    """Return whether an order came before a write was sent, and after an equal one whose order is not known."""
    clock_error = timedelta(seconds=_CLOCK_ERROR)
    return order.request_time + clock_error < write.sent_at and any(
        other.ordered_at is None and other.sent_at <= order.request_time + clock_error for other in writes
    )


def _seconds_left(write: Write, now: datetime) -> float:
    return SETTLED - _age(write, now)


def _age(write: Write, now: datetime) -> float:
    return (now - write.sent_at).total_seconds()


def _seconds_pending(write: Write, now: datetime) -> float:
    """Return for how long the history may not show the order of a write that happens, or has happened."""
    if write.outcome is WriteOutcome.SENT:
        return _seconds_left(write, now)
    if write.outcome is WriteOutcome.TAKEN and write.ordered_at is None:
        return LATE - _age(write, now)
    return 0.0


def _resolved(write: Write, order: Order | None, now: datetime) -> Write:
    if order is not None:
        return attrs.evolve(write, outcome=WriteOutcome.TAKEN, ordered_at=order.request_time)
    if write.outcome is WriteOutcome.TAKEN:
        return write
    final = _seconds_left(write, now) <= 0
    return attrs.evolve(write, outcome=WriteOutcome.NOT_FOUND if final else WriteOutcome.NOT_SEEN)
