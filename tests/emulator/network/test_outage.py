"""Outages: stretches in which the exchange refuses connections."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop
from yarl import URL

from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import (
    Reset,
)
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOW,
)
from tests.support.wire import Wire, raw

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


async def refused(exchange: Emulator) -> bool:
    try:
        async with Wire(exchange):
            return False
    except ConnectionRefusedError:
        return True


class TestOutages:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_outage(self, host: str) -> None:
        """In an outage connections are refused and open ones reset; after it the same address responds at once."""
        async with Emulator(now=lambda: NOW, host=host) as exchange, Wire(exchange) as kept:
            kept.send()
            await kept.one()
            with exchange.outage() as outage:
                assert await refused(exchange)
                with pytest.raises(ConnectionResetError):
                    await kept.everything()
            for _ in range(3):
                head, _ = await raw(exchange)
                assert head.startswith(b"HTTP/1.1 200")
            outage.end()

            assert not await refused(exchange)

    async def test_again_and_again(self, frozen_exchange: Emulator) -> None:
        """Outages may follow each other without a pause, and overlap."""
        for _ in range(20):
            frozen_exchange.outage().end()
        first, second = frozen_exchange.outage(), frozen_exchange.outage()
        first.end()
        first.end()

        assert await refused(frozen_exchange)

        second.end()

        assert (await raw(frozen_exchange))[0].startswith(b"HTTP/1.1 200")

        third = frozen_exchange.outage()
        third.end()
        fourth = frozen_exchange.outage()
        await asyncio.sleep(0.01)

        assert await refused(frozen_exchange)

        fourth.end()

        assert (await raw(frozen_exchange))[0].startswith(b"HTTP/1.1 200")

    async def test_for_a_time(self, frozen_exchange: Emulator) -> None:
        """An outage of a given length ends by itself."""
        frozen_exchange.outage(0.1)

        assert await refused(frozen_exchange)

        await asyncio.sleep(0.09)

        assert await refused(frozen_exchange)

        await asyncio.sleep(0.02)

        assert (await raw(frozen_exchange))[0].startswith(b"HTTP/1.1 200")

    @pytest.mark.real_clock
    async def test_in_the_background(self) -> None:
        """A test in another thread begins and ends an outage."""
        with Emulator(now=lambda: NOW) as exchange:
            with exchange.outage():
                assert await refused(exchange)
            assert (await raw(exchange))[0].startswith(b"HTTP/1.1 200")

    def test_in_a_test_without_a_loop(self) -> None:
        """So does one that has no event loop."""
        with Emulator() as exchange:
            url = URL(exchange.url)
            assert url.host is not None
            with exchange.outage(), pytest.raises(ConnectionRefusedError):
                socket.create_connection((url.host, url.port or 0))
            socket.create_connection((url.host, url.port or 0)).close()

    @pytest.mark.parametrize("background", [False, pytest.param(True, marks=pytest.mark.real_clock)])
    async def test_closing_in_an_outage(self, *, background: bool) -> None:
        """An exchange may close in an outage, and an outage may end after the exchange."""
        exchange = Emulator(now=lambda: NOW)
        if background:
            with exchange:
                outage = exchange.outage()
        else:
            async with exchange:
                exchange.outage().end()
                outage = exchange.outage(30)
        outage.end()

        assert await refused(exchange)
        with pytest.raises(ConfigurationError, match="outage"):
            exchange.outage()

    def test_on_uvloop(self) -> None:
        """The exchange and its faults are the same on uvloop."""

        async def main() -> list[bool]:
            async with Emulator(now=lambda: NOW) as exchange:
                for _ in range(10):
                    exchange.outage().end()
                with exchange.outage():
                    seen = [await refused(exchange)]
                seen.append((await raw(exchange))[0].startswith(b"HTTP/1.1 200"))
                exchange.fail_next(Reset())
                async with Wire(exchange) as wire:
                    wire.send()
                    try:
                        await wire.everything()
                    except ConnectionResetError:
                        seen.append(True)
                return seen

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert [True, True, True] == runner.run(main())
