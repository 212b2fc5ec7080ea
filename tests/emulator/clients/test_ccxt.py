"""ccxt for Python, blocking and asynchronous, works with the local exchange."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

import ccxt
import ccxt.async_support
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

pytestmark = pytest.mark.shows_secrets("it is another client, whose exceptions hold what it sent")

#: ccxt names its methods after OKX's paths.
METHODS: dict[str, tuple[str, dict[str, str]]] = {
    "balance": ("private_get_finance_staking_defi_sol_balance", {}),
    "product": ("private_get_finance_staking_defi_sol_product_info", {}),
    "purchase": ("private_post_finance_staking_defi_sol_purchase", {"amt": "1.5"}),
    "redeem": ("private_post_finance_staking_defi_sol_redeem", {"amt": "0.5"}),
    "history": ("private_get_finance_staking_defi_sol_purchase_redeem_history", {"type": "redeem", "limit": "1"}),
    "apy": ("public_get_finance_staking_defi_sol_apy_history", {"days": "7"}),
    "cancel": ("private_post_finance_staking_defi_sol_cancel_redeem", {"ordId": "1"}),
}


def options(settings: Settings) -> dict[str, object]:
    # Its own limiter would keep the client below the limit.
    key = {"apiKey": settings.api_key, "secret": settings.secret_key, "password": settings.passphrase}
    return {**key, "enableRateLimit": False, "urls": {"api": {"rest": settings.url}}}


def code_of(error: ccxt.BaseError) -> str:
    """Return OKX's code in the text of an error: ``okx {"code":"50113",...}``."""
    return str(json.loads(str(error)[str(error).index("{") :])["code"])


def blocking(settings: Settings, names: tuple[str, ...]) -> list[str]:
    client = ccxt.okx(options(settings))
    client.set_sandbox_mode(settings.demo) if settings.demo else None
    client.urls["api"] = {"rest": settings.url}

    def code(name: str) -> str:
        method, parameters = METHODS[name]
        call: Callable[[Mapping[str, str]], Mapping[str, str]] = getattr(client, method)
        try:
            return call(parameters)["code"]
        except ccxt.BaseError as error:
            return code_of(error)

    try:
        return list(map(code, names))
    finally:
        client.session.close()


def asynchronous(settings: Settings, names: tuple[str, ...]) -> list[str]:
    async def make() -> list[str]:
        client = ccxt.async_support.okx(options(settings))
        client.set_sandbox_mode(settings.demo) if settings.demo else None
        client.urls["api"] = {"rest": settings.url}
        codes = []
        for name in names:
            method, parameters = METHODS[name]
            call: Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]] = getattr(client, method)
            try:
                codes.append((await call(parameters))["code"])
            except ccxt.BaseError as error:
                codes.append(code_of(error))
        await client.close()
        return codes

    return asyncio.run(make())


BOTH = pytest.mark.parametrize("calls", [blocking, asynchronous])


@BOTH
def test_everything_works(calls: Calls) -> None:
    """Every call of SOL staking that it has does what it says."""
    check_everything_works(calls)


@BOTH
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake(calls: Calls, mistake: str) -> None:
    """Each call is refused for what is wrong."""
    check_a_mistake(calls, mistake)


@BOTH
def test_demo(calls: Calls) -> None:
    """It works in demo trading."""
    check_demo(calls)


@BOTH
def test_the_limit(calls: Calls) -> None:
    """It is refused above the limit."""
    check_the_limit(calls)


def test_cancel_redeem(caplog: pytest.LogCaptureFixture) -> None:
    """It still has cancel-redeem, which OKX removed from its documentation: 404, and the log says why."""
    with serving() as exchange:
        assert ["404"] == blocking(settings_of(exchange), ("cancel",))

    assert "no endpoint POST /api/v5/finance/staking-defi/sol/cancel-redeem" in caplog.text
