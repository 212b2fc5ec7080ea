"""The whole history out of pages that end anywhere.

OKX's rows have no id, a page may end between rows of one millisecond, and OKX does not say whether the bound of a page
is part of it. So each further page begins with the millisecond at which the last one ended, and of its rows those are
left out that were given already, as often as they were given. The other bound is never sent: where a page with both
begins, OKX does not say either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeAlias

import attrs

from okx_sol_async.errors import DecodeError
from okx_sol_async.models import Order
from okx_sol_async.staking._arguments import PAGE, milliseconds, moment

#: Asks for a page: the newest rows before a time in milliseconds (`None` for now), and how many at most.
Fetch: TypeAlias = Callable[[int | None, int], Awaitable[tuple[Order, ...]]]
# What never changes of an order. Its status does, from one page to the next.
_Identity: TypeAlias = tuple[object, ...]

#: Later than every order.
_END_OF_TIME: Final = 2**63


async def read_history(
    fetch: Fetch, *, since: int | None = None, until: int | None = None, limit: int | None = None
) -> AsyncGenerator[Order, None]:
    """Give every order once, newest first.

    Args:
        fetch: asks for a page.
        since: the first millisecond of the time range; `None` for the beginning.
        until: the first millisecond after it; `None` for no end.
        limit: how many orders to give at most; `None` for all.

    """
    left = limit
    edge = _Edge(_END_OF_TIME if until is None else until - 1)
    while left is None or left > 0:
        size = PAGE if left is None or edge.given else min(left, PAGE)
        rows = _in_order(await fetch(None if edge.at == _END_OF_TIME else edge.at + 1, size), size)
        new = edge.new_among(rows)
        if not new and len(rows) >= size:
            new = await _beyond_full_page(fetch, edge)
        wanted = [order for order in new if since is None or _at(order) >= since]
        for order in wanted[:left]:
            yield order
        if len(wanted) < len(new) or not new:
            return
        left = None if left is None else left - len(wanted)
        edge = edge.moved_over(new)


async def _beyond_full_page(fetch: Fetch, edge: _Edge) -> list[Order]:
    """Return what comes after a page that was full and brought nothing new."""
    # If the bound is part of a page, the page was full of rows that are later than the edge.
    rows = _in_order(await fetch(edge.at, PAGE), PAGE)
    new = edge.new_among(rows)
    if edge.given and (not any(_at(order) == edge.at for order in rows) or (not new and len(rows) >= PAGE)):
        message = (
            f"$.data: {PAGE} rows or more have the requestTime {edge.at} ({moment(edge.at).isoformat()}),"
            " and a page does not show whether there are more of them"
        )
        raise DecodeError(message, hint="Ask for the time before and after it, with since and until.")
    return new


@attrs.frozen
class _Edge:
    """How far the history was given."""

    #: All later rows were given, or are not asked for; in milliseconds.
    at: int
    #: Of the rows of that very millisecond, those that were given.
    given: Counter[_Identity] = attrs.field(factory=Counter)

    def new_among(self, rows: list[Order]) -> list[Order]:
        """Return those of ``rows`` that were not given yet."""
        given = self.given.copy()
        new = []
        for order in rows:
            if _at(order) > self.at:
                continue
            identity = _identity(order)
            if _at(order) == self.at and given[identity] > 0:
                given[identity] -= 1
            else:
                new.append(order)
        return new

    def moved_over(self, new: list[Order]) -> _Edge:
        """Return the edge after ``new`` was given, newest first."""
        at = _at(new[-1])
        given = Counter(_identity(order) for order in new if _at(order) == at)
        return _Edge(at, self.given + given if at == self.at else given)


def _in_order(page: tuple[Order, ...], size: int) -> list[Order]:
    rows = sorted(page, key=_at, reverse=True)
    # What is a whole history may come in any order; but a page of it that is not its newest part would hide the rest.
    if len(page) >= size and list(page) != rows:
        message = "$.data: the rows are not in order, the newest first"
        raise DecodeError(message)
    return rows


def _at(order: Order) -> int:
    return milliseconds("request_time", order.request_time, rounded_up=False)


def _identity(order: Order) -> _Identity:
    return order.ord_id, order.type, order.request_time, order.amt
