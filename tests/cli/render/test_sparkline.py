"""Values as one line of bars."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async.cli.render._sparkline import sparkline


@given(st.lists(st.decimals(0, 10**9, places=8), min_size=1, max_size=40), st.booleans())
def test_bars_are_in_the_order_of_the_values(values: list[Decimal], unicode: bool) -> None:  # noqa: FBT001
    """There is one bar for each value, and a greater value never has a lower bar."""
    bars = "▁▂▃▄▅▆▇█" if unicode else "_.-=+*#@"
    heights = [bars.index(bar) for bar in sparkline(values, unicode=unicode)]

    assert len(values) == len(heights)
    by_value = [height for _, height in sorted(zip(values, heights, strict=True))]
    assert sorted(by_value) == by_value
    assert len(set(values)) == 1 or {0, 7} <= set(heights)


@pytest.mark.parametrize(("unicode", "line"), [(True, "▁▅█"), (False, "_+@")])
def test_a_sparkline(unicode: bool, line: str) -> None:  # noqa: FBT001
    """The middle value has the bar in the middle."""
    assert line == sparkline([Decimal(1), Decimal(2), Decimal(3)], unicode=unicode)
