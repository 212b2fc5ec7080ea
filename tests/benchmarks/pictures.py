"""Draws the pictures of docs/evidence.md, the same ones each time.

They are written by hand, so that no plotting library is needed, and follow the reader's choice of light or dark.
"""

from __future__ import annotations

from bisect import bisect_right
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from aiolimiter import AsyncLimiter

from okx_sol_async import TokenBucket
from tests.benchmarks.report import Line, Note
from tests.benchmarks.rivals import RIVALS
from tests.benchmarks.simulation import (
    LIMIT,
    PERIOD,
    REQUESTS,
    Judged,
    Way,
    arrival_times,
    arrive,
    judge,
    saturate,
    sending_times,
)
from tests.support.virtual_time import run as run_virtual

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.limits import Lead
    from tests.benchmarks.simulation import Arrival

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"

#: Narrow, so that the text can be read on a phone.
WIDTH: Final = 440

# Window: calls in time.
#: The way of the calls that are drawn, and for how many seconds they are.
DRAWN_WAY: Final = Way("drawn", jitter=0.1)
DRAWN_SECONDS: Final = 3.2
#: When the virtual clock begins.
CLOCK_STARTS: Final = 1000.0

# Share: what is used at each jitter, in milliseconds.
JITTERS: Final = (0, 10, 20, 40, 60, 80, 100, 125, 150, 175, 200, 225, 250, 275, 300)
CALLS: Final = 10_000

_STYLE: Final = """
text { fill: #24303c; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.card { fill: #ffffff; stroke: #dfe3e8 }
.title { font-size: 15px; font-weight: 600 }
.head { font-weight: 600 }
.small, .tick { font-size: 12px; fill: #5b6875 }
.grid { stroke: #e8ebef; fill: none }
.axis { stroke: #aab3bd; fill: none }
.good { fill: #0b7a75 } .bad { fill: #d1293d } .other { fill: #5562c4 }
.area, .over, .band { shape-rendering: crispEdges }
.area { fill: #0b7a75; fill-opacity: .16 }
.over { fill: #d1293d; fill-opacity: .30 }
.band { fill: #d1293d; fill-opacity: .08 }
.cross { stroke: #d1293d; stroke-width: 2.4; stroke-linecap: round; fill: none }
.limit { stroke: #24303c; stroke-width: 1.4; stroke-dasharray: 5 4; fill: none }
.line { fill: none; stroke-width: 2.6; stroke-linejoin: round; stroke-linecap: round }
.line.good { fill: none; stroke: #0b7a75 } .line.bad { fill: none; stroke: #d1293d }
.line.other { fill: none; stroke: #5562c4 } .line.hint { fill: none; stroke: #5b6875 }
.line.edge { stroke: #7c8894; stroke-width: 1.8; stroke-dasharray: 2 5 }
.hint { fill: #5b6875 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e8ec }
.card { fill: #14181c; stroke: #2b3138 }
.small, .tick, .hint { fill: #9ea9b4 }
.grid { stroke: #262c33 } .axis { stroke: #5a6570 }
.good { fill: #3fc9bd } .bad { fill: #ff7282 } .other { fill: #9aa5ff }
.area { fill: #3fc9bd; fill-opacity: .20 } .over { fill: #ff7282; fill-opacity: .36 } .band { fill: #ff7282 }
.cross { stroke: #ff7282 } .limit { stroke: #e4e8ec }
.line.good { stroke: #3fc9bd } .line.bad { stroke: #ff7282 } .line.other { stroke: #9aa5ff }
.line.edge { stroke: #8d99a5 } .line.hint { stroke: #9ea9b4 }
}
"""


