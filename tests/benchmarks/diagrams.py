"""Draws the diagrams: the layers, the steps of a call, the states of a write, and machines that share a limit.

Run ``python -m tests.benchmarks.diagrams`` after a change of either. A test holds that the files are what this draws.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"


class Step(NamedTuple):
    """One box of a diagram."""

    name: str
    text: str


#: From the top down: the names in a row do not import each other.
LAYERS: Final = (
    Step("cli · pytest_plugin", "the command line · the fixtures for pytest"),
    Step("staking · emulator", "one method for each endpoint · the server for tests"),
    Step("session · redis · opentelemetry · prometheus", "what all calls share · RedisLimiter · two observers"),
    Step("checkup · settings", "what okx-sol doctor finds out · what a session can be given"),
    Step("transport", "one call over HTTP: attempts, resends, timeouts, clock"),
    Step("signing", "keys, the signature, and what hides secrets"),
    Step("endpoint", "what an endpoint is: method, path, limit, decoder"),
    Step("ratelimit", "OKX's limits: buckets, queues, pacing, shared slots"),
    Step("codec · config", "from bytes to models · the regions"),
    Step("checks · error_codes", "OKX's codes · what callers pass"),
    Step("errors", "every error"),
    Step("writes", "a write as it is kept in a log"),
    Step("models · error_details", "what OKX returns · what an error knows of its call"),
    Step("version", "the version"),
)
#: What happens to one ``await staking.balance()``, from top to bottom.
CALL: Final = (
    Step("staking/_client.py", "SolStaking.balance() names the endpoint"),
    Step("session.py", "Session.call() makes one Call"),
    Step("transport/_call.py", "Call.run() sends, and sends again if transport/_resend.py says so"),
    Step("your middlewares", "run outside the rate limit"),
    Step("transport/_attempt.py", "Attempt.send(): new for each send, aiohttp's resends too"),
    Step("ratelimit/_bucket.py", "waits for a lease of the user's limit"),
    Step("signing/_signer.py", "Signer adds the signature, and aiohttp sends"),
    Step("codec/", "envelope, then rows, then a Balance"),
)

_WIDTH: Final = 440
_ROW: Final = 56
_GAP: Final = 14
#: Narrow, so that the text can be read on a phone.
_STYLE: Final = """
text { fill: #24303c; font: 13.5px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.name { font-weight: 600; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.small { font-size: 12.5px } .head { font-weight: 600 }
.box { fill: #ffffff; stroke: #aab3bd } .final { fill: #e7f4f2; stroke: #0b7a75 } .open { fill: #fdf1f2; stroke: #d1293d }
.machine { fill: none; stroke: #aab3bd; stroke-dasharray: 5 4 }
.arrow { stroke: #0b7a75; stroke-width: 1.6; fill: none } .ask { stroke: #5562c4; stroke-width: 1.6; fill: none }
.waiting { fill: #0b7a75 }
@media (prefers-color-scheme: dark) {
text { fill: #e4e8ec }
.box { fill: #14181c; stroke: #5a6570 } .final { fill: #102b29; stroke: #3fc9bd } .open { fill: #331a1e; stroke: #ff7282 }
.machine { stroke: #5a6570 }
.arrow { stroke: #3fc9bd } .ask { stroke: #9aa5ff } .waiting { fill: #3fc9bd }
}
"""


def _svg(title: str, height: int, parts: list[str]) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">'
    return "\n".join(
        [head, f'<title id="title">{escape(title)}</title>', f"<style>{_STYLE}</style>", *parts, "</svg>", ""]
    )


def _box(x: int, y: int, width: int, height: int, kind: str, *lines: str) -> list[str]:
    """Return a box with a name and lines of text below it."""
    texts = [
        f'<text class="{"small" if number else "head"}" x="{x + 12}" y="{y + 21 + 18 * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return [f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>', *texts]


def _arrow(x: int, y: int, to_x: int, to_y: int, kind: str = "arrow") -> str:
    """Return an arrow that goes down, up or to the right."""
    if x == to_x:
        up = -1 if to_y > y else 1
        return f'<path class="{kind}" d="M{x} {y}V{to_y}m-4 {5 * up}l4 {-5 * up}l4 {5 * up}"/>'
    return f'<path class="{kind}" d="M{x} {y}L{to_x} {to_y}m-6 -4l6 4l-6 4"/>'


def draw(title: str, steps: tuple[Step, ...]) -> str:
    """Return a diagram as SVG: a column of boxes, each with an arrow to the next."""
    height = len(steps) * (_ROW + _GAP) - _GAP + 2
    parts: list[str] = []
    for number, step in enumerate(steps):
        top = number * (_ROW + _GAP) + 1
        if number:
            parts.append(_arrow(30, top - _GAP, 30, top - 1))
        parts += [
            f'<rect class="box" x="1" y="{top}" width="{_WIDTH - 2}" height="{_ROW}" rx="6"/>',
            f'<text class="name" x="14" y="{top + 23}">{escape(step.name)}</text>',
            f'<text class="small" x="14" y="{top + 43}">{escape(step.text)}</text>',
        ]
    return _svg(title, height, parts)


def draw_write() -> str:
    """Return the states of a write: what is known of it, and what changes that."""
    parts = [
        *_box(1, 1, 438, 48, "box", "purchase() or redeem()", "in the queue, and not in the log yet"),
        *_box(1, 85, 438, 48, "open", "sent", "in the log before its first byte is sent"),
        *_box(43, 175, 158, 66, "final", "taken", "OKX accepted it,", "or its order was found"),
        *_box(239, 175, 200, 66, "open", "unknown", "no response, cancelled,", "or the process ended"),
        *_box(239, 281, 200, 66, "open", "not_seen", "resolve() found no order,", "too early to be final"),
        *_box(239, 387, 200, 66, "final", "not_found", "no order after OKX stopped", "accepting its signature"),
        *_box(1, 387, 200, 66, "final", "no entry", "refused by OKX,", "or nothing was sent"),
        _arrow(100, 49, 100, 84),
        _arrow(100, 133, 100, 174),
        '<text class="small" x="110" y="158">accepted</text>',
        _arrow(338, 133, 338, 174),
        '<text class="small" x="348" y="158">no response</text>',
        _arrow(338, 241, 338, 280),
        '<text class="small" x="348" y="265">resolve()</text>',
        _arrow(338, 347, 338, 386),
        '<text class="small" x="348" y="371">resolve() later</text>',
        '<path class="arrow" d="M239 208H202m6 -4l-6 4l6 4"/>',
        '<path class="arrow" d="M239 314H150V242m-4 5l4 -5l4 5"/>',
        '<text class="small" x="160" y="308">found</text>',
        '<path class="arrow" d="M20 133V386m-4 -5l4 5l4 -5"/>',
        '<text class="small" x="30" y="345">refused</text>',
    ]
    return _svg("The states of a write, from the queue to a final outcome", 456, parts)


def draw_machines() -> str:
    """Return how processes on two machines share one limit."""
    parts = [
        '<rect class="machine" x="1" y="1" width="200" height="172" rx="8"/>',
        '<text class="head" x="13" y="22">Machine A</text>',
        *_box(13, 34, 176, 58, "box", "bot", "4 calls wait in order"),
        *_box(13, 104, 176, 58, "box", "report", "1 call waits"),
        '<rect class="machine" x="1" y="189" width="200" height="104" rx="8"/>',
        '<text class="head" x="13" y="210">Machine B</text>',
        *_box(13, 222, 176, 58, "box", "service", "2 calls wait in order"),
        *_box(
            279,
            14,
            160,
            96,
            "box",
            "Redis or Valkey",
            "slots in use, for each",
            "user and endpoint:",
            "no key, no balance",
        ),
        *_box(279, 210, 160, 76, "box", "OKX", "six calls a second", "for each user"),
    ]
    for queue, y in ((4, 49), (1, 119), (2, 237)):
        parts += [f'<circle class="waiting" cx="{178 - 14 * place}" cy="{y}" r="4.5"/>' for place in range(queue)]
    for y, server, okx in ((50, 36, 228), (120, 62, 248), (238, 90, 268)):
        parts += [_arrow(189, y, 278, server, "ask"), _arrow(189, y + 28, 278, okx)]
    parts += [
        '<path class="ask" d="M13 318h28"/><text class="small" x="50" y="322">reserves a slot and learns its time</text>',
        '<path class="arrow" d="M13 340h28"/><text class="small" x="50" y="344">sends the call to OKX at that time</text>',
    ]
    return _svg("Several processes on two machines share one limit", 356, parts)


DIAGRAMS: Final = {
    "layers.svg": lambda: draw("The layers of the package; imports point down", LAYERS),
    "call.svg": lambda: draw("The steps of one await staking.balance()", CALL),
    "write.svg": draw_write,
    "machines.svg": draw_machines,
}


def main() -> None:
    """Write the diagrams."""
    for name, drawn in DIAGRAMS.items():
        (FOLDER / name).write_text(drawn(), encoding="utf-8")


if __name__ == "__main__":
    main()
