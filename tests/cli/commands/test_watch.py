"""``okx-sol watch``."""

import asyncio
import json
import signal
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from okx_sol_async.cli._connection import ExchangeOptions
from okx_sol_async.cli.commands._watch import watch
from okx_sol_async.cli.render._messages import log_on_stderr
from okx_sol_async.emulator import Emulator
from okx_sol_async.models import Balance
from tests.support.terminals import running, set_of, terminal

BALANCE = Balance("OKSOL", Decimal("1234567.123456789"), Decimal("0.00000012"), Decimal("0.00000012"))


def test_where_there_is_no_terminal_each_change_is_a_line() -> None:
    """A program reads the changes as they come, and Ctrl-C is quiet."""
    with running("watch", "--emulator", "--every", "0.05", "--json") as process:
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
        shown.wait_for("UTC  +0.0")
        shown.interrupt()

        assert 130 == shown.end()
    assert "no real money" in shown.text
    assert "earlier" in shown.text
    assert "\x1b[?25h" in shown.raw.rpartition("\x1b[?25l")[2]
    assert "Traceback" not in shown.text


def test_a_terminal_shows_an_outage(as_user: Emulator) -> None:
    """The table says since when there is no response, and goes on."""
    with terminal("watch", "--every", "0.05", **set_of(as_user)) as shown:
        shown.wait_for("0.01100012")
        with as_user.outage():
            shown.wait_for("no response since")
        as_user.user.balance = BALANCE
        shown.wait_for("1234567.123456789")
        shown.interrupt()

        assert 130 == shown.end()


def test_a_terminal_is_as_it_was_after_termination() -> None:
    """The cursor is there again, and nothing else is said."""
    with terminal("watch", "--emulator", "--every", "0.05") as shown:
        shown.wait_for("UTC  +0.0")
        shown.process.send_signal(signal.SIGTERM)

        assert 143 == shown.end()
    after = shown.raw.rpartition("\x1b[?25l")[2]
    assert "\x1b[?25h" in after
    assert shown.text.rstrip().endswith("Ctrl-C ends it")


def test_a_dumb_terminal_gets_lines() -> None:
    """What cannot move is not moved."""
    with terminal("watch", "--emulator", "--every", "0.05", TERM="dumb") as shown:
        shown.wait_for("total interest 0.00000012")
        shown.interrupt()

        assert 130 == shown.end()
    assert "\x1b" not in shown.raw


async def test_an_outage_does_not_end_it(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """It is logged once on stderr, and so is its end; a change in between is printed then."""
    with log_on_stderr():
        watching = asyncio.create_task(watch(every=0.05, exchange=ExchangeOptions(), json_=True))
        printed = ""
        while not printed:
            await asyncio.sleep(0.01)
            printed += capsys.readouterr().out
        complaint = ""
        with as_user.outage():
            while "temporary failure" not in complaint:
                await asyncio.sleep(0.01)
                complaint += capsys.readouterr().err
            as_user.user.balance = BALANCE
        while printed.count("\n") < 2:
            await asyncio.sleep(0.01)
            output = capsys.readouterr()
            printed, complaint = printed + output.out, complaint + output.err
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

    assert ["0.01100012", "1234567.123456789"] == [json.loads(line)["amt"] for line in printed.splitlines()]
    first, last = complaint.splitlines()
    assert first.startswith("okx-sol: watch: retrying after a temporary failure: no whole response")
    assert last.startswith("okx-sol: watch: OKX responds again")
