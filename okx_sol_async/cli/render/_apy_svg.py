"""The APY as an SVG chart for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import Final

from okx_sol_async.cli.render._apy_axes import DayAxis, RateAxis, day_of, runs, summary
from okx_sol_async.cli.render._formatting import percent
from okx_sol_async.models import Apy

_WIDTH, _HEIGHT = 800, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 736, 76, 316
#: The least pixels between the middles of two dates, which are about 75 wide.
_MIN_SPACING: Final = 95

_STYLE: Final = """\
text { fill: #24303c; font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.card { fill: #ffffff; stroke: #dfe3e8 }
.title { font-size: 17px; font-weight: 600 }
.tick, .small { font-size: 13px; fill: #5b6875 }
.grid { stroke: #e8ebef } .axis { stroke: #aab3bd }
.line { fill: none; stroke: #0b7a75; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.dot { fill: #0b7a75 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e8ec }
.card { fill: #14181c; stroke: #2b3138 }
.tick, .small { fill: #9ea9b4 }
.grid { stroke: #262c33 } .axis { stroke: #5a6570 }
.line { stroke: #3fc9bd } .dot { fill: #3fc9bd }
}"""


def draw(found: Sequence[Apy], source: str) -> str:
    """Return the chart as text.

    Args:
        found: the yields.
        source: where they come from, which is shown in a corner.

    """
    return "\n".join([*_head(found), *(_body(found) if found else []), *_foot(source)]) + "\n"


def _head(found: Sequence[Apy]) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' role="img" aria-labelledby="title description">'
    )
    yield '<title id="title">APY of SOL staking</title>'
    yield f'<desc id="description">{_description(found)}</desc>'
    yield f"<style>\n{_STYLE}\n</style>"
    yield f'<rect x=".5" y=".5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="10" class="card"/>'
    yield '<text x="24" y="34" class="title">APY of SOL staking</text>'
    yield f'<text x="24" y="56" class="small">{_description(found)}</text>'


def _description(found: Sequence[Apy]) -> str:
    if not found:
        return "OKX reports no APY for these days"
    parts = [f"{name} {percent(one.rate)} on {day_of(one)}" for name, one in summary(found)]
    first = min(day_of(one) for one in found)
    return f"{first} to {day_of(summary(found)[0][1])}: {', '.join(parts)}"


def _body(found: Sequence[Apy]) -> Iterator[str]:
    rates = RateAxis.of(found)
    days = DayAxis.of(found, width=_RIGHT - _LEFT, min_spacing=_MIN_SPACING)
    right = _x(days.width)
    for rate in rates.ticks:
        y = _y(rates, rate)
        kind = "axis" if rate == rates.low else "grid"
        yield f'<path d="M{_LEFT} {y}H{right}" class="{kind}"/>'
        yield f'<text x="{_LEFT - 10}" y="{y + Decimal("4.5")}" class="tick" text-anchor="end">{rates.label(rate)}</text>'
    for day in days.ticks:
        x = _x(days.place(day))
        yield f'<path d="M{x} {_BOTTOM}v5" class="axis"/>'
        yield f'<text x="{x}" y="{_BOTTOM + 22}" class="tick" text-anchor="middle">{day}</text>'
    for run in runs(found):
        points = [f"{_x(days.place(day_of(one)))} {_y(rates, one.rate)}" for one in run]
        yield f'<path d="M{"L".join(points)}" class="line"/>'
    latest = summary(found)[0][1]
    yield f'<circle cx="{_x(days.place(day_of(latest)))}" cy="{_y(rates, latest.rate)}" r="4" class="dot"/>'


def _foot(source: str) -> Iterator[str]:
    middle = (_TOP + _BOTTOM) // 2
    yield (
        f'<text x="24" y="{middle}" class="small" text-anchor="middle" transform="rotate(-90 24 {middle})">'
        "APY in per cent</text>"
    )
    yield (
        f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_BOTTOM + 48}" class="small" text-anchor="middle">'
        "day (begins at 16:00 UTC)</text>"
    )
    yield f'<text x="{_WIDTH - 24}" y="{_HEIGHT - 14}" class="small" text-anchor="end">{escape(source)}</text>'
    yield "</svg>"


def _x(place: Decimal) -> Decimal:
    return (_LEFT + place).quantize(Decimal("0.1"))


def _y(rates: RateAxis, rate: Decimal) -> Decimal:
    return (_BOTTOM - rates.place(rate) / rates.steps * (_BOTTOM - _TOP)).quantize(Decimal("0.1"))
