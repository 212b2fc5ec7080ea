"""Numbers that callers pass are checked, and the error names the argument."""

import math
from collections.abc import Callable

import pytest

from okx_sol_async import ConfigurationError
from okx_sol_async._checks import part, seconds, whole_number


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (lambda value: whole_number("size", value, 9), (1, 9), (0, 10, 1.0, True, "1", None)),
        (lambda value: seconds("size", value, positive=True), (1, 0.5, 5e-324), (0, -1, math.inf, math.nan, True, "1")),
        (lambda value: seconds("size", value, positive=False), (0, 0.0, 7), (-1e-9, math.inf, math.nan, False, None)),
        (lambda value: part("size", value), (1, 1.0, 1e-9), (0, 1.01, math.nan, True, "1")),
    ],
    ids=["whole number", "seconds above 0", "seconds from 0 on", "part"],
)
def test_a_number_is_taken_or_refused_by_the_name_of_its_argument(
    check: Callable[[object], object], good: tuple[object, ...], bad: tuple[object, ...]
) -> None:
    """Bounds, infinities, booleans and other types."""
    assert list(good) == [check(value) for value in good]
    for value in bad:
        with pytest.raises(ConfigurationError, match="size must be") as refused:
            check(value)
        assert "size" == refused.value.argument
