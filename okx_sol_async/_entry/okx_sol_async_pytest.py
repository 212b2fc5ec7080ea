"""Pytest fixtures that serve the local exchange, available as soon as this package is installed.

They work in plain tests and with pytest-asyncio and anyio alike, because the exchange serves from a background thread,
or in a process of its own.
``@pytest.mark.okx_emulator(window="fixed", latency=0.02)`` passes arguments of `Emulator` to the fixture; ``state=``
is a state file, and with ``unused_faults="error"`` a fault of `Emulator.fail_next` that no call has used fails the test.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from okx_sol_async.emulator import Emulator, EmulatorProcess


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "okx_emulator(**arguments): arguments of Emulator, `state` and `unused_faults` for `okx_emulator`"
    )


@pytest.fixture
def okx_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Serve a local exchange for the length of one test; the marker ``okx_emulator`` sets it up."""
    arguments = _arguments_of(request)
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


@pytest.fixture
def okx_emulator_process(request: pytest.FixtureRequest) -> Iterator[EmulatorProcess]:
    """Serve a local exchange in a process of its own, as the marker says; one without a marker is reset and used again."""
    from okx_sol_async.emulator import EmulatorProcess  # noqa: PLC0415

    arguments = _arguments_of(request)
    unused = arguments.pop("unused_faults", "ignore")
    with contextlib.ExitStack() as stack:
        if arguments:
            exchange = stack.enter_context(EmulatorProcess(**arguments))
        else:
            exchange = request.getfixturevalue("_okx_emulator_shared_process")
            stack.callback(exchange.control, "POST", "/reset")
        yield exchange
        left = exchange.control("GET", "/unused-faults")
        if unused == "error" and left:
            pytest.fail(f"no call has used {', '.join(str(one['faults']) for one in left)}", pytrace=False)


@pytest.fixture(scope="session")
def _okx_emulator_shared_process() -> Iterator[EmulatorProcess]:
    from okx_sol_async.emulator import EmulatorProcess  # noqa: PLC0415

    with EmulatorProcess() as exchange:
        yield exchange


def _arguments_of(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("okx_emulator")
    return {} if marker is None else dict(marker.kwargs)


@contextlib.contextmanager
def _serving(arguments: dict[str, object]) -> Iterator[Emulator]:
    # A test suite that does not use the exchange does not wait for its import.
    from okx_sol_async.emulator import Emulator  # noqa: PLC0415

    with Emulator(**arguments) as exchange:  # type: ignore[arg-type] # Emulator checks what a marker passes
        yield exchange
