"""What an endpoint may be."""

from typing import Any

import attrs
import pytest

from okx_sol_async import ConfigurationError
from okx_sol_async.endpoint import SYSTEM_TIME


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "DELETE"),
        ("path", "/api/v5/public/time?a=b"),
        ("path", "api/v5"),
        ("path", "/a b"),
        ("limit", 6),
        ("decode", None),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:  # noqa: ANN401 - that is the point
    """What would be sent in another spelling than it is signed in is refused when it is made."""
    with pytest.raises(ConfigurationError) as caught:
        attrs.evolve(SYSTEM_TIME, **{field: value})

    assert field == caught.value.argument
