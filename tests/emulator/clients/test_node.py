"""The clients from npm, okx-api and ccxt, work with the local exchange; collected where node and both are found."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.emulator.clients.scenarios import (
    MISTAKES,
    Calls,
    Settings,
    check_a_mistake,
    check_demo,
    check_everything_works,
    check_the_limit,
    serving,
    settings_of,
)

pytestmark = pytest.mark.shows_secrets("the keys are passed to another process")


@pytest.fixture(scope="module", name="node")
def _node() -> Iterator[subprocess.Popen[str]]:
    """One process for all tests: to load ccxt takes it a second."""
    script = Path(__file__).with_name("node_clients.cjs")
    node = shutil.which("node")
    assert node is not None
    with subprocess.Popen([node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        yield process
        process.stdin.close()  # type: ignore[union-attr]


@pytest.fixture(params=["okx-api", "ccxt"])
def calls(request: pytest.FixtureRequest, node: subprocess.Popen[str]) -> Calls:
    def make(settings: Settings, names: tuple[str, ...]) -> list[str]:
        assert node.stdin is not None
        assert node.stdout is not None
        job = {"client": request.param, "settings": attrs.asdict(settings), "calls": names}
        node.stdin.write(json.dumps(job) + "\n")
        node.stdin.flush()
        codes: list[str] = json.loads(node.stdout.readline())
        return codes

    return make


def test_everything_works(calls: Calls) -> None:
    """Every call of SOL staking does what it says."""
    check_everything_works(calls)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake(calls: Calls, mistake: str) -> None:
    """Each call is refused for what is wrong."""
    check_a_mistake(calls, mistake)


def test_demo(calls: Calls) -> None:
    """It works in demo trading."""
    check_demo(calls)


def test_the_limit(calls: Calls) -> None:
    """It is refused above the limit."""
    check_the_limit(calls)


@pytest.mark.parametrize("calls", ["okx-api"], indirect=True)
def test_what_okx_api_has_of_its_own(calls: Calls) -> None:
    """Its one method for SOL staking sends no signature, which OKX's documentation asks for: 50103; others work."""
    with serving() as exchange:
        assert ["50103", "0", "0"] == calls(settings_of(exchange), ("unsignedProduct", "account", "funding"))


@pytest.mark.parametrize("calls", ["ccxt"], indirect=True)
def test_what_ccxt_has_of_its_own(calls: Calls) -> None:
    """It still has cancel-redeem, which OKX removed from its documentation."""
    with serving() as exchange:
        assert ["404"] == calls(settings_of(exchange), ("cancel",))
