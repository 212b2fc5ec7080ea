"""``okx-sol history``: the purchases and redemptions."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Final

import attrs
from cyclopts import Parameter

from okx_sol_async.cli._connection import ExchangeOptions
from okx_sol_async.cli._options import Csv, Json, WholeNumber, only_one
from okx_sol_async.cli.render._formatting import CURRENCY, bare_minute, minute, number, plain, time_of
from okx_sol_async.cli.render._output import Column, CsvPrinter, print_json, print_table, write
from okx_sol_async.cli.render._progress import Progress, waiting
from okx_sol_async.models import Order, OrderStatus, OrderType
from okx_sol_async.staking._arguments import PAGE

#: The statuses that stand out. Both colours are readable on black and on white.
_STYLES: Final = {str(OrderStatus.PENDING): "magenta", str(OrderStatus.FAILED): "bold red"}


async def history(
    *,
    type_: Annotated[OrderType | None, Parameter(name="--type")] = None,
    status: OrderStatus | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: WholeNumber | None = None,
    exchange: ExchangeOptions | None = None,
    json_: Json = False,
    csv_: Csv = False,
) -> None:
    """Show all purchases and redemptions, newest first.

    Args:
        type_: only orders of this type.
        status: only orders with this status.
        since: only orders requested since this time, as 2026-11-22 or '2026-11-22 16:00', in UTC or with an offset.
        until: only orders requested before this time.
        limit: the maximum number of orders.
        exchange: which exchange to ask.
        json_: print one JSON object per line, with exact decimal strings and times in ISO 8601.
        csv_: print CSV with a header line.

    """
    only_one(json=json_, csv=csv_)
    from_, to = time_of("--since", since), time_of("--until", until)
    for_people = not json_ and not csv_
    found: list[Order] = []
    async with (exchange or ExchangeOptions()).connected() as connected:
        orders = connected.staking().history(type=type_, status=status, since=from_, until=to, limit=limit)
        # Rows that scroll by in the same terminal are progress enough.
        with waiting(f"waiting for {connected.name}", shows=for_people or not sys.stdout.isatty()) as progress:
            if json_:
                async for order in _reported(orders, progress):
                    print_json(plain(order))
            elif csv_:
                printer = CsvPrinter([field.name for field in attrs.fields(Order)])
                async for order in _reported(orders, progress):
                    printer.print(plain(order))
            else:
                found = [order async for order in _reported(orders, progress)]
    if for_people:
        _print(found)


async def _reported(orders: AsyncIterator[Order], progress: Progress) -> AsyncIterator[Order]:
    """Give the orders, and show after each page how many there were."""
    count = 0
    async for order in orders:
        count += 1
        if count % PAGE == 0:
            progress.show(f"{count} orders, back to {minute(order.request_time)}")
        yield order


def _print(orders: Sequence[Order]) -> None:
    if not orders:
        write("no purchases and no redemptions\n")
        return
    columns = [
        Column("Requested (UTC)", [bare_minute(order.request_time) for order in orders]),
        Column("Type", [order.type for order in orders]),
        Column("Amount", [_amount(order) for order in orders], numbers=True),
        Column("Status", [order.status for order in orders], styles=_STYLES),
        Column("Completed (UTC)", [_completion(order) for order in orders]),
    ]
    more = [
        Column(
            "Redeeming",
            ["" if order.redeeming_amt is None else f"{number(order.redeeming_amt)} OKSOL" for order in orders],
            numbers=True,
        ),
        Column("Order ID", [order.ord_id or "" for order in orders]),
    ]
    print_table(columns, [column for column in more if any(column.cells)])


def _amount(order: Order) -> str:
    return f"{number(order.amt)} {CURRENCY.get(order.type, '')}".rstrip()


def _completion(order: Order) -> str:
    if order.completed_time is None and order.est_completed_time is not None:
        return f"~{bare_minute(order.est_completed_time)}"
    return bare_minute(order.completed_time)
