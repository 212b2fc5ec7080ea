"""The APY as a picture: SVG that is readable on black and on white."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from typing import Final

from okx_sol_async.cli.axes import Days, Rates, day_of, runs
from okx_sol_async.cli.forms import percent
from okx_sol_async.models import Apy

_WIDTH, _HEIGHT = 800, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 776, 76, 316
_LABEL_WIDTH: Final = 90

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
    """Return the picture as text.

    Args:
        found: the yields.
        source: who told them, to be named in the picture.

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
        return "No APY is told."
    days = Days.of(found)
    rates = [one.rate for one in found]
    latest = max(found, key=lambda one: one.ts).rate
    return f"{days.first} to {days.last}: from {percent(min(rates))} to {percent(max(rates))}, the latest {percent(latest)}"


def _body(found: Sequence[Apy]) -> Iterator[str]:
    rates, days = Rates.around(one.rate for one in found), Days.of(found)
    for rate in rates.ticks:
        y = _y(rates.place(rate))
        kind = "axis" if rate == rates.low else "grid"
        yield f'<path d="M{_LEFT} {y}H{_RIGHT}" class="{kind}"/>'
        yield f'<text x="{_LEFT - 10}" y="{y + Decimal("4.5")}" class="tick" text-anchor="end">{rates.label(rate)}</text>'
    for day in days.ticks((_RIGHT - _LEFT) // _LABEL_WIDTH):
        x = _x(days.place(day))
        # The last one ends where the picture does.
        anchor = "end" if day == days.last else "middle" if x - _LEFT > _LABEL_WIDTH // 2 else "start"
        yield f'<path d="M{x} {_BOTTOM}v5" class="axis"/>'
        yield f'<text x="{x}" y="{_BOTTOM + 22}" class="tick" text-anchor="{anchor}">{day}</text>'
    for run in runs(found):
        points = [f"{_x(days.place(day_of(one)))} {_y(rates.place(one.rate))}" for one in run]
        yield f'<path d="M{"L".join(points)}" class="line"/>'
    latest = max(found, key=lambda one: one.ts)
    yield f'<circle cx="{_x(days.place(day_of(latest)))}" cy="{_y(rates.place(latest.rate))}" r="4" class="dot"/>'


def _foot(source: str) -> Iterator[str]:
    middle = (_TOP + _BOTTOM) // 2
    yield (
        f'<text x="24" y="{middle}" class="small" text-anchor="middle" transform="rotate(-90 24 {middle})">'
        "APY in per cent</text>"
    )
    yield (
        f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_BOTTOM + 48}" class="small" text-anchor="middle">'
        "day, which begins at 16:00 UTC</text>"
    )
    yield f'<text x="{_RIGHT}" y="{_HEIGHT - 14}" class="small" text-anchor="end">{escape(source)}</text>'
    yield "</svg>"


def _x(place: Decimal) -> Decimal:
    return (_LEFT + place * (_RIGHT - _LEFT)).quantize(Decimal("0.1"))


def _y(place: Decimal) -> Decimal:
    return (_BOTTOM - place * (_BOTTOM - _TOP)).quantize(Decimal("0.1"))
