"""``okx-sol watch``: the balance as it changes."""

from __future__ import annotations

import logging
import sys
from typing import Final

from okx_sol_async.cli.endings import logged_from
from okx_sol_async.cli.exchange import Connection, Exchange
from okx_sol_async.cli.forms import number, plain, second, stamp
from okx_sol_async.cli.options import Json
from okx_sol_async.cli.output import new_console, print_json, write
from okx_sol_async.models import Balance

#: Seconds between two looks, unless told otherwise.
_EVERY: Final = 60.0
#: The same at a local exchange, where a day passes between two looks.
_EVERY_LOCALLY: Final = 2.0


async def watch(*, every: float | None = None, exchange: Exchange | None = None, json_: Json = False) -> None:
    """Show the balance and its interest as they change, until Ctrl-C.

    In a terminal it is a table that is kept up to date; elsewhere it is a line for each change. What passes, such as an
    outage, is told and does not end it. With --emulator a day passes between two looks.

    Args:
        every: seconds between two looks; 60, or 2 with --emulator.
        exchange: which exchange to ask.
        json_: print one JSON object for each change, also in a terminal.

    """
    chosen = exchange or Exchange()
    every = (_EVERY_LOCALLY if chosen.emulator else _EVERY) if every is None else every
    console = new_console()
    if console.is_interactive and not json_:
        from okx_sol_async.cli.live import watch_live  # noqa: PLC0415 - nobody else needs what moves

        await watch_live(chosen, every, console)
        return
    # An outage is told, and its end.
    with logged_from(logging.INFO):
        async with chosen.connected() as connection:
            await _print_changes(connection, every, json_=json_)


async def _print_changes(connection: Connection, every: float, *, json_: bool) -> None:
    async for balance in connection.staking().watch(every=every):
        if json_:
            print_json({"ts": stamp(connection.now()), **plain(balance)})
        else:
            write(f"{second(connection.now())}  {_line(balance)}\n")
            sys.stdout.flush()
        connection.pass_a_day()


def _line(balance: Balance) -> str:
    return (
        f"amt {number(balance.amt)} {balance.ccy}"
        f"  latest_interest_accrual {number(balance.latest_interest_accrual)}"
        f"  total_interest_accrual {number(balance.total_interest_accrual)}"
    )
