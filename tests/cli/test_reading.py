import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from okx_sol_async.cli import run
from okx_sol_async.cli.axes import Days, Rates, runs
from okx_sol_async.cli.chart import draw
from okx_sol_async.cli.forms import percent, time_of
from okx_sol_async.cli.plot import plot
from okx_sol_async.emulator import EmulatedOrder, Emulator
from okx_sol_async.emulator.faults import Delay, Refusal
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Apy
from tests.support.terminals import terminal

HISTORY = "GET /api/v5/finance/staking-defi/sol/purchase-redeem-history"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BIG = "1234567.123456789"


def orders() -> list[EmulatedOrder]:
    return [
        EmulatedOrder(
            type="redeem",
            amt=Decimal(BIG),
            request_time=NOW - timedelta(hours=3),
            status="pending",
            est_completed_time=NOW + timedelta(days=2),
            redeeming_amt=Decimal(BIG),
            ord_id="1579252543489413120",
        ),
        EmulatedOrder(
            type="purchase", amt=Decimal(5), request_time=NOW - timedelta(days=3, milliseconds=1), status="failed"
        ),
        EmulatedOrder(
            type="purchase",
            amt=Decimal("0.01100012"),
            request_time=NOW - timedelta(days=40),
            completed_time=NOW - timedelta(days=40, seconds=-1),
        ),
    ]


