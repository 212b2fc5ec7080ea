"""``okx-sol history``: the purchases and redemptions."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from okx_sol_async.cli.exchange import Exchange
from okx_sol_async.cli.forms import bare_minute, minute, number, plain, time_of
from okx_sol_async.cli.options import Csv, Json, WholeNumber, only_one
from okx_sol_async.cli.output import Column, CsvPrinter, print_json, print_table, write
from okx_sol_async.models import Order, OrderStatus, OrderType
from okx_sol_async.staking.arguments import PAGE

#: What the eye shall find. Both are readable on black and on white.
_STYLES: Final = {str(OrderStatus.PENDING): "magenta", str(OrderStatus.FAILED): "bold red"}


async def history(
    *,
    type_: Annotated[OrderType | None, Parameter(name="--type")] = None,
    status: OrderStatus | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: WholeNumber | None = None,
    exchange: Exchange | None = None,
    json_: Json = False,
    csv_: Csv = False,
) -> None:
    """Show all purchases and redemptions, the newest first.

    Args:
        type_: only these.
        status: only those of which this has become.
        since: only those requested at this time or later, as 2026-11-22 or '2026-11-22 16:00'; UTC, unless it says so.
        until: only those requested earlier than this time.
        limit: at most so many.
        exchange: which exchange to ask.
        json_: print one JSON object a line, with exact decimal strings and times in ISO 8601.
        csv_: print CSV, with a line of names first.

    """
    only_one(json=json_, csv=csv_)
    from_, to = time_of("--since", since), time_of("--until", until)
    async with (exchange or Exchange()).staking() as staking:
        orders = staking.history(type=type_, status=status, since=from_, until=to, limit=limit)
        if json_:
            async for order in _with_progress(orders):
                print_json(plain(order))
        elif csv_:
            printer = CsvPrinter([field.name for field in attrs.fields(Order)])
            async for order in _with_progress(orders):
                printer.print(plain(order))
        else:
            _print([order async for order in _with_progress(orders, collected=True)])


async def _with_progress(orders: AsyncIterator[Order], *, collected: bool = False) -> AsyncIterator[Order]:
    """Give the orders, and tell on stderr how many there were."""
    count = 0
    with _progress(shows=collected or not sys.stdout.isatty()) as tell:
        async for order in orders:
            count += 1
            # One page is no reason to say anything.
            if count % PAGE == 0:
                tell(f"{count} orders, back to {minute(order.request_time)}")
            yield order


@contextmanager
def _progress(*, shows: bool) -> Iterator[Callable[[str], None]]:
    """Keep a line on stderr, if that is a terminal and what is printed does not tell of the progress itself."""
    if not shows or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks on
    from rich.live import Live  # noqa: PLC0415 - as above

    console = Console(stderr=True, highlight=False)
    if not console.is_interactive:
        yield lambda _: None
        return
    # What is printed goes its own way; what is logged is written above the line.
    with Live(console=console, transient=True, auto_refresh=False, redirect_stdout=False) as live:
        yield lambda text: live.update(text, refresh=True)


def _print(orders: Sequence[Order]) -> None:
    if not orders:
        write("no purchases and no redemptions\n")
        return
    columns = [
        Column("request_time (UTC)", [bare_minute(order.request_time) for order in orders]),
        Column("type", [order.type for order in orders]),
        Column("amt", [number(order.amt) for order in orders], numbers=True),
        Column("status", [order.status for order in orders], styles=_STYLES),
        Column("completed_time (UTC)", [_completion(order) for order in orders]),
    ]
    more = [
        Column(
            "redeeming_amt",
            ["" if order.redeeming_amt is None else number(order.redeeming_amt) for order in orders],
            numbers=True,
        ),
        Column("ord_id", [order.ord_id or "" for order in orders]),
    ]
    print_table(columns, [column for column in more if any(column.cells)])


def _completion(order: Order) -> str:
    if order.completed_time is None and order.est_completed_time is not None:
        return f"est. {bare_minute(order.est_completed_time)}"
    return bare_minute(order.completed_time)
