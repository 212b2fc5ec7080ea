"""What a caller gets from this package and from other clients in four situations, for the README's table.

The emulator refuses one call (50011), has a clock that is a minute ahead, sends a balance, and loses the response to
a purchase. Each cell is the type that the client returns or raises; a dict that is a refusal shows its code.
"""

from __future__ import annotations

import asyncio
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from okx_sol_async import LocalLimiter, Session, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import CloseConnection, Refusal
from tests.benchmarks.report import Line, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from okx_sol_async import Credentials

    #: Reads the balance, or purchases the amount.
    Ask = Callable[[str, Credentials, str | None], Awaitable[Any]]

SOL: Final = "/api/v5/finance/staking-defi/sol/"


def run() -> Iterator[Line]:
    """Ask each client that is installed."""
    clients = {name: ask for name, (module, ask) in CLIENTS.items() if find_spec(module) is not None}
    rows = [
        [name, *(asyncio.run(situation(ask)) for ask in clients.values())] for name, situation in SITUATIONS.items()
    ]
    yield from table(("", *clients), rows)


async def refused(ask: Ask) -> str:
    """Read a balance that OKX refuses once."""
    async with Emulator() as emulator:
        emulator.fail_next(Refusal("50011"))
        return await _outcome(ask, emulator)


async def clock_ahead(ask: Ask) -> str:
    """Read a balance while OKX's clock is a minute ahead."""
    async with Emulator(now=lambda: time.time() + 60) as emulator:
        return await _outcome(ask, emulator)


async def amount(ask: Ask) -> str:
    """Read a balance, and look at its amount."""
    async with Emulator() as emulator:
        balance = await ask(emulator.url, emulator.credentials, None)
        amt = balance["data"][0]["amt"] if isinstance(balance, dict) else balance.amt
        return type(amt).__name__


async def lost_purchase(ask: Ask) -> str:
    """Purchase, and lose the response."""
    async with Emulator() as emulator:
        emulator.fail_next(CloseConnection(processed=True))
        return await _outcome(ask, emulator, "1.5")


async def _outcome(ask: Ask, emulator: Emulator, purchase: str | None = None) -> str:
    try:
        result = await ask(emulator.url, emulator.credentials, purchase)
    except Exception as error:  # noqa: BLE001 - what the clients raise is the question
        return type(error).__name__
    code = result["code"] if isinstance(result, dict) else "0"
    return f"{type(result).__name__} {code}" if code != "0" else type(result).__name__


async def ask_ours(url: str, key: Credentials, purchase: str | None) -> object:
    """Ask with this package."""
    async with Session(base_url=url, limiter=LocalLimiter()) as session:
        staking = SolStaking(key, session)
        return await (staking.balance() if purchase is None else staking.purchase(purchase))


async def ask_python_okx(url: str, key: Credentials, purchase: str | None) -> object:
    """Ask with OKX's own client."""
    from okx.Finance.SolStaking import SolStakingAPI  # type: ignore[import-untyped] # noqa: PLC0415 - optional

    with SolStakingAPI(key.api_key, key.secret_key, key.passphrase, flag="0", domain=url) as client:
        call = client.sol_balance if purchase is None else lambda: client.sol_purchase(purchase)
        return await asyncio.to_thread(call)


async def ask_ccxt(url: str, key: Credentials, purchase: str | None) -> object:
    """Ask with ccxt."""
    from ccxt.async_support import okx  # noqa: PLC0415 - optional

    client = okx({"apiKey": key.api_key, "secret": key.secret_key, "password": key.passphrase})
    client.urls["api"]["rest"] = url
    try:
        if purchase is None:
            return await client.private_get_finance_staking_defi_sol_balance()
        return await client.private_post_finance_staking_defi_sol_purchase({"amt": purchase})
    finally:
        await client.close()


async def ask_pybotters(url: str, key: Credentials, purchase: str | None) -> object:
    """Ask with pybotters."""
    import pybotters  # noqa: PLC0415 - optional
    from pybotters.auth import Auth, DynamicNameSelector, Hosts, Item  # noqa: PLC0415 - optional

    Hosts.items["127.0.0.1"] = Item(DynamicNameSelector.okx, Auth.okx)
    async with pybotters.Client(apis={"okx": [key.api_key, key.secret_key, key.passphrase]}, base_url=url) as client:
        if purchase is None:
            return (await client.fetch("GET", SOL + "balance")).data
        return (await client.fetch("POST", SOL + "purchase", data={"amt": purchase})).data


#: The rows of the table.
SITUATIONS: Final[dict[str, Callable[[Ask], Awaitable[str]]]] = {
    "one refusal (50011)": refused,
    "clock a minute behind": clock_ahead,
    "amount": amount,
    "purchase without a response": lost_purchase,
}

#: Each with the module that it is imported as.
CLIENTS: Final[dict[str, tuple[str, Ask]]] = {
    "okx-sol-async": ("okx_sol_async", ask_ours),
    "python-okx": ("okx", ask_python_okx),
    "ccxt": ("ccxt", ask_ccxt),
    "pybotters": ("pybotters", ask_pybotters),
}
