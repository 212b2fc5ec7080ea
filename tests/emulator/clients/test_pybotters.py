"""Pybotters works with the local exchange, whose host has to be registered: it signs for OKX's own hosts alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pybotters
import pytest
from pybotters.auth import Auth, DynamicNameSelector, Hosts, Item

from tests.emulator.clients.scenarios import (
    MISTAKES,
    Settings,
    check_a_mistake,
    check_demo,
    check_everything_works,
    check_the_limit,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:pybotters.auth"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
    pytest.mark.shows_secrets("it is another client, which logs as it likes"),
]

STAKING = "/api/v5/finance/staking-defi/sol"
#: Method, path, and what is sent.
METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "balance": ("GET", "balance", {}),
    "product": ("GET", "product-info", {}),
    "purchase": ("POST", "purchase", {"data": {"amt": "1.5"}}),
    "redeem": ("POST", "redeem", {"data": {"amt": "0.5"}}),
    "history": ("GET", "purchase-redeem-history", {"params": {"type": "redeem", "limit": "1"}}),
    "apy": ("GET", "apy-history", {"params": {"days": "7"}}),
}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Hosts.items, "127.0.0.1", Item(DynamicNameSelector.okx, Auth.okx))


def calls(settings: Settings, names: tuple[str, ...]) -> list[str]:
    async def make() -> list[str]:
        key = [settings.api_key, settings.secret_key, settings.passphrase]
        headers = {"x-simulated-trading": "1"} if settings.demo else {}
        async with pybotters.Client(apis={"okx": key, "okx_demo": key}, base_url=settings.url) as client:
            codes = []
            for name in names:
                method, path, sent = METHODS[name]
                response = await client.fetch(method, f"{STAKING}/{path}", headers=headers, **sent)
                codes.append(response.data["code"])
            return codes

    return asyncio.run(make())


def test_everything_works() -> None:
    """Every call of SOL staking does what it says."""
    check_everything_works(calls)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake(mistake: str) -> None:
    """Each call is refused for what is wrong."""
    check_a_mistake(calls, mistake)


def test_demo() -> None:
    """It works in demo trading."""
    check_demo(calls)


def test_the_limit() -> None:
    """It is refused above the limit."""
    check_the_limit(calls)
