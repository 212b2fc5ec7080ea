"""``okx-sol watch``: the balance as it changes."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from okx_sol_async.cli._connection import ConnectedExchange, ExchangeOptions
from okx_sol_async.cli._options import Json
from okx_sol_async.cli.render._formatting import number, plain, second, stamp
from okx_sol_async.cli.render._messages import log_level
from okx_sol_async.cli.render._output import new_console, print_json, write
from okx_sol_async.models import Balance

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from okx_sol_async.transport._events import CallReport

#: Seconds between two reads.
_EVERY: Final = 60.0
#: The same at a local exchange, where a day passes between two reads.
_EVERY_LOCALLY: Final = 2.0
#: Seconds after which the table is drawn again though nothing has changed: the size of the terminal may have.
_REDRAW: Final = 1.0
#: Log lines would tear the table, which shows failures itself.
_NO_LOG: Final = logging.CRITICAL + 1


async def watch(*, every: float | None = None, exchange: ExchangeOptions | None = None, json_: Json = False) -> None:
    """Show the balance and its interest as they change, until Ctrl-C.

    In a terminal it is a table that is kept up to date; elsewhere it prints a line for each change. Temporary failures
    are shown and don't stop it. With --emulator a day passes between two reads.

    Args:
        every: seconds between two reads; 60, or 2 with --emulator.
        exchange: which exchange to ask.
        json_: print one JSON object for each change, also in a terminal.

    """
    chosen = exchange or ExchangeOptions()
    every = (_EVERY_LOCALLY if chosen.emulator else _EVERY) if every is None else every
    console = new_console()
    if console.is_interactive and not json_:
        await _watch_in_terminal(chosen, every, console)
    else:
        await _print_changes(chosen, every, json_=json_)


async def _print_changes(chosen: ExchangeOptions, every: float, *, json_: bool) -> None:
    async with chosen.connected() as connected:
        # The end of an outage is logged at INFO.
        with log_level(logging.DEBUG if chosen.verbose else logging.INFO):
            async for balance in connected.staking().watch(every=every):
                if json_:
                    print_json({"ts": stamp(connected.now()), **plain(balance)})
                else:
                    write(f"{second(connected.now())}  {_line(balance)}\n")
                    sys.stdout.flush()
                connected.advance_a_day()


def _line(balance: Balance) -> str:
    return (
        f"staked {number(balance.amt)} {balance.ccy}"
        f"  latest interest {number(balance.latest_interest_accrual)}"
        f"  total interest {number(balance.total_interest_accrual)}"
    )


async def _watch_in_terminal(chosen: ExchangeOptions, every: float, console: Console) -> None:
    """Keep the table up to date until this is cancelled."""
    from rich.live import Live  # noqa: PLC0415 - only in a terminal

    from okx_sol_async.cli.render._watch_table import WatchTable  # noqa: PLC0415 - as above

    def observe(report: CallReport) -> None:
        if report.error is not None:
            table.fail(report.error, connected.now())

    table = WatchTable("", every, unicode=console.encoding.lower().startswith("utf"))
    async with chosen.connected(observe) as connected:
        table.title = f"{connected.account} at {connected.name}"
        with (
            log_level(_NO_LOG),
            Live(
                console=console, auto_refresh=False, get_renderable=lambda: table.shown(console.height, console.width)
            ) as live,
        ):
            async for balance in _balances(connected, every, live):
                table.update(balance, connected.now())
                live.refresh()
                connected.advance_a_day()


async def _balances(connected: ConnectedExchange, every: float, live: Live) -> AsyncIterator[Balance]:
    """Give each balance, and draw the table again each second meanwhile."""
    balances = connected.staking().watch(every=every, changes_only=False)
    while True:
        coming = asyncio.ensure_future(anext(balances))
        try:
            while not coming.done():
                live.refresh()
                await asyncio.wait({coming}, timeout=_REDRAW)
        finally:
            coming.cancel()
            await asyncio.wait({coming})
        yield coming.result()
