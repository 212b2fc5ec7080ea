"""A connection on which signed requests are sent, and responses are read, as bytes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from yarl import URL

from okx_sol_async.emulator import Emulator
from tests.support.signed_calls import BALANCE_PATH, NOW, iso, signed


class Wire:
    """A connection on which requests are sent and responses read as bytes."""

    def __init__(self, exchange: Emulator) -> None:
        self._exchange = exchange

    async def __aenter__(self) -> Self:
        url = URL(self._exchange.url)
        self.reader, self.writer = await asyncio.open_connection(url.host, url.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def send(self, *, method: str = "GET", path: str = BALANCE_PATH, version: str = "1.1", more: str = "") -> None:
        headers = signed(self._exchange.credentials, path, method=method, timestamp=iso(NOW))
        lines = [f"{method} {path} HTTP/{version}", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
        self.writer.write("\r\n".join([*lines, *([more] if more else []), "", ""]).encode())

    async def everything(self) -> bytes:
        """Return what comes until the end of the connection, which must be an orderly one."""
        return await self.reader.read()

    async def one(self) -> tuple[bytes, bytes]:
        """Return the head and the body of one response."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
        return head, await self.reader.readexactly(length)


async def raw(exchange: Emulator, **request: str) -> tuple[bytes, bytes]:
    """Return head and body of a response, on a connection that ends after it."""
    async with Wire(exchange) as wire:
        wire.send(more="Connection: close", **request)
        head, _, body = (await wire.everything()).partition(b"\r\n\r\n")
        return head, body
