"""``okx-sol history``."""

import csv
import io
import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from okx_sol_async.cli._app import run
from okx_sol_async.emulator import EmulatedOrder, Emulator
from okx_sol_async.emulator.faults import Delay, Refusal
from tests.support.orders import BIG, NOW, orders, set_environment
from tests.support.terminals import terminal

HISTORY = "GET /api/v5/finance/staking-defi/sol/purchase-redeem-history"


@pytest.mark.parametrize("amt", ["1000.12345678", "99999.99999999", "123456789.12345678"])
def test_a_usual_terminal_has_room_for_large_amounts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], amt: str
) -> None:
    """Each order is a line of a table in 80 columns, also beside a time that is estimated."""
    monkeypatch.setenv("COLUMNS", "80")
    with Emulator(now=NOW.timestamp) as exchange:
        exchange.user.add_orders([attrs.evolve(order, amt=Decimal(amt)) for order in orders()])
        set_environment(exchange, monkeypatch)

        assert 0 == run(["history"])

    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "Requested"
    assert 3 == len(lines)
    assert all(amt in line for line in lines)
    assert lines[0].endswith("~2026-11-24 12:00")
    assert max(map(len, [head, *lines])) <= 80


@pytest.mark.parametrize("columns", ["10", "40", "80", "120", "200"])
def test_no_number_of_the_history_is_cut(
    then: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    """A number that has lost digits is another number."""
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == run(["history"])

    words = capsys.readouterr().out.split()
    assert {BIG, "5.00000000", "0.01100012"} <= set(words)


def test_json_and_csv_have_the_same_content(then: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Both have each order of the exchange, with every digit and millisecond."""
    run(["history", "--json"])
    by_json = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    run(["history", "--csv"])
    by_csv = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert [{name: value or "" for name, value in row.items()} for row in by_json] == by_csv
    assert [order.amt for order in orders()] == [Decimal(row["amt"]) for row in by_json]
    assert [order.request_time for order in orders()] == [datetime.fromisoformat(r["request_time"]) for r in by_json]


def test_all_pages_of_a_history(then: Emulator, tmp_path: Path) -> None:
    """Paging is reported on stderr, in a terminal, and the output is the orders and nothing else."""
    then.user.add_orders(
        EmulatedOrder(type="purchase", amt=Decimal(n), request_time=NOW - timedelta(days=50, minutes=n))
        for n in range(1, 248)
    )
    # The first call has a wrong timestamp, the second one brings a page, and the third one is refused.
    then.fail_next(Delay(), times=2, endpoint=HISTORY)
    then.fail_next(Refusal("50011"), endpoint=HISTORY)
    with (tmp_path / "printed").open("wb") as printed:
        key = then.credentials
        with terminal(
            "history",
            "--json",
            stdout=printed.fileno(),
            OKX_API_KEY=key.api_key,
            OKX_SECRET_KEY=key.secret_key,
            OKX_PASSPHRASE=key.passphrase,
            OKX_BASE_URL=then.url,
        ) as shown:
            assert 0 == shown.end()

    assert 250 == len([json.loads(line) for line in (tmp_path / "printed").read_text().splitlines()])
    assert "100 orders, back to 2026-10-03" in shown.text
    # What is logged meanwhile has a line of its own.
    assert re.search(r"[\r\n]okx-sol: OKX refused [^⠋]+\r\n", shown.text)
    assert "200 orders" in shown.text
    # The line is gone in the end, and the cursor is there again.
    assert shown.raw.endswith("\x1b[2K")
    assert "\x1b[?25h" in shown.raw.rpartition("\x1b[?25l")[2]


def test_a_history_without_orders(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a sentence and no empty table."""
    assert 0 == run(["history"])

    assert "no purchases and no redemptions\n" == capsys.readouterr().out


def test_pages_are_not_reported_where_there_is_no_terminal(then: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A script gets its orders, and stderr is for what a person has to do."""
    then.user.add_orders(
        EmulatedOrder(type="purchase", amt=Decimal(n), request_time=NOW - timedelta(days=50, minutes=n))
        for n in range(1, 101)
    )

    assert 0 == run(["history", "--json"])

    output = capsys.readouterr()
    assert 103 == len(output.out.splitlines())
    assert "orders" not in output.err
