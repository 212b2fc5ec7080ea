"""Draws the diagrams of docs/design.md: the layers of the package, and the steps of a call.

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
    Step("staking · emulator", "one method for each endpoint of SOL staking · the local exchange"),
    Step("session · redis · opentelemetry · prometheus", "what all calls share · RedisLimiter · two observers"),
    Step("checkup", "what okx-sol doctor finds out"),
    Step("transport", "one call over HTTP: attempts, resends, timeouts, the clock, failures"),
    Step("signing", "keys, the signature, and what hides secrets"),
    Step("endpoint", "what an endpoint is: method, path, limit, decoder"),
    Step("ratelimit", "OKX's limits: buckets, queues, pacing, and slots shared over machines"),
    Step("codec · config", "from bytes to models · regions, environment, base URL"),
    Step("_checks", "numbers that callers pass"),
    Step("errors", "every error, and what OKX's codes mean"),
    Step("writes", "a write as it is kept in a log"),
    Step("models", "what OKX returns"),
    Step("version", "the version"),
)
#: What happens to one ``await staking.balance()``, from top to bottom.
CALL: Final = (
    Step("staking/client.py", "SolStaking.balance() names the endpoint"),
    Step("session.py", "Session.call() makes one Call"),
    Step("transport/call.py", "Call.run() sends, and sends again if transport/resend.py says so"),
    Step("your middlewares", "run outside the rate limit"),
    Step("transport/attempt.py", "Attempt.send(): new for each send, also for one that aiohttp repeats"),
    Step("ratelimit/bucket.py", "waits for a lease of the user's limit"),
    Step("signing/signer.py", "Signer adds the signature, and aiohttp sends"),
    Step("codec/", "envelope, then rows, then a Balance"),
)

_WIDTH: Final = 760
_ROW: Final = 46
_GAP: Final = 12
_STYLE: Final = """
text { fill: #24303c; font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
.name { font-weight: 600; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.box { fill: #ffffff; stroke: #aab3bd }
.arrow { stroke: #0b7a75; stroke-width: 1.6; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e4e8ec }
.box { fill: #14181c; stroke: #5a6570 }
.arrow { stroke: #3fc9bd }
}
"""


def draw(title: str, steps: tuple[Step, ...]) -> str:
    """Return a diagram as SVG: a column of boxes, each with an arrow to the next."""
    height = len(steps) * (_ROW + _GAP) - _GAP + 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        f"<style>{_STYLE}</style>",
    ]
    for number, step in enumerate(steps):
        top = number * (_ROW + _GAP) + 1
        if number:
            parts.append(f'<path class="arrow" d="M30 {top - _GAP}v{_GAP - 1}m-4 -5l4 5l4 -5"/>')
        parts += [
            f'<rect class="box" x="1" y="{top}" width="{_WIDTH - 2}" height="{_ROW}" rx="6"/>',
            f'<text class="name" x="16" y="{top + 28}">{escape(step.name)}</text>',
            f'<text x="236" y="{top + 28}">{escape(step.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


DIAGRAMS: Final = {
    "layers.svg": ("The layers of the package; imports point down", LAYERS),
    "call.svg": ("The steps of one await staking.balance()", CALL),
}


def main() -> None:
    """Write the diagrams."""
    for name, diagram in DIAGRAMS.items():
        (FOLDER / name).write_text(draw(*diagram), encoding="utf-8")


if __name__ == "__main__":
    main()
