"""Outages: stretches in which the exchange refuses connections."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from okx_sol_async.emulator.network._connections import ListeningPort
from okx_sol_async.emulator.network._server import HttpServer


class Outage:
    """An outage of the exchange; `Emulator.outage` returns it. With ``with`` it ends at the end of the block."""

    def __init__(self, server: HttpServer, port: ListeningPort, seconds: float | None) -> None:
        self._server = server
        self._port = port
        self._seconds = seconds
        self._ended = False
        server.run_in_loop(self._begin)

    def _begin(self) -> None:
        self._port.begin_outage()
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._end)

    def end(self) -> None:
        """Accept connections again; a second time does nothing."""
        self._server.run_in_loop(self._end)

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._port.end_outage()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
