"""A write that comes back out of a text."""

from typing import Any

import pytest

from okx_sol_async._writes import Write

FIELDS: dict[str, Any] = {
    "type": "purchase",
    "amt": "1.5",
    "sent_at": "2026-03-01T12:00:00Z",
    "owner": "user:x",
    "origin": "https://openapi.okx.com",
    "demo": False,
}


@pytest.mark.parametrize(
    ("field", "value"), [("type", 5), ("amt", "one"), ("sent_at", "noon"), ("ordered_at", "noon"), ("outcome", "lost")]
)
def test_a_text_that_is_none_of_them_is_refused(field: str, value: object) -> None:
    """A row of somebody's own log that was damaged does not become a write."""
    assert Write(**FIELDS)
    with pytest.raises(ValueError, match=r"number|valid|isoformat"):
        Write(**FIELDS | {field: value})
