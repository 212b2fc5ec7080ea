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

    from tests.benchmarks.simulation import Arrival

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"

# Window: calls in time.
#: The way of the calls that are drawn, and for how many seconds they are.
DRAWN_WAY: Final = Way("drawn", jitter=0.1)
DRAWN_SECONDS: Final = 3.2
#: When the virtual clock begins.
CLOCK_STARTS: Final = 1000.0

# Share: what is used at each jitter, in milliseconds.
JITTERS: Final = (0, 10, 20, 40, 60, 80, 100, 125, 150, 175, 200, 225, 250, 275, 300)
CALLS: Final = 10_000
LEAST_SHARE: Final = 70

_STYLE: Final = """
text { fill: #24303c; font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.card { fill: #ffffff; stroke: #dfe3e8 }
.title { font-size: 17px; font-weight: 600 }
.head { font-weight: 600 }
.small, .tick { font-size: 13px; fill: #5b6875 }
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
.line.other { fill: none; stroke: #5562c4 }
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
.line.edge { stroke: #8d99a5 }
}
"""


def run() -> Iterator[Line]:
    """Draw them and say where they are."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in {"window.svg": draw_window, "share.svg": draw_share, "moving-up.svg": draw_moving_up}.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
        yield Note(f"docs/images/{name}")


@attrs.define
class _Drawing:
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

_LEFT: Final = 92.0
_SECOND: Final = 198.0
_RADIUS: Final = 4.2
_CALL: Final = 10.0
_LANE: Final = 62.0


def draw_window() -> str:
    """Draw arrivals at a sliding log, and how many came within the second before each moment: ours, and a naive one."""
    drawing = _Drawing(
        "Calls in time against a limit of six in any second",
        "Two rows of calls over three seconds. Above, ours: never more than six calls in the second before, and all are"
        " accepted. Below, AsyncLimiter(6, 1): up to eleven in a second, and what is above six is refused.",
        width=760,
        height=0,
    )
    drawing.text(24, 34, "Calls as they arrive, at a limit of six in any second", "title")
    ours = run_virtual(saturate(TokenBucket(LIMIT), DRAWN_WAY, lambda _: True, 60))
    ours = _begin(arrive([at for at, _ in ours], "sliding log"))
    naive = _begin(arrive(arrival_times(run_virtual(_naive_times(60)), DRAWN_WAY), "sliding log"))
    bottom = _draw_calls(drawing, 70, "okx_sol_async", ours)
    axis = _draw_calls(drawing, bottom + 42, "AsyncLimiter(6, 1)", naive) + 22
    for tenth in range(0, int(DRAWN_SECONDS * 10) + 1, 5):
        drawing.text(_LEFT + tenth / 10 * _SECOND, axis, f"{tenth / 10:g} s", "tick", "middle")
    note = "Each way takes 25 to 125 ms. Red: more than six in a second. A refused call does not count at the server."
    drawing.text(24, axis + 27, note, "small")
    drawing.height = round(axis + 44)
    return str(drawing)


async def _naive_times(calls: int) -> list[float]:
    return await sending_times(AsyncLimiter(REQUESTS, PERIOD).acquire, calls)


def _begin(arrivals: Sequence[Arrival]) -> list[Arrival]:
    return [(at - CLOCK_STARTS, accepted) for at, accepted in arrivals if at < CLOCK_STARTS + DRAWN_SECONDS]


def _draw_calls(drawing: _Drawing, top: float, name: str, arrivals: Sequence[Arrival]) -> float:
    """Draw a row of calls, and below it the count of the last second; return where it ends."""
    right = _LEFT + DRAWN_SECONDS * _SECOND
    counts = _counts([at for at, _ in arrivals])
    bottom = top + _LANE + 18 + max(count for *_, count in counts) * _CALL
    refused = sum(not accepted for _, accepted in arrivals)
    drawing.text(24, top, name, "head")
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
    drawing.text(_LEFT - 10, top + _LANE + 3, "each call", "tick", "end")
    drawing.text(_LEFT - 10, limit + 4.5, "limit: 6", "head", "end")
    drawing.text(_LEFT - 10, bottom - 17, "in the last", "tick", "end")
    drawing.text(_LEFT - 10, bottom - 2, "second", "tick", "end")
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

_PLOT: Final = (64.0, 74.0, 452.0, 330.0)


# Moving up: the reservations of five processes before and after one gives up.
RESERVED: Final = ("A", "B", "C", "D", "E")
GAVE_UP: Final = "B"


def draw_moving_up() -> str:
    """Draw how reservations move up when a call ahead of them gives up."""
    drawing = _Drawing(
        "Reservations move up",
        "Five processes have reserved the slots 1 to 5. When the call of B gives up, C, D and E each get the slot"
        " before theirs, and their processes are notified.",
        720,
        250,
    )
    drawing.text(24, 36, "B gives up: all behind it move up by one slot", "title")
    left, step, top, below = 190.0, 100.0, 84.0, 184.0
    drawing.text(24, top + 5, "reserved", "head")
    drawing.text(24, below + 5, "after B gave up", "head")
    after = [process for process in RESERVED if process != GAVE_UP]
    for slot, process in enumerate(RESERVED):
        x = left + slot * step
        drawing.text(x, 62, f"slot {slot + 1}", "tick", "middle")
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
    drawing.text(24, 226, "The server computes the times anew and notifies C, D and E; slot 5 is free again.", "hint")
    return str(drawing)


def draw_share() -> str:
    """Draw the part of six a second that is used against jitter, with the bound."""
    ways = [Way(f"{jitter} ms", jitter=jitter / 1000) for jitter in JITTERS]
    exact = [run_virtual(saturate(TokenBucket(LIMIT), way, lambda _: True, CALLS)) for way in ways]
    adaptive = [run_virtual(saturate(TokenBucket(LIMIT, lead="adaptive"), way, lambda _: True, CALLS)) for way in ways]
    sent = run_virtual(_spaced_times(CALLS))
    spaced = [judge(arrive(arrival_times(sent, way), "sliding log")) for way in ways]
    ours = {
        'lead="adaptive"': [_judge_again(arrivals) for arrivals in adaptive],
        "lead=0, the default": [_judge_again(arrivals) for arrivals in exact],
    }
    drawing = _Drawing(
        "The part of six calls a second that is used, against jitter",
        "Four lines from no jitter to 300 ms. The bound falls from 100 to 77 per cent; the adaptive lead stays one or two"
        " points below it, and lead=0 three to five. Even spacing falls to 88 per cent with the first jitter and stays"
        " between 84 and 88: an eighth of its calls and more is refused.",
        width=760,
        height=464,
    )
    drawing.text(24, 34, "Calls that are answered, in per cent of six a second", "title")
    x, y, width, height = _PLOT
    for percent in range(LEAST_SHARE, 101, 5):
        at = _share_y(percent / 100)
        drawing.line(x, at, x + width, at, "axis" if percent == LEAST_SHARE else "grid")
        drawing.text(x - 10, at + 4.5, f"{percent} %", "tick", "end")
    for jitter in range(0, 301, 50):
        drawing.text(_share_x(jitter), y + height + 22, f"{jitter} ms", "tick", "middle")
    drawing.text(x + width / 2, y + height + 46, "jitter of each way, on top of 25 ms", "small", "middle")

    bound = [(_share_x(jitter), _share_y(PERIOD / (PERIOD + jitter / 1000))) for jitter in range(0, 301, 5)]
    drawing.curve(bound, "line edge")
    _draw_line(drawing, spaced, "bad")
    for (_, shares), kind in zip(ours.items(), ("other", "good"), strict=True):
        _draw_line(drawing, shares, kind)
    refusals = [round(100 * share.refused / share.calls) for share in spaced if share.refused]
    label = _share_x(JITTERS[-1]) + 14
    drawing.text(label, _share_y(spaced[-1].used) - 2, "AsyncLimiter(1, 1/6)", "head bad")
    drawing.text(label, _share_y(spaced[-1].used) + 16, f"{min(refusals)} to {max(refusals)} % refused", "small")
    lowest = _share_y(PERIOD / (PERIOD + JITTERS[-1] / 1000)) - 4
    drawing.text(label, lowest, "bound: T / (T + jitter)", "hint")
    for row, ((name, shares), kind) in enumerate(zip(ours.items(), ("other", "good"), strict=True)):
        refused = sum(share.refused for share in shares)
        drawing.text(label, lowest + 20 + 20 * row, name, f"head {kind}")
        note = "none refused" if refused == 0 else f"{refused} refused"
        if row == len(ours) - 1:
            drawing.text(label, lowest + 40 + 20 * row, f"{note}, both" if refused == 0 else note, "small")
    return str(drawing)


def _judge_again(arrivals: Sequence[Arrival]) -> Judged:
    return judge(arrive([at for at, _ in arrivals], "sliding log"))


async def _spaced_times(calls: int) -> list[float]:
    return await sending_times(AsyncLimiter(1, PERIOD / REQUESTS).acquire, calls)


def _share_x(jitter: float) -> float:
    return _PLOT[0] + jitter / JITTERS[-1] * _PLOT[2]


def _share_y(share: float) -> float:
    return _PLOT[1] + (100 - 100 * share) / (100 - LEAST_SHARE) * _PLOT[3]


def _draw_line(drawing: _Drawing, shares: Sequence[Judged], kind: str) -> None:
    points = [(_share_x(jitter), _share_y(share.used)) for jitter, share in zip(JITTERS, shares, strict=True)]
    drawing.curve(points, f"line {kind}")
    for x, y in points:
        drawing.dot(x, y, 3, kind)