def name_in_environment(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    key = exchange.credentials
    for name, value in {
        "OKX_API_KEY": key.api_key,
        "OKX_SECRET_KEY": key.secret_key,
        "OKX_PASSPHRASE": key.passphrase,
        "OKX_BASE_URL": exchange.url,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(name="then")
def _then(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Serve an exchange at which it is always the same moment, and name it in the environment."""
    with Emulator(now=NOW.timestamp) as exchange:
        exchange.user.add_orders(orders())
        name_in_environment(exchange, monkeypatch)
        for name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        yield exchange


@pytest.mark.parametrize("columns", ["40", "80", "120", "140"])
@pytest.mark.parametrize("arguments", ["balance", "product", "history", "apy", "apy --days 365", "apy --days 7"])
def test_what_people_see(
    then: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
    arguments: str,
    columns: str,
) -> None:
    """What is printed fits terminals of usual widths, and is known to the letter."""
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == run(arguments.split())

    printed = capsys.readouterr().out
    assert columns == "40" or max(map(len, printed.splitlines())) <= int(columns)
    assert snapshot == printed


@pytest.mark.parametrize("amt", ["1000.12345678", "99999.99999999", "123456789.12345678"])
def test_a_usual_terminal_has_room_for_large_amounts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], amt: str
) -> None:
    """Each order is a line of a table in 80 columns, also beside a time that is estimated."""
    monkeypatch.setenv("COLUMNS", "80")
    with Emulator(now=NOW.timestamp) as exchange:
        exchange.user.add_orders([attrs.evolve(order, amt=Decimal(amt)) for order in orders()])
        name_in_environment(exchange, monkeypatch)

        assert 0 == run(["history"])

    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "request_time"
    assert 3 == len(lines)
    assert all(amt in line for line in lines)
    assert lines[0].endswith("est. 2026-11-24 12:00")
    assert max(map(len, [head, *lines])) <= 80


@pytest.mark.parametrize("colour", ["FORCE_COLOR", "NO_COLOR"])
def test_what_people_see_in_colour(
    then: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
    colour: str,
) -> None:
    """What is pending or has failed stands out, in colours of the terminal's own, unless somebody wants none."""
    monkeypatch.setenv(colour, "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")

    assert 0 == run(["history"])

    assert snapshot == capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        "product --json",
        "history --json",
        "history --csv",
        "history --type purchase --status success",
        "history --since 2026-10-13 --until 2026-11-22",
        "history --limit 1 --json",
        "apy --days 3 --json",
        "apy --days 3 --csv",
        "apy --days 1",
    ],
)
def test_what_programs_read(
    then: Emulator, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion, arguments: str
) -> None:
    """Machine formats are exact, whatever the width is, and known to the letter."""
    assert 0 == run(arguments.split())

    assert snapshot == capsys.readouterr().out


@pytest.mark.parametrize("columns", ["10", "40", "80", "120", "200"])
def test_no_number_of_the_history_is_cut(
    then: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    """A number that has lost digits is another number."""
    monkeypatch.setenv("COLUMNS", columns)

    assert 0 == run(["history"])

    words = capsys.readouterr().out.split()
    assert {BIG, "5.00000000", "0.01100012"} <= set(words)


def test_json_and_csv_tell_the_same(then: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Both have each order of the exchange, with every digit and millisecond."""
    run(["history", "--json"])
    by_json = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    run(["history", "--csv"])
    by_csv = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    assert [{name: value or "" for name, value in row.items()} for row in by_json] == by_csv
    assert [order.amt for order in orders()] == [Decimal(row["amt"]) for row in by_json]
    assert [order.request_time for order in orders()] == [datetime.fromisoformat(r["request_time"]) for r in by_json]


def test_all_pages_of_a_history(then: Emulator, tmp_path: Path) -> None:
    """Paging is told on stderr, in a terminal, and what is printed is the orders and nothing else."""
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
    assert re.search(r"100 orders, back to [-0-9]+ [:0-9]+ UTC\rokx-sol: OKX refused ", shown.text)
    assert "200 orders" in shown.text
    # The line is gone in the end, and the cursor is there again.
    assert shown.raw.endswith("\x1b[2K")
    assert "\x1b[?25h" in shown.raw.rpartition("\x1b[?25l")[2]


def test_the_apy_takes_no_key(then: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is public."""
    for name in ("OKX_API_KEY", "OKX_SECRET_KEY", "OKX_PASSPHRASE"):
        monkeypatch.delenv(name)

    assert 0 == run(["apy"])
    assert 2 == run(["product"])


@pytest.mark.parametrize("command", ["balance", "product", "history", "apy", "purchase 1 --yes", "redeem 0.01 --yes"])
def test_there_is_something_to_see_without_an_account(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """The local exchange of the command line has a user who has done something."""
    assert 0 == run([*command.split(), "--emulator"])
    assert "no " not in capsys.readouterr().out


def test_a_chart_in_a_file(
    then: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion
) -> None:
    """The picture is well-formed, has words for those who do not see it, and colours for dark and for light."""
    path = tmp_path / "apy.svg"

    assert 0 == run(["apy", "--days", "30", "--svg", str(path)])

    assert "" == capsys.readouterr().out
    assert snapshot == path.read_text(encoding="utf-8").replace(then.url, "https://openapi.okx.com")
    picture = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - we have just drawn it
    texts = [element.text for element in picture.iter() if element.tag.endswith(("text", "desc"))]
    assert texts[0] == texts[2]
    assert {"APY in per cent", "day, which begins at 16:00 UTC", "2026-11-21"} <= set(texts)
    assert "prefers-color-scheme: dark" in path.read_text(encoding="utf-8")


def test_a_chart_that_cannot_be_written(then: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named."""
    file = tmp_path / "file"
    file.touch()

    assert 1 == run(["apy", "--svg", str(file / "apy.svg")])
    assert f"okx-sol: cannot write {file}/apy.svg: Not a directory\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "history --json --csv",
        "apy --json --csv",
        "apy --json --svg /dev/null",
        "apy --days 0",
        "apy --days 366",
        "apy --days many",
        "history --since yesterday",
        "history --until 22.11.2026",
        "history --limit 0",
        "history --type gift",
        "history --status fine",
        "watch --every 0",
        "watch --every nan",
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    then: Emulator, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    """Nothing is sent, and one or two lines say what is wrong."""
    assert 2 == run(arguments.split())

    output = capsys.readouterr()
    assert "" == output.out
    assert 1 <= len(output.err.splitlines()) <= 2
    assert 0 == then.tally().received


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22 16:00", datetime(2026, 11, 22, 16, tzinfo=UTC)),
        ("2026-11-22 16:00 UTC", datetime(2026, 11, 22, 16, tzinfo=UTC)),
        ("2026-11-22T16:00:00.001Z", datetime(2026, 11, 22, 16, 0, 0, 1000, tzinfo=UTC)),
        ("2026-11-23T00:00+08:00", datetime(2026, 11, 22, 16, tzinfo=UTC)),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, at: datetime) -> None:
    """What the command prints can be given back to it."""
    assert at == time_of("--since", text)


def test_a_time_that_is_none_is_refused() -> None:
    """The option is named."""
    with pytest.raises(ConfigurationError, match="--since must be a time"):
        time_of("--since", "soon")


RATES = st.decimals(0, 2, places=8)


@given(RATES)
def test_per_cents_are_exact(rate: Decimal) -> None:
    """No digit is lost on the way from a fraction to per cent."""
    text = percent(rate)

    assert rate * 100 == Decimal(text.removesuffix(" %"))
    assert len(text.partition(".")[2]) >= 4


APYS = st.dictionaries(st.integers(0, 364), RATES, min_size=1, max_size=60).map(
    lambda rates: tuple(
        Apy(rate, datetime(2026, 1, 1, 16, tzinfo=UTC) + timedelta(days=day)) for day, rate in rates.items()
    )
)


@given(APYS, st.integers(40, 200), st.booleans())
def test_a_plot_is_as_wide_as_the_terminal(found: tuple[Apy, ...], width: int, unicode: bool) -> None:  # noqa: FBT001
    """Whatever the yields are, no line is wider, and each day from the first to the last has its place."""
    lines = plot(found, width=width, height=15, unicode=unicode)

    assert max(map(len, lines)) <= width
    assert unicode or "".join(lines).isascii()


@given(APYS)
def test_every_yield_has_its_place(found: tuple[Apy, ...]) -> None:
    """The axes reach from below the least to above the greatest."""
    rates, days = Rates.around(one.rate for one in found), Days.of(found)

    assert all(0 <= rates.place(one.rate) <= 1 for one in found)
    assert all(0 <= days.place(one.ts.date()) <= 1 for one in found)
    assert 2 <= len(rates.ticks) <= 8
    assert days.ticks(5)[-1] == days.last
    assert len(days.ticks(5)) <= 5
    assert len({rates.label(tick) for tick in rates.ticks}) == len(rates.ticks)
    ET.fromstring(draw(found, "<&>"))  # noqa: S314 - we have just drawn it


def test_no_line_is_drawn_over_days_that_nobody_told() -> None:
    """A missing day is a gap."""
    days = [date(2026, 11, day) for day in (1, 2, 4, 5, 9)]
    found = [Apy(Decimal("0.05"), datetime(day.year, day.month, day.day, 16, tzinfo=UTC)) for day in days]

    assert [[1, 2], [4, 5], [9]] == [[one.ts.day for one in run] for run in runs(reversed(found))]
    assert 3 == draw(found, "").count('class="line"')


def test_no_apy_at_all() -> None:
    """An empty answer is said to be empty, in words and in the picture."""
    assert ["no APY is told"] == plot((), width=80, height=15, unicode=True)
    assert "No APY is told." in draw((), "")
