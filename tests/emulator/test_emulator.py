"""The exchange serves in an event loop or from a thread, and starts and stops cleanly."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import threading
import time
import urllib.request
from contextlib import ExitStack, suppress
from typing import Any

import aiohttp
import pytest
from yarl import URL

from okx_sol_async.emulator import (
    EmulatedUser,
    Emulator,
)
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from tests.support.signed_calls import (
    BALANCE_PATH,
    ROW,
    TIME_PATH,
    Caller,
    signed,
    success,
)
from tests.support.virtual_time import now

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"window": "hopping"},
            {"latency": -0.1},
            {"latency": float("nan")},
            {"latency": "0.1"},
            {"latency": True},
            {"jitter": float("inf")},
            {"jitter": -1},
            {"seed": "1"},
            {"port": 65_536},
            {"port": -1},
            {"port": "80"},
            {"now": 5},
            {"demo": "1"},
        ],
    )
    def test_wrong_argument(self, arguments: dict[str, Any]) -> None:
        """A wrong argument is a ConfigurationError that names it."""
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            Emulator(**arguments)


class TestServing:
    def test_background(self) -> None:
        """With a plain `with` the exchange serves code that has no event loop."""
        with Emulator() as exchange:
            url, headers = exchange.url + BALANCE_PATH, signed(exchange.credentials)
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:  # noqa: S310 - loopback
                assert {"code": "0", "msg": "", "data": [ROW]} == json.load(response)

            assert 1 == exchange.count(code="0")

    @pytest.mark.real_clock
    async def test_background_inside_a_loop(self, call: Caller) -> None:
        """With a plain `with` the exchange also serves a client in an event loop of its own."""
        with Emulator() as exchange:
            assert success(ROW) == await call(exchange)

    @pytest.mark.real_clock
    async def test_fixture(self, call: Caller, okx_emulator: Emulator) -> None:  # noqa: F811 - the fixture
        """The fixture serves an exchange to a test with an event loop."""
        assert success(ROW) == await call(okx_emulator)

    def test_fixture_without_a_loop(self, okx_emulator: Emulator) -> None:  # noqa: F811 - the fixture
        """The fixture serves an exchange to a test without an event loop."""
        with urllib.request.urlopen(okx_emulator.url + TIME_PATH) as response:  # noqa: S310 - loopback
            assert 200 == response.status

    async def test_only_once(self) -> None:
        """An emulator that serves or has served is not served again."""
        exchange = Emulator()
        async with exchange:
            with pytest.raises(ConfigurationError, match="once"):
                exchange.__enter__()
        with pytest.raises(ConfigurationError, match="once"):
            await exchange.__aenter__()

    def test_closing_again(self) -> None:
        """It does nothing."""
        with Emulator() as exchange, ExitStack() as stack:
            stack.push(exchange)
        url = URL(exchange.url)
        assert url.host is not None
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((url.host, url.port or 0))

    def test_no_url_before_serving(self) -> None:
        """Before it serves, an emulator has no url, but it has users."""
        exchange = Emulator()

        with pytest.raises(ConfigurationError, match="url"):
            _ = exchange.url
        assert isinstance(exchange.user, EmulatedUser)
        assert "not serving" in repr(exchange)

    async def test_port(self) -> None:
        """A port that is taken is a ConfigurationError that names it, and one that is free is used."""
        async with Emulator() as exchange:
            port = URL(exchange.url).port
            assert port is not None
            with pytest.raises(ConfigurationError, match=str(port)):
                await Emulator(port=port).__aenter__()
            with pytest.raises(ConfigurationError, match=str(port)):
                Emulator(port=port).__enter__()
        async with Emulator(port=port) as exchange:
            assert f"http://127.0.0.1:{port}" == exchange.url

    @pytest.mark.shows_secrets("it signs by hand, so aiohttp's frames hold plain headers")
    async def test_closed(self, call: Caller) -> None:
        """After it has closed, nothing listens."""
        async with Emulator() as exchange:
            await call(exchange)
        with pytest.raises(aiohttp.ClientConnectionError):
            await call(exchange)

    @pytest.mark.parametrize("background", [False, pytest.param(True, marks=pytest.mark.real_clock)])
    async def test_quick_shutdown(self, call: Caller, *, background: bool) -> None:
        """Closing waits neither for calls on their way nor for idle or half-sent ones, and leaves nothing behind."""
        tasks, threads = asyncio.all_tasks(), threading.active_count()
        # If it waited for them in the background, where the clock is a real one, this test would never end.
        exchange = Emulator(latency=100_000.0)
        if background:
            exchange.__enter__()
        else:
            await exchange.__aenter__()
        address = "127.0.0.1", URL(exchange.url).port
        in_flight = [asyncio.create_task(call(exchange)) for _ in range(3)]
        _, idle = await asyncio.open_connection(*address)
        _, half_a_head = await asyncio.open_connection(*address)
        half_a_head.write(b"GET / HT")
        _, half_a_body = await asyncio.open_connection(*address)
        half_a_body.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        port = exchange._server.port
        assert port is not None
        while len(port._connections) < 6:  # noqa: ASYNC110 - there is no notification
            await asyncio.sleep(0.01)
        began = now()
        if background:
            exchange.__exit__(None, None, None)
        else:
            await exchange.__aexit__(None, None, None)
        took = now() - began
        left = asyncio.all_tasks() - tasks - {*in_flight}
        ends = await asyncio.gather(*in_flight, return_exceptions=True)
        for writer in (idle, half_a_head, half_a_body):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        gc.collect()

        assert background or took < 1.0
        assert all(isinstance(end, aiohttp.ClientConnectionError) for end in ends)
        assert not left
        assert threads == threading.active_count()
        assert 0 == exchange.count()

    def test_shutdown_while_clients_connect(self, caplog: pytest.LogCaptureFixture) -> None:
        """Closing right after clients connected fills no log and leaves nothing open."""
        caplog.set_level(logging.INFO)
        for _ in range(30):
            with Emulator() as exchange:
                port = URL(exchange.url).port
                assert port is not None
                connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
            for connection in connections:
                connection.close()
        gc.collect()

        assert [] == caplog.record_tuples

    def test_a_client_that_hangs_up(self, caplog: pytest.LogCaptureFixture) -> None:
        """A client that goes away in the middle of its request disturbs no other client and fills no log."""
        caplog.set_level(logging.WARNING)
        with Emulator() as exchange:
            port = URL(exchange.url).port
            assert port is not None
            for sent in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"):
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(sent)
                    time.sleep(0.02)
            with urllib.request.urlopen(exchange.url + TIME_PATH) as response:  # noqa: S310 - loopback
                assert 200 == response.status

        assert [] == caplog.record_tuples
