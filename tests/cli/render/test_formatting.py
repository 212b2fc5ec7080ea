"""Values as text."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async.cli.render._formatting import percent, time_of
from okx_sol_async.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22 16:00", datetime(2026, 11, 22, 16, tzinfo=UTC)),
        ("2026-11-22 16:00 UTC", datetime(2026, 11, 22, 16, tzinfo=UTC)),
        ("2026-11-22T16:00:00.001Z", datetime(2026, 11, 22, 16, 0, 0, 1000, tzinfo=UTC)),
        ("2026-11-23T00:00+08:00", datetime(2026, 11, 22, 16, tzinfo=UTC)),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, at: datetime) -> None:
    """What the command prints can be given back to it."""
    assert at == time_of("--since", text)


def test_a_time_that_is_none_is_refused() -> None:
    """The option is named."""
    with pytest.raises(ConfigurationError, match="--since must be a time"):
        time_of("--since", "soon")


@given(st.decimals(0, 2, places=8))
def test_per_cents_are_exact(rate: Decimal) -> None:
    """No digit is lost on the way from a fraction to per cent."""
    text = percent(rate)

    assert rate * 100 == Decimal(text.removesuffix(" %"))
    assert len(text.partition(".")[2]) >= 4
