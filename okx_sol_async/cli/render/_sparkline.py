"""Values as one line of bars."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII: Final = "_.-=+*#@"


def sparkline(values: Sequence[Decimal], *, unicode: bool) -> str:
    """Return one character for each value, from the lowest bar to the highest; equal values have a bar in the middle."""
    bars = _BLOCKS if unicode else _ASCII
    low, high = min(values), max(values)
    if low == high:
        return bars[len(bars) // 2 - 1] * len(values)
    return "".join(bars[int((value - low) / (high - low) * (len(bars) - 1) + Decimal("0.5"))] for value in values)
