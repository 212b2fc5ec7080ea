"""The table of ``okx-sol watch`` in a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from decimal import Context, Decimal
from typing import Final

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from okx_sol_async.cli._argument_names import summary_of
from okx_sol_async.cli.render._formatting import balance_fields, minute, number, second
from okx_sol_async.cli.render._output import fields_table
from okx_sol_async.cli.render._sparkline import sparkline
from okx_sol_async.errors import OKXError
from okx_sol_async.models import Balance

#: How many accruals are listed at most.
_ACCRUALS: Final = 10
#: How many values a sparkline has at most.
_SPARKS: Final = 40
_SPARKS_BEGIN: Final = len("Interest per day  ")
#: The most lines of the table without its accruals.
_OTHER_LINES: Final = 16
_EXACT: Final = Context(prec=100)


@attrs.define
class WatchTable:
    """What has been seen, and how it is shown."""

    title: str
    every: float
    unicode: bool = True
    balance: Balance | None = None
    updated: datetime | None = None
    #: The amounts, the oldest first.
    amounts: deque[Decimal] = attrs.field(factory=lambda: deque(maxlen=_SPARKS))
    #: The interest and when it was seen, the newest first; no time for interest from before the first read.
    accruals: deque[tuple[datetime | None, Decimal]] = attrs.field(factory=lambda: deque(maxlen=_SPARKS))
    failing_since: datetime | None = None
    error: OKXError | None = None

    def update(self, balance: Balance, at: datetime) -> None:
        """Take in a balance."""
        if self.balance is None:
            if balance.latest_interest_accrual:
                self.accruals.appendleft((None, balance.latest_interest_accrual))
        elif balance.total_interest_accrual != self.balance.total_interest_accrual:
            # Between two reads interest may have accrued several times.
            interest = _EXACT.subtract(balance.total_interest_accrual, self.balance.total_interest_accrual)
            self.accruals.appendleft((at, interest))
        if self.balance is None or balance != self.balance:
            self.amounts.append(balance.amt)
        self.balance, self.updated = balance, at
        self.failing_since = self.error = None

    def fail(self, error: OKXError, at: datetime) -> None:
        """Take in a failure."""
        self.failing_since = self.failing_since or at
        self.error = error

    def shown(self, lines: int, columns: int) -> RenderableType:
        """Return the table, about ``lines`` high and at most ``columns`` wide."""
        parts: list[RenderableType] = [Text(self.title), Text("")]
        if self.balance is not None:
            parts.append(fields_table(self._fields(self.balance, lines - _OTHER_LINES)))
            parts.append(Text(""))
            parts.extend(self._sparklines(columns - _SPARKS_BEGIN))
        if self.error is not None and self.failing_since is not None:
            parts.append(Text(f"no response since {second(self.failing_since)}: {summary_of(self.error)}", style="red"))
        updated = "not yet" if self.updated is None else second(self.updated)
        parts.append(Text(f"updated {updated}, every {self.every:g} s; Ctrl-C ends it"))
        return Group(*parts)

    def _fields(self, balance: Balance, accruals: int) -> Iterator[tuple[str, str, str]]:
        yield from balance_fields(balance)
        if self.accruals:
            yield "", "", ""
            yield "Interest", "", ""
            for at, interest in list(self.accruals)[: min(max(accruals, 1), _ACCRUALS)]:
                yield ("earlier" if at is None else minute(at)), f"+{number(interest)}", balance.ccy

    def _sparklines(self, room: int) -> Iterator[Text]:
        interest = [interest for at, interest in reversed(self.accruals) if at is not None]
        for name, values in (("Staked", list(self.amounts)), ("Interest per day", interest)):
            if len(values) > 1:
                line = sparkline(values[-max(room, 1) :], unicode=self.unicode)
                yield Text(f"{name:<{_SPARKS_BEGIN}}{line}", no_wrap=True, overflow="crop")
        if len(self.amounts) > 1 or len(interest) > 1:
            yield Text("")
