"""The table of ``okx-sol watch`` in a terminal."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from decimal import Context, Decimal
from typing import Final

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from okx_sol_async.cli.arguments import summary_of
from okx_sol_async.cli.endings import logged_from
from okx_sol_async.cli.exchange import Connection, Exchange
from okx_sol_async.cli.forms import minute, number, plain, second
from okx_sol_async.cli.output import fields_table
from okx_sol_async.errors import OKXError
from okx_sol_async.models import Balance
from okx_sol_async.transport.metrics import CallReport

#: Seconds after which the picture is drawn again though nothing has changed: the terminal may have.
_REDRAWN: Final = 1.0
#: So many accruals are shown at most.
_ACCRUALS: Final = 10
#: Lines of the picture without its accruals, as they are at most.
_OTHER_LINES: Final = 13
#: Of the log, which would tear the picture: it shows itself what has gone wrong.
_NOTHING: Final = logging.CRITICAL + 1
_EXACT: Final = Context(prec=100)


@attrs.define
class Watched:
    """What has been seen."""

    name: str
    every: float
    balance: Balance | None = None
    updated: datetime | None = None
    #: The interest that came while somebody watched, and when it was seen; the newest first.
    accruals: deque[tuple[datetime | None, Decimal]] = attrs.field(factory=lambda: deque(maxlen=_ACCRUALS))
    #: Since when nothing is answered, and why.
    fails_since: datetime | None = None
    problem: OKXError | None = None

    def see(self, balance: Balance, at: datetime) -> None:
        """Take in a balance."""
        if self.balance is None:
            if balance.latest_interest_accrual:
                self.accruals.appendleft((None, balance.latest_interest_accrual))
        elif balance.total_interest_accrual != self.balance.total_interest_accrual:
            # Between two looks there may have been several.
            came = _EXACT.subtract(balance.total_interest_accrual, self.balance.total_interest_accrual)
            self.accruals.appendleft((at, came))
        self.balance, self.updated = balance, at
        self.fails_since = self.problem = None

    def fail(self, problem: OKXError, at: datetime) -> None:
        """Take in a failure."""
        self.fails_since = self.fails_since or at
        self.problem = problem

    def shown(self, lines: int) -> RenderableType:
        """Return the picture, of about so many lines."""
        parts: list[RenderableType] = [Text(self.name), Text("")]
        if self.balance is not None:
            parts.append(fields_table(self._fields(lines - _OTHER_LINES)))
            parts.append(Text(""))
        if self.problem is not None and self.fails_since is not None:
            parts.append(
                Text(
                    f"no answer since {second(self.fails_since)}: {summary_of(self.problem)}",
                    style="red",
                )
            )
        updated = "not yet" if self.updated is None else second(self.updated)
        parts.append(Text(f"updated {updated}, every {self.every:g} s; Ctrl-C ends it"))
        return Group(*parts)

    def _fields(self, accruals: int) -> Iterator[tuple[str, str, str]]:
        balance = self.balance
        if balance is None:
            return
        for name, value in plain(balance).items():
            yield name, str(value), ""
        if self.accruals:
            yield "", "", ""
            yield "interest accrued, seen", "", ""
            for at, came in list(self.accruals)[: max(accruals, 1)]:
                yield ("earlier" if at is None else minute(at)), f"+{number(came)}", ""


async def watch_live(exchange: Exchange, every: float, console: Console) -> None:
    """Keep the table up to date until this is cancelled."""
    watched = Watched("", every)

    def observe(report: CallReport) -> None:
        if report.error is not None:
            watched.fail(report.error, connection.now())

    async with exchange.connected(observe) as connection:
        watched.name = f"{connection.account} at {connection.name}"
        with (
            logged_from(_NOTHING),
            Live(console=console, auto_refresh=False, get_renderable=lambda: watched.shown(console.height)) as live,
        ):
            async for balance in _ticking(connection, every, live):
                watched.see(balance, connection.now())
                live.refresh()
                connection.pass_a_day()


async def _ticking(connection: Connection, every: float, live: Live) -> AsyncIterator[Balance]:
    """Give each balance, and draw the picture again each second meanwhile."""
    balances = connection.staking().watch(every=every, changes_only=False)
    while True:
        coming = asyncio.ensure_future(anext(balances, None))
        try:
            while not coming.done():
                live.refresh()
                await asyncio.wait({coming}, timeout=_REDRAWN)
        finally:
            coming.cancel()
            await asyncio.wait({coming})
        balance = coming.result()
        if balance is None:
            return
        yield balance
