"""An exchange whose clock stands still, with the orders of `tests.support.orders`."""

from collections.abc import Iterator

import pytest

from okx_sol_async.emulator import Emulator
from tests.support.orders import NOW, orders, set_environment


@pytest.fixture(name="then")
def _then(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Serve an exchange at which it is always the same moment, and name it in the environment."""
    with Emulator(now=NOW.timestamp) as exchange:
        exchange.user.add_orders(orders())
        set_environment(exchange, monkeypatch)
        for name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        yield exchange