def run() -> Iterator[Line]:
    """Draw them and say where they are."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in {"window.svg": draw_window, "share.svg": draw_share, "moving-up.svg": draw_moving_up}.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
        yield Note(f"docs/images/{name}")


@attrs.define
class Drawing:
    title: str
    description: str
    width: int
    height: int
    parts: list[str] = attrs.field(factory=list)

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text, quote=False)}</text>'
        )

    def line(self, x: float, y: float, to_x: float, to_y: float, kind: str) -> None:
        self.parts.append(f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" class="{kind}"/>')

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        self.parts.append(f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" class="{kind}"/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>')

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{kind}"/>')

    def cross(self, x: float, y: float, radius: float) -> None:
        self.parts.append(
            f'<path d="M{x - radius:.1f} {y - radius:.1f}l{2 * radius:g} {2 * radius:g}'
            f'm0 {-2 * radius:g}l{-2 * radius:g} {2 * radius:g}" class="cross"/>'
        )

    def __str__(self) -> str:
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title description">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="description">{escape(self.description)}</desc>',
                f"<style>{_STYLE}</style>",
                f'<rect x=".5" y=".5" width="{self.width - 1}" height="{self.height - 1}" rx="10" class="card"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


# Calls in time.

_LEFT: Final = 78.0
_SECOND: Final = 110.0
_RADIUS: Final = 2.9
_CALL: Final = 10.0
_LANE: Final = 56.0


def draw_window() -> str:
    """Draw arrivals at a sliding log, and how many came within the second before each moment: ours, and a naive one."""
    drawing = Drawing(
        "Calls in time against a limit of six in any second",
        "Two rows of calls over three seconds. Above, ours: never more than six calls in the second before, and all are"
        " accepted. Below, AsyncLimiter(6, 1): up to eleven in a second, and what is above six is refused.",
        width=WIDTH,
        height=0,
    )
    drawing.text(14, 28, "Calls as they arrive at a limit of six a second", "title")
    ours = run_virtual(saturate(TokenBucket(LIMIT), DRAWN_WAY, lambda _: True, 60))
    ours = _begin(arrive([at for at, _ in ours], "sliding log"))
    naive = _begin(arrive(arrival_times(run_virtual(_naive_times(60)), DRAWN_WAY), "sliding log"))
    bottom = _draw_calls(drawing, 60, "okx_sol_async", ours)
    axis = _draw_calls(drawing, bottom + 42, "AsyncLimiter(6, 1)", naive) + 22
    for tenth in range(0, int(DRAWN_SECONDS * 10) + 1, 5):
        drawing.text(_LEFT + tenth / 10 * _SECOND, axis, f"{tenth / 10:g} s", "tick", "middle")
    drawing.text(14, axis + 24, "Each way takes 25 to 125 ms. Red: more than six in a second.", "small")
    drawing.text(14, axis + 41, "The server does not count refused calls.", "small")
    drawing.height = round(axis + 54)
    return str(drawing)


async def _naive_times(calls: int) -> list[float]:
    return await sending_times(AsyncLimiter(REQUESTS, PERIOD).acquire, calls)


def _begin(arrivals: Sequence[Arrival]) -> list[Arrival]:
    return [(at - CLOCK_STARTS, accepted) for at, accepted in arrivals if at < CLOCK_STARTS + DRAWN_SECONDS]


def _draw_calls(drawing: Drawing, top: float, name: str, arrivals: Sequence[Arrival]) -> float:
    """Draw a row of calls, and below it the count of the last second; return where it ends."""
    right = _LEFT + DRAWN_SECONDS * _SECOND
    counts = _counts([at for at, _ in arrivals])
    bottom = top + _LANE + 18 + max(count for *_, count in counts) * _CALL
    refused = sum(not accepted for _, accepted in arrivals)
    drawing.text(14, top, name, "head")
    outcome = f"{refused} of {len(arrivals)} refused" if refused else f"all {len(arrivals)} accepted"
    drawing.text(right, top, outcome, "head bad" if refused else "head good", "end")
    for half in range(int(DRAWN_SECONDS * 2) + 1):
        drawing.line(_LEFT + half / 2 * _SECOND, top + 12, _LEFT + half / 2 * _SECOND, bottom, "grid")
    for begin, end, count in counts:
        x, width = _LEFT + begin * _SECOND, (end - begin) * _SECOND
        if count > REQUESTS:
            drawing.box(x, top + 12, width, bottom - top - 12, "band")
            drawing.box(x, bottom - count * _CALL, width, (count - REQUESTS) * _CALL, "over")
        drawing.box(x, bottom - min(count, REQUESTS) * _CALL, width, min(count, REQUESTS) * _CALL, "area")
    for at, accepted, row in _stacked(arrivals):
        x, y = _LEFT + at * _SECOND, top + _LANE + 2 - row * (2 * _RADIUS + 1)
        if accepted:
            drawing.dot(x, y, _RADIUS, "good")
        else:
            drawing.cross(x, y, _RADIUS - 0.8)
    drawing.line(_LEFT, bottom, right, bottom, "axis")
    limit = bottom - REQUESTS * _CALL
    drawing.line(_LEFT, limit, right, limit, "limit")
    drawing.text(_LEFT - 8, top + _LANE + 3, "each call", "tick", "end")
    drawing.text(_LEFT - 8, limit + 4.5, "limit: 6", "head", "end")
    drawing.text(_LEFT - 8, bottom - 17, "in the last", "tick", "end")
    drawing.text(_LEFT - 8, bottom - 2, "second", "tick", "end")
    return bottom


def _counts(times: Sequence[float]) -> list[tuple[float, float, int]]:
    """Return stretches of time with how many calls came in the second before each moment of them."""
    borders = sorted({0.0, DRAWN_SECONDS, *times, *(at + PERIOD for at in times if at + PERIOD < DRAWN_SECONDS)})
    return [
        (begin, end, bisect_right(times, begin) - bisect_right(times, begin - PERIOD))
        for begin, end in pairwise(borders)
    ]


def _stacked(arrivals: Sequence[Arrival]) -> Iterator[tuple[float, bool, int]]:
    """Put calls that would cover each other one above the other."""
    ends: list[float] = []
    for at, accepted in arrivals:
        x = at * _SECOND
        row = next((row for row, end in enumerate(ends) if end <= x), len(ends))
        ends[row : row + 1] = [x + 2 * _RADIUS + 0.6]
        yield at, accepted, row


# The used share.

# Moving up: the reservations of five processes before and after one gives up.
RESERVED: Final = ("A", "B", "C", "D", "E")
GAVE_UP: Final = "B"


def draw_moving_up() -> str:
    """Draw how reservations move up when a call ahead of them gives up."""
    drawing = Drawing(
        "Reservations move up",
        "Five processes have reserved the slots 1 to 5. When the call of B gives up, C, D and E each get the slot"
        " before theirs, and their processes are notified.",
        WIDTH,
        232,
    )
    drawing.text(14, 28, "B gives up: all behind it move up by one slot", "title")
    left, step, top, below = 126.0, 66.0, 76.0, 164.0
    drawing.text(14, top + 5, "reserved", "head")
    drawing.text(14, below + 5, "afterwards", "head")
    after = [process for process in RESERVED if process != GAVE_UP]
    for slot, process in enumerate(RESERVED):
        x = left + slot * step
        drawing.text(x, 54, f"slot {slot + 1}", "tick", "middle")
        gone = process == GAVE_UP
        if gone:
            drawing.cross(x, top, 9)
        else:
            moved = left + after.index(process) * step
            drawing.line(x, top + 18, moved, below - 18, "axis")
            drawing.dot(x, top, 13, "other")
            drawing.dot(moved, below, 13, "good")
            drawing.text(moved + 20, below + 5, process, "small")
        drawing.text(x + 20, top + 5, process, "small")
    drawing.text(14, 206, "The server computes the times anew and notifies C, D and E.", "small")
    drawing.text(14, 222, "Slot 5 is free again.", "small")
    return str(drawing)


def draw_share() -> str:
    """Draw what each limiter costs against jitter: the calls that are refused, and those that are accepted."""
    ways = [Way(f"{jitter} ms", jitter=jitter / 1000) for jitter in JITTERS]
    lines = {
        "AsyncLimiter(1, 1/6)": ("bad", _judge_rival("AsyncLimiter(1, 1/6)", ways)),
        "log of send times": ("hint", _judge_rival("send log", ways)),
        'okx_sol_async, lead="adaptive"': ("other", _judge_ours("adaptive", ways)),
        "okx_sol_async, lead=0 (default)": ("good", _judge_ours(0.0, ways)),
    }
    drawing = Drawing(
        "Refused and accepted calls against jitter",
        "Two plots from no jitter to 300 ms. Above, refused calls: none with okx_sol_async, 12 to 16 per cent with"
        " AsyncLimiter(1, 1/6), 21 per cent with a log of send times, from the first jitter on. Below, accepted calls in"
        " per cent of six a second: okx_sol_async falls from 95 to 74, near the bound of what is possible without"
        " refusals.",
        width=WIDTH,
        height=590,
    )
    drawing.text(14, 28, "Calls without pause, against jitter", "title")
    for row, (name, (kind, _)) in enumerate(lines.items()):
        drawing.dot(20, 48 + 18 * row, 4, kind)
        drawing.text(32, 52 + 18 * row, name, "small")
    refused, accepted = _Plot(166, 150, 0, 25), _Plot(376, 160, 70, 100)
    _draw_axes(drawing, refused, "Refused by OKX, % of the calls")
    _draw_axes(drawing, accepted, "Accepted, % of six a second")
    bound = [(_share_x(jitter), accepted.y(100 * PERIOD / (PERIOD + jitter / 1000))) for jitter in range(0, 301, 5)]
    drawing.curve(bound, "line edge")
    drawing.line(14, 48 + 18 * len(lines), 26, 48 + 18 * len(lines), "line edge")
    drawing.text(32, 52 + 18 * len(lines), "bound of any limiter that is never refused", "small")
    for kind, shares in lines.values():
        _draw_line(drawing, [refused.y(100 * share.refused / share.calls) for share in shares], kind)
        _draw_line(drawing, [accepted.y(100 * share.used) for share in shares], kind)
    drawing.text(WIDTH / 2, 574, "jitter each way in ms, on top of 25 ms", "small", "middle")
    return str(drawing)


@attrs.frozen
class _Plot:
    """A plot of percentages: where it is, and its lowest and highest value."""

    top: float
    height: float
    least: float
    most: float

    def y(self, percent: float) -> float:
        return self.top + (self.most - percent) / (self.most - self.least) * self.height


def _draw_axes(drawing: Drawing, plot: _Plot, title: str) -> None:
    drawing.text(14, plot.top - 12, title, "head")
    for percent in range(round(plot.least), round(plot.most) + 1, 5):
        drawing.line(_share_x(0), plot.y(percent), _share_x(300), plot.y(percent), "grid")
        drawing.text(_share_x(0) - 8, plot.y(percent) + 4, f"{percent}", "tick", "end")
    for jitter in range(0, 301, 50):
        drawing.text(_share_x(jitter), plot.top + plot.height + 18, f"{jitter}", "tick", "middle")


def _judge_ours(lead: Lead, ways: Sequence[Way]) -> list[Judged]:
    runs = [run_virtual(saturate(TokenBucket(LIMIT, lead=lead), way, lambda _: True, CALLS)) for way in ways]
    return [_judge_again(arrivals) for arrivals in runs]


def _judge_rival(name: str, ways: Sequence[Way]) -> list[Judged]:
    async def send() -> list[float]:
        return await sending_times(RIVALS[name](), CALLS)

    sent = run_virtual(send())
    return [judge(arrive(arrival_times(sent, way), "sliding log")) for way in ways]


def _judge_again(arrivals: Sequence[Arrival]) -> Judged:
    return judge(arrive([at for at, _ in arrivals], "sliding log"))


def _share_x(jitter: float) -> float:
    return 44 + jitter / JITTERS[-1] * 376


def _draw_line(drawing: Drawing, heights: Sequence[float], kind: str) -> None:
    points = [(_share_x(jitter), height) for jitter, height in zip(JITTERS, heights, strict=True)]
    drawing.curve(points, f"line {kind}")
    for x, y in points:
        drawing.dot(x, y, 2.4, kind)
