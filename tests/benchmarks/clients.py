"""60 balance calls at once of one user, by this package and by other clients that are installed.

The emulator counts a sliding window, 25 to 45 ms away each way. With two keys of the user, each has a client of its own
and half of the calls. A refusal (50011) of the others reaches their caller; for ours it would be resent and counted.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from okx_sol_async import LocalLimiter, Session, SolStaking
from okx_sol_async.emulator import Emulator
from tests.benchmarks.report import Figure, Line, Note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from okx_sol_async import Credentials

    Burst = Callable[[str, list[Credentials]], Awaitable[object]]

CALLS: Final = 60
PATH: Final = "/api/v5/finance/staking-defi/sol/balance"


def run() -> Iterator[Line]:
    """Measure each client with one key of a user, and with two."""
    for package, (module, burst) in CLIENTS.items():
        if find_spec(module) is None:
            yield Note(f"without {package}, which is not installed (extra clients)")
            continue
        for keys in (1, 2):
            yield asyncio.run(_measure(f"{package} {version(package)}, {keys} key{'s' * (keys - 1)}", burst, keys))


async def _measure(who: str, burst: Burst, keys: int) -> Line:
    async with Emulator(window="sliding", latency=0.025, jitter=0.02, seed=1) as emulator:
        credentials = [emulator.credentials, *(emulator.user.add_key() for _ in range(keys - 1))]
        began = time.perf_counter()
        await burst(emulator.url, credentials)
        seconds = time.perf_counter() - began
        tally = emulator.tally()
    detail = f"{seconds:.2f} s, {tally.accepted} balances"
    return Figure("clients", tally.refused, f"of {CALLS} refused (50011), {who}", digits=0, detail=detail)


async def burst_of_ours(url: str, credentials: list[Credentials]) -> None:
    """Call with this package."""
    async with Session(base_url=url, limiter=LocalLimiter()) as session:
        clients = [SolStaking(key, session) for key in credentials]
        await asyncio.gather(*(clients[number % len(clients)].balance() for number in range(CALLS)))


async def burst_of_python_okx(url: str, credentials: list[Credentials]) -> None:
    """Call with OKX's own client, whose calls block, in threads."""
    from okx.Finance.SolStaking import SolStakingAPI  # type: ignore[import-untyped] # noqa: PLC0415 - optional

    clients = [SolStakingAPI(key.api_key, key.secret_key, key.passphrase, flag="0", domain=url) for key in credentials]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(CALLS) as threads:
        calls = [loop.run_in_executor(threads, clients[n % len(clients)].sol_balance) for n in range(CALLS)]
        await asyncio.gather(*calls, return_exceptions=True)


async def burst_of_ccxt(url: str, credentials: list[Credentials]) -> None:
    """Call with ccxt and its own throttle, which is on by default."""
    from ccxt.async_support import okx  # noqa: PLC0415 - optional

    clients = []
    for key in credentials:
        client = okx({"apiKey": key.api_key, "secret": key.secret_key, "password": key.passphrase})
        client.urls["api"]["rest"] = url
        clients.append(client)
    calls = [clients[n % len(clients)].private_get_finance_staking_defi_sol_balance() for n in range(CALLS)]
    await asyncio.gather(*calls, return_exceptions=True)
    for client in clients:
        await client.close()


async def burst_of_pybotters(url: str, credentials: list[Credentials]) -> None:
    """Call with pybotters, which signs for the hosts that it knows."""
    import pybotters  # noqa: PLC0415 - optional
    from pybotters.auth import Auth, DynamicNameSelector, Hosts, Item  # noqa: PLC0415 - optional

    Hosts.items["127.0.0.1"] = Item(DynamicNameSelector.okx, Auth.okx)

    async def call_with(key: Credentials, calls: int) -> None:
        apis = {"okx": [key.api_key, key.secret_key, key.passphrase]}
        async with pybotters.Client(apis=apis, base_url=url) as client:
            await asyncio.gather(*(client.fetch("GET", PATH) for _ in range(calls)), return_exceptions=True)

    await asyncio.gather(*(call_with(key, CALLS // len(credentials)) for key in credentials))


#: Each with the module that it is imported as.
CLIENTS: Final[dict[str, tuple[str, Burst]]] = {
    "okx-sol-async": ("okx_sol_async", burst_of_ours),
    "python-okx": ("okx", burst_of_python_okx),
    "ccxt": ("ccxt", burst_of_ccxt),
    "pybotters": ("pybotters", burst_of_pybotters),
}
