"""Pytest fixtures that serve the local exchange, available as soon as this package is installed.

They work in plain tests and with pytest-asyncio and anyio alike, because the exchange serves from a background thread.
``@pytest.mark.okx_emulator(window="fixed", latency=0.02)`` passes arguments of `Emulator` to the fixture; ``state=``
is a state file, and with ``unused_faults="error"`` a fault of `Emulator.fail_next` that no call has used fails the test.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from okx_sol_async.emulator import Emulator


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "okx_emulator(**arguments): arguments of Emulator, `state` and `unused_faults` for `okx_emulator`"
    )


@pytest.fixture
def okx_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Serve a local exchange for the length of one test; the marker ``okx_emulator`` sets it up."""
    marker = request.node.get_closest_marker("okx_emulator")
    arguments = {} if marker is None else dict(marker.kwargs)
    state = arguments.pop("state", None)
    unused = arguments.pop("unused_faults", "ignore")
    with _serving(arguments) as exchange:
        if state is not None:
            exchange.restore(state)
        yield exchange
        if unused == "error" and exchange.unused_faults:
            left = ", ".join(repr(fault) for injection in exchange.unused_faults for fault in injection.faults)
            pytest.fail(f"no call has used {left}", pytrace=False)


@pytest.fixture(scope="session")
def okx_emulator_session() -> Iterator[Emulator]:
    """Serve one local exchange for the whole session; call `Emulator.reset` between tests that change it."""
    with _serving({}) as exchange:
        yield exchange


@pytest.fixture
def okx_emulator_env(okx_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Serve a local exchange, and point the environment to it: OKX_BASE_URL, OKX_API_KEY and the others."""
    for name, value in okx_emulator.environment.items():
        monkeypatch.setenv(name, value)
    return okx_emulator


@contextlib.contextmanager
def _serving(arguments: dict[str, object]) -> Iterator[Emulator]:
    # A test suite that does not use the exchange does not wait for its import.
    from okx_sol_async.emulator import Emulator  # noqa: PLC0415

    with Emulator(**arguments) as exchange:  # type: ignore[arg-type] # Emulator checks what a marker passes
        yield exchange
