"""An exchange whose clock stands still, with the orders of `tests.support.orders`, and resends that follow soon."""

from collections.abc import Iterator

import pytest

from okx_sol_async.emulator import Emulator
from okx_sol_async.transport import _resend
from tests.support.orders import NOW, orders, set_environment


@pytest.fixture(autouse=True)
def _quick_resends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for a network that is not there."""
    monkeypatch.setattr(_resend, "FIRST_WAIT", 0.02)


@pytest.fixture(name="then")
def _then(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Serve an exchange at which it is always the same moment, and name it in the environment."""
    with Emulator(now=NOW.timestamp) as exchange:
        exchange.user.add_orders(orders())
        set_environment(exchange, monkeypatch)
        for name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        yield exchange
