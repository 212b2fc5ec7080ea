"""The plot and the chart of the APY."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async.cli.render._apy_axes import DayAxis, RateAxis, runs
from okx_sol_async.cli.render._apy_plot import plot
from okx_sol_async.cli.render._apy_svg import draw
from okx_sol_async.cli.render._formatting import percent
from okx_sol_async.models import Apy

RATES = st.decimals(0, 2, places=8)
APYS = st.dictionaries(st.integers(0, 364), RATES, min_size=1, max_size=60).map(
    lambda rates: tuple(
        Apy(rate, datetime(2026, 1, 1, 16, tzinfo=UTC) + timedelta(days=day)) for day, rate in rates.items()
    )
)


def daily(days: int) -> tuple[Apy, ...]:
    """Return a yield that rises and falls, for each of these days."""
    newest = datetime(2026, 11, 21, 16, tzinfo=UTC)
    rates = [Decimal("0.0514") + Decimal(day * 37 % 101) / 13_000 for day in range(days)]
    return tuple(Apy(rate, newest - timedelta(days=day)) for day, rate in enumerate(rates))


@given(APYS, st.integers(40, 200), st.booleans())
def test_no_line_of_the_plot_is_wider_than_the_terminal(
    found: tuple[Apy, ...],
    width: int,
    unicode: bool,  # noqa: FBT001
) -> None:
    """Whatever the yields are; without Unicode it is all ASCII."""
    lines = plot(found, width=width, unicode=unicode)

    assert max(map(len, lines)) <= width
    assert unicode or "".join(lines).isascii()


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("days", [2, 7, 30, 90, 365])
def test_the_ticks_of_the_plot_are_evenly_spaced_and_right(days: int, width: int, unicode: bool) -> None:  # noqa: FBT001
    """Each date stands in the middle below its tick, apart from the next; each rate stands on its tick."""
    found = daily(days)
    tick, mark = ("┤", "┬") if unicode else ("+", "+")
    lines = plot(found, width=width, unicode=unicode)
    *rows, axis, names = lines[2:-2] if lines[-2] == "" else lines[2:-4]

    at = [match.start() for match in re.finditer(re.escape(mark), axis)][0 if unicode else 1 :]
    dates = list(re.finditer(r"[-0-9]{10}", names))
    assert at == [match.start() + 5 for match in dates]
    assert len({second - first for first, second in pairwise(at)}) <= 1
    assert all(second - first >= 12 for first, second in pairwise(at))
    shown = [date.fromisoformat(match[0]) for match in dates]
    assert len({second - first for first, second in pairwise(shown)}) <= 1
    assert date(2026, 11, 21) == shown[-1]
    labelled = [(number, Decimal(row.partition(" %")[0])) for number, row in enumerate(rows) if f"% {tick}" in row]
    assert 1 == len({second[0] - first[0] for first, second in pairwise(labelled)})
    assert 1 == len({first[1] - second[1] for first, second in pairwise(labelled)})


@pytest.mark.parametrize("days", [7, 30, 90, 365])
def test_the_peaks_of_the_plot_are_right(days: int) -> None:
    """The highest dot of the line lies where its rate is on the axis, to half a dot."""
    found = daily(days)
    lines = plot(found, width=120, unicode=True)
    rows = [line for line in lines if "┤" in line or "│" in line]
    dots = [
        row * 4 + bit
        for row, line in enumerate(rows)
        for character in re.split("[┤│]", line)[1]
        if (cell := ord(character) - 0x2800) > 0
        for bit, mask in enumerate((0x09, 0x12, 0x24, 0xC0))
        if cell & mask
    ]
    axis = RateAxis.of(found)
    dots_per_step = 4 * (len(rows) - 1) // axis.steps
    highest = axis.high - axis.step * (min(dots) - 1) / dots_per_step

    assert abs(highest - max(one.rate for one in found)) <= axis.step / dots_per_step / 2


@pytest.mark.parametrize("days", [1, 2, 7, 30, 90, 365])
def test_the_dates_of_the_chart_do_not_touch(days: int) -> None:
    """They are evenly spaced, as far apart as they are wide, and inside the picture."""
    picture = ET.fromstring(draw(daily(days), ""))  # noqa: S314 - we have just drawn it
    texts = [element for element in picture.iter() if element.tag.endswith("text")]
    at = [Decimal(text.attrib["x"]) for text in texts if re.fullmatch("[-0-9]{10}", text.text or "")]

    assert at
    assert all(40 <= x <= 760 for x in at)
    assert all(later - earlier >= 95 for earlier, later in pairwise(at))
    assert len({(later - earlier).quantize(Decimal(1)) for earlier, later in pairwise(at)}) <= 1


@given(APYS)
def test_every_yield_has_its_place(found: tuple[Apy, ...]) -> None:
    """The axes reach from below the least to above the greatest."""
    rates, days = RateAxis.of(found), DayAxis.of(found, width=70, min_spacing=12)

    assert all(0 <= rates.place(one.rate) <= rates.steps for one in found)
    assert all(0 <= days.place(one.ts.date()) <= 70 for one in found)
    assert 2 <= len(rates.ticks) <= 8
    assert days.ticks[-1] == days.last
    assert len(days.ticks) <= 7
    assert len({rates.label(tick) for tick in rates.ticks}) == len(rates.ticks)
    ET.fromstring(draw(found, "<&>"))  # noqa: S314 - we have just drawn it


def test_low_and_high_are_named_as_such() -> None:
    """In the plot and in the chart, each with its day."""
    found = daily(30)
    low, high = min(found, key=lambda one: one.rate), max(found, key=lambda one: one.rate)
    for text in ("\n".join(plot(found, width=120, unicode=True)), draw(found, "")):
        assert f"low {percent(low.rate)} on {low.ts.date()}" in text
        assert f"high {percent(high.rate)} on {high.ts.date()}" in text


def test_no_line_is_drawn_over_missing_days() -> None:
    """A missing day is a gap."""
    days = [date(2026, 11, day) for day in (1, 2, 4, 5, 9)]
    found = [Apy(Decimal("0.05"), datetime(day.year, day.month, day.day, 16, tzinfo=UTC)) for day in days]

    assert [[1, 2], [4, 5], [9]] == [[one.ts.day for one in run] for run in runs(reversed(found))]
    assert 3 == draw(found, "").count('class="line"')


def test_no_apy_at_all() -> None:
    """An empty response is reported in words, in the plot and in the chart."""
    assert ["OKX reports no APY for these days"] == plot((), width=80, unicode=True)
    assert "OKX reports no APY for these days" in draw((), "")
