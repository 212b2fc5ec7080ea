"""Take the picture of the emulator's page: this package above a naive bot. Run ``python -m tests.benchmarks.emulator_page``.

It needs a chromium and the extra ``browser``.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from okx_sol_async import Credentials, Session, SolStaking
from okx_sol_async.emulator import Emulator
from tests.support.browser import browser
from tests.support.signed_calls import BALANCE_PATH, signed

PICTURE: Final = Path(__file__).parents[2] / "docs" / "images" / "emulator.png"
#: Seconds that both bots call before the picture is taken.
LENGTH: Final = 10.5
#: How many calls each bot has in flight.
LOOPS: Final = 3


async def _ours(url: str, credentials: Credentials) -> None:
    """Call for the balance all the time."""
    async with Session(base_url=url) as session:
        staking = SolStaking(credentials, session)
        while True:
            await staking.balance()


async def _naive(url: str, credentials: Credentials) -> None:
    """Call for the balance, and wait a fixed time: together the loops make a little more than six calls a second."""
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(url + BALANCE_PATH, headers=signed(credentials)) as response:
                await response.read()
            await asyncio.sleep(0.36)


async def _call(url: str, ours: Credentials, naive: Credentials) -> None:
    """Run both bots until a second after the picture."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LENGTH + 1), asyncio.TaskGroup() as group:
            for _ in range(LOOPS):
                group.create_task(_ours(url, ours))
                group.create_task(_naive(url, naive))


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.emulator_page", description=__doc__)
    parser.add_argument("--to", type=Path, default=PICTURE, help="the file")
    parser.add_argument("--width", type=int, default=480, help="in pixels")
    parser.add_argument("--height", type=int, default=546, help="in pixels")
    parser.add_argument("--dark", action="store_true")
    chosen = parser.parse_args()
    with Emulator(latency=0.02, jitter=0.02, seed=1) as exchange, browser() as chromium:
        other = exchange.add_user()
        page = chromium.new_page(
            viewport={"width": chosen.width, "height": chosen.height},
            color_scheme="dark" if chosen.dark else "light",
        )
        page.goto(f"{exchange.url}/_emulator/")
        page.locator("#state", has_text="live").wait_for()
        calling = _call(exchange.url, exchange.credentials, other.credentials)
        bots = threading.Thread(target=asyncio.run, args=(calling,))
        bots.start()
        page.wait_for_timeout(LENGTH * 1000)
        page.screenshot(path=chosen.to)
        bots.join()


if __name__ == "__main__":
    main()
