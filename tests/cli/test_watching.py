import asyncio
import io
import json
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from okx_sol_async.cli.endings import warnings_are_lines
from okx_sol_async.cli.exchange import Exchange
from okx_sol_async.cli.live import Watched
from okx_sol_async.cli.watching import watch
from okx_sol_async.emulator import Emulator
from okx_sol_async.errors import TransportError
from okx_sol_async.models import Balance
from tests.support.terminals import running, terminal

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BALANCE = Balance("OKSOL", Decimal("1234567.123456789"), Decimal("0.00000012"), Decimal("0.00000012"))


def test_where_there_is_no_terminal_each_change_is_a_line() -> None:
    """A program reads the changes as they come, and Ctrl-C is quiet."""
    with running("watch", "--emulator", "--every", "0.05", "--json") as process:
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate()

    assert (130, "") == (process.returncode, complaint)
    # A day passes between two looks.
    days = [datetime.fromisoformat(row["ts"]).date() for row in rows]
    assert [days[0] + timedelta(days=1), days[0] + timedelta(days=2)] == days[1:]
    amounts = [Decimal(row["amt"]) for row in rows]
    accruals = [Decimal(row["latest_interest_accrual"]) for row in rows]
    assert [amounts[0] + accruals[1], amounts[1] + accruals[2]] == amounts[1:]


def test_a_terminal_shows_a_table_that_is_kept_up_to_date() -> None:
    """Interest is listed as it comes; Ctrl-C leaves the table, and the cursor as it was."""
    with terminal("watch", "--emulator", "--every", "0.05") as shown:
        shown.wait_for("+0.00000012")
        shown.wait_for("UTC     +0.0")
        shown.interrupt()

        assert 130 == shown.end()
    assert "no real money" in shown.text
    assert "earlier" in shown.text
    assert "\x1b[?25h" in shown.raw.rpartition("\x1b[?25l")[2]
    assert "Traceback" not in shown.text


def test_a_terminal_is_as_it_was_after_termination() -> None:
    """The cursor is there again, and nothing else is said."""
    with terminal("watch", "--emulator", "--every", "0.05") as shown:
        shown.wait_for("UTC     +0.0")
        shown.process.send_signal(signal.SIGTERM)

        assert 143 == shown.end()
    after = shown.raw.rpartition("\x1b[?25l")[2]
    assert "\x1b[?25h" in after
    assert shown.text.rstrip().endswith("Ctrl-C ends it")


def test_a_dumb_terminal_gets_lines() -> None:
    """What cannot move is not moved."""
    with terminal("watch", "--emulator", "--every", "0.05", TERM="dumb") as shown:
        shown.wait_for("total_interest_accrual 0.00000012")
        shown.interrupt()

        assert 130 == shown.end()
    assert "\x1b" not in shown.raw


async def test_an_outage_does_not_end_it(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told once on stderr, and so is its end; what changed meanwhile is told then."""
    with warnings_are_lines():
        watching = asyncio.create_task(watch(every=0.05, exchange=Exchange(), json_=True))
        told = ""
        while not told:
            await asyncio.sleep(0.01)
            told += capsys.readouterr().out
        complaint = ""
        with as_user.outage():
            while "in spite of this" not in complaint:
                await asyncio.sleep(0.01)
                complaint += capsys.readouterr().err
            as_user.user.balance = BALANCE
        while told.count("\n") < 2:
            await asyncio.sleep(0.01)
            output = capsys.readouterr()
            told, complaint = told + output.out, complaint + output.err
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    assert ["0.01100012", "1234567.123456789"] == [json.loads(line)["amt"] for line in told.splitlines()]
    first, last = complaint.splitlines()
    assert first.startswith("okx-sol: watch: it goes on in spite of this: no whole response")
    assert last.startswith("okx-sol: watch: OKX answers again")


def picture(watched: Watched, columns: int, lines: int = 30) -> str:
    console = Console(width=columns, file=io.StringIO(), highlight=False)
    with console.capture() as captured:
        console.print(watched.shown(lines))
    return captured.get()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_table(snapshot: SnapshotAssertion, columns: int) -> None:
    """It fits the terminal, and an error is shown while it goes on."""
    watched = Watched("key …a1b2 at https://openapi.okx.com", 60.0)
    begun = picture(watched, columns)
    watched.see(BALANCE, NOW)
    more = attrs.evolve(BALANCE, latest_interest_accrual=Decimal("0.5"), total_interest_accrual=Decimal("0.50000012"))
    watched.see(more, NOW + timedelta(hours=5))
    watched.fail(TransportError("no whole response: reset by peer"), NOW + timedelta(hours=6))
    failing = picture(watched, columns)
    watched.see(more, NOW + timedelta(hours=7))
    well = picture(watched, columns)

    assert snapshot == f"{begun}\n{failing}\n{well}"
    assert max(map(len, (begun + failing + well).splitlines())) <= columns


@given(st.lists(st.decimals("0.00000001", 10**9, places=8), max_size=30), st.integers(1, 60))
def test_the_list_of_accruals_is_exact_and_fits(came: list[Decimal], lines: int) -> None:
    """Each accrual is the difference of two totals, to the last digit; a low terminal shows the latest only."""
    watched = Watched("", 1.0)
    total = Decimal(0)
    for number, accrual in enumerate([Decimal(0), *came]):
        total += accrual
        watched.see(attrs.evolve(BALANCE, total_interest_accrual=total), NOW + timedelta(days=number))

    kept = [accrual for _, accrual in watched.accruals]
    assert [*reversed(came), BALANCE.latest_interest_accrual][:10] == kept
    assert picture(watched, 80, lines).count("\n") <= max(lines, 14)
