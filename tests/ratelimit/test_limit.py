"""The limit of an endpoint: what it takes."""

import math

import pytest

from okx_sol_async import ConfigurationError, RateLimit, Scope


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((0, 1.0, Scope.USER), "requests"),
        ((True, 1.0, Scope.USER), "requests"),
        ((1.5, 1.0, Scope.USER), "requests"),
        ((6, 0, Scope.USER), "seconds"),
        ((6, math.inf, Scope.USER), "seconds"),
        ((6, math.nan, Scope.USER), "seconds"),
        ((6, "1", Scope.USER), "seconds"),
        ((6, 1.0, "user"), "scope"),
    ],
)
def test_a_limit_is_checked(arguments: tuple[object, ...], field: str) -> None:
    """A limit that makes no sense raises an error that names its field."""
    with pytest.raises(ConfigurationError, match=field):
        RateLimit(*arguments)  # type: ignore[arg-type]
