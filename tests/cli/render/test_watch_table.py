"""The table of ``okx-sol watch``."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from okx_sol_async.cli.render._watch_table import WatchTable
from okx_sol_async.errors import TransportError
from okx_sol_async.models import Balance

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BALANCE = Balance("OKSOL", Decimal("1234567.123456789"), Decimal("0.00000012"), Decimal("0.00000012"))


def picture(table: WatchTable, columns: int, lines: int = 30) -> str:
    console = Console(width=columns, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(table.shown(lines, columns))
    return captured.get()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_table(snapshot: SnapshotAssertion, columns: int) -> None:
    """It fits the terminal, and an error is shown while it goes on."""
    table = WatchTable("key …a1b2 at https://openapi.okx.com", 60.0)
    begun = picture(table, columns)
    table.update(BALANCE, NOW)
    more = attrs.evolve(BALANCE, latest_interest_accrual=Decimal("0.5"), total_interest_accrual=Decimal("0.50000012"))
    table.update(more, NOW + timedelta(hours=5))
    table.fail(TransportError("no whole response: reset by peer"), NOW + timedelta(hours=6))
    failing = picture(table, columns)
    table.update(more, NOW + timedelta(hours=7))
    well = picture(table, columns)

    assert snapshot == f"{begun}\n{failing}\n{well}"
    assert max(map(len, (begun + failing + well).splitlines())) <= columns


@given(st.lists(st.decimals("0.00000001", 10**9, places=8), max_size=30), st.integers(1, 60))
def test_accruals_are_exact_and_fit(came: list[Decimal], lines: int) -> None:
    """Each accrual is the difference of two totals, to the last digit; a low terminal shows the latest only."""
    table = WatchTable("", 1.0)
    total = Decimal(0)
    for number, accrual in enumerate([Decimal(0), *came]):
        total += accrual
        table.update(attrs.evolve(BALANCE, total_interest_accrual=total), NOW + timedelta(days=number))

    kept = [accrual for _, accrual in table.accruals]
    assert [*reversed(came), BALANCE.latest_interest_accrual][:40] == kept
    assert picture(table, 80, lines).count("\n") <= max(lines, 18)


@pytest.mark.parametrize(("columns", "bars"), [(40, 22), (80, 30)])
def test_a_narrow_terminal_shows_the_latest_bars(columns: int, bars: int) -> None:
    """The highest bar is the last one, and it is there."""
    table = WatchTable("", 1.0)
    for day in range(30):
        table.update(attrs.evolve(BALANCE, amt=Decimal(day)), NOW + timedelta(days=day))

    (line,) = [line.removeprefix("Staked").strip() for line in picture(table, columns).splitlines() if "█" in line]
    assert (bars, "█") == (len(line), line[-1])


def test_without_interest_there_is_no_list_of_it() -> None:
    """What has just been staked has earned nothing yet."""
    table = WatchTable("", 1.0)
    table.update(attrs.evolve(BALANCE, latest_interest_accrual=Decimal(0), total_interest_accrual=Decimal(0)), NOW)

    assert not [line for line in picture(table, 80).splitlines() if line.startswith("Interest ")]
