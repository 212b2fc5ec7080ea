"""The local exchange as a test sees it."""

from __future__ import annotations

import ipaddress
import random
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from okx_sol_async.emulator._arguments import (
    check_seconds,
    check_text,
    check_whole_number,
    wrong,
)
from okx_sol_async.emulator._exchange import EmulatedExchange
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.emulator.control._api import ControlApi
from okx_sol_async.emulator.gateway._windows import Window
from okx_sol_async.emulator.network._delay import NetworkDelay
from okx_sol_async.emulator.network._outage import Outage
from okx_sol_async.emulator.network._server import HttpServer
from okx_sol_async.emulator.network._tls import with_faults
from okx_sol_async.emulator.upstream._forwarding import Upstream
from okx_sol_async.errors import ConfigurationError


class Emulator(EmulatedExchange):
    """A local exchange, for tests and for trying things out.

    Serve it with ``async with`` in the running event loop, or with ``with`` from a background thread.
    It serves once. What it counted can be read until the end and after it.

    Args:
        window: how calls are counted: ``"sliding"`` (a log of the last second), ``"fixed"`` (stretches that begin at
            whole multiples of the window), ``"token"`` (a bucket that is refilled evenly) or ``"counter"`` (two fixed
            stretches, of which the previous one is weighted).
        latency: seconds that a request is in flight before it is checked and counted, and a response is in flight.
        jitter: the most seconds that are added at random to each of the two.
        seed: makes the jitter and the faults of `fail_sometimes` repeatable.
        demo: whether the first user is one of demo trading.
        host: the address to serve on: ``"127.0.0.1"`` or ``"::1"``; one that other machines can reach needs a ``token``.
        port: the port; 0 takes any that is free.
        now: returns the exchange's time, in seconds since 1970 (UTC); `None` is the machine's clock, and interest
            accrues then only when the clock is moved past 16:00 UTC. Rate limits use the event loop's clock.
        product: the terms of SOL staking; `None` for those of OKX's documentation.
        tls: a context for servers, with the certificate to show; `None` serves over plain HTTP.
        token: what the control API asks for, as a bearer token; `None` asks for none, and serves this machine only.
        upstream: the URL of an exchange to which documented reads are passed through, and from which `recorded` is;
            writes are refused with 50120 and never passed through. `None` for none.

    Raises:
        ConfigurationError: an argument is wrong, and `ConfigurationError.argument` names it; or, when served,
            the port is taken or this emulator has been served before.

    """

    def __init__(
        self,
        *,
        window: Window = "sliding",
        latency: float = 0.0,
        jitter: float = 0.0,
        seed: int | None = None,
        demo: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], float] | None = None,
        product: Product | None = None,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
        upstream: str | None = None,
    ) -> None:
        check_seconds("latency", latency)
        check_seconds("jitter", jitter)
        check_whole_number("port", port, least=0, most=65_535)
        if token is not None:
            check_text("token", token)
        _check_host(host, token)
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise wrong(tls, "tls", "an ssl.SSLContext or None")
        super().__init__(window=window, seed=seed, demo=demo, now=now, product=product)
        self._address = host, port
        self._url: str | None = None
        self._has_tls = tls is not None
        self._tls = None if tls is None else with_faults(tls, lambda: self._faults.draw_for("handshake"))
        delay = NetworkDelay(latency, jitter, random.Random(seed))  # noqa: S311 - delays are no secret
        control = ControlApi(self, self.outage, token)
        self._server = HttpServer(
            self._gateway,
            self._state.clock,
            self._journal,
            self._faults,
            delay=delay,
            control=control.respond,
            upstream=None if upstream is None else Upstream(upstream, self._gateway, self._recording),
        )

    def __repr__(self) -> str:
        return f"<Emulator {self._url or 'not serving'}: {self._window} window, {len(self._journal)} calls>"

    @property
    def url(self) -> str:
        """Where it serves, such as ``"http://127.0.0.1:40113"``.

        Raises:
            ConfigurationError: it has not been served yet.

        """
        if self._url is None:
            message = "the emulator has no url before it serves"
            raise ConfigurationError(message, hint="Serve it with `async with` or `with`.")
        return self._url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a program to the exchange and its first user: ``OKX_BASE_URL`` and the others.

        Raises:
            ConfigurationError: it has not been served yet.

        """
        key = self.credentials
        return {
            "OKX_BASE_URL": self.url,
            "OKX_API_KEY": key.api_key,
            "OKX_SECRET_KEY": key.secret_key,
            "OKX_PASSPHRASE": key.passphrase,
            "OKX_USER_ID": self.user.uid,
            "OKX_DEMO": "1" if self.user.demo else "0",
        }

    def outage(self, seconds: float | None = None) -> Outage:
        """Refuse connections from now on, and reset the open ones.

        Args:
            seconds: for how long, by the clock of the event loop; `None` until it is ended.

        Returns:
            What ends it: with `Outage.end`, or at the end of a ``with`` block.

        Raises:
            ConfigurationError: the exchange does not serve, or ``seconds`` is no number of seconds.

        """
        if seconds is not None:
            check_seconds("seconds", seconds)
        port = self._server.port
        if port is None:
            message = "an exchange that does not serve has no outage"
            raise ConfigurationError(message, hint="Serve it with `async with` or `with`.")
        return Outage(self._server, port, seconds)

    async def __aenter__(self) -> Self:
        self._begin()
        self._url = await self._server.start(*self._address, self._tls)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.stop()

    def __enter__(self) -> Self:
        self._begin()
        self._url = self._server.start_in_background(*self._address, self._tls)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop_in_background()

    def _begin(self) -> None:
        if self._initial is not None:
            message = "an emulator serves only once"
            raise ConfigurationError(message, hint="Make another Emulator.")
        self._remember_state()


def _check_host(host: object, token: str | None) -> None:
    try:
        address = ipaddress.ip_address(host if isinstance(host, str) else "")
    except ValueError:
        raise wrong(host, "host", "an IP address such as 127.0.0.1 or ::1") from None
    if token is None and not address.is_loopback:
        message = f"host must be an address that only this machine can reach, or come with a token, not {host!r}"
        raise ConfigurationError(message, argument="host")
