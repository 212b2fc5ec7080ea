"""What aiohttp and the emulator know the simulated network as: a connector and a listening port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.client_proto import ResponseHandler

    from okx_sol_async.emulator.network._connections import ClientConnection
    from tests.simulation.network import Network, Weather


class _Ordered(dict):  # type: ignore[type-arg]
    """A set that remembers the order, because aiohttp goes through its connections."""

    def add(self, item: object) -> None:
        self[item] = None

    def remove(self, item: object) -> None:
        del self[item]

    def discard(self, item: object) -> None:
        self.pop(item, None)


class SimulatedConnector(aiohttp.BaseConnector):
    """Gives an `aiohttp.ClientSession` the connections of a `Network`."""

    def __init__(self, network: Network, weather: Weather, ip: str, *, limit: int, force_close: bool) -> None:
        super().__init__(limit=limit, force_close=force_close)
        self._network = network
        self._weather = weather
        self._ip = ip
        self._acquired = _Ordered()  # type: ignore[assignment]

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: object,
        timeout: object,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        del traces, timeout
        return await self._network.connect(self._weather, self._ip, req, self._factory)


class SimulatedPort:
    """Stands for `okx_sol_async.emulator.network._connections.ListeningPort`."""

    def __init__(self, network: Network, server: web.Server, connection: type[ClientConnection]) -> None:
        self._network = network
        self._server = server
        self._connection = connection
        self._connections: dict[asyncio.BaseProtocol, ClientConnection] = {}
        self._outages = 0
        self._open = False
        self.number = 443

    @property
    def listens(self) -> bool:
        return self._open and not self._outages

    def connection_of(self, request: web.BaseRequest) -> ClientConnection | None:
        return self._connections.get(request.protocol)

    async def open(self) -> None:
        self._open = True
        self._network.port = self

    def accept(self) -> ClientConnection:
        inner = self._server()
        connection = self._connection(inner, lambda gone: self._connections.pop(gone.inner, None))
        self._connections[inner] = connection
        return connection

    def begin_outage(self) -> None:
        self._outages += 1
        for connection in list(self._connections.values()):
            connection.reset()

    def end_outage(self) -> None:
        self._outages -= 1

    def close(self) -> None:
        self._open = False
        self._network.port = None
