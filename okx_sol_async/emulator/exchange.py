"""The local exchange as a test sees it."""

from __future__ import annotations

import ipaddress
import itertools
import random
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Final, Self

from okx_sol_async.emulator import names
from okx_sol_async.emulator.arguments import check_flag, check_seconds, check_share, check_whole_number
from okx_sol_async.emulator.calls import Call, CallLog, Tally
from okx_sol_async.emulator.clock import Clock
from okx_sol_async.emulator.faults import Fault, OfHandshake, check_faults
from okx_sol_async.emulator.front import Front
from okx_sol_async.emulator.handshakes import TRUSTED, Shown, context_of
from okx_sol_async.emulator.injections import Injection, Injections
from okx_sol_async.emulator.product import Product
from okx_sol_async.emulator.routes import ROUTES
from okx_sol_async.emulator.server import Outage, Server, Ways
from okx_sol_async.emulator.users import DEFAULT_BALANCE, DEFAULT_SOL, EmulatedUser, World
from okx_sol_async.emulator.windows import WINDOWS, Window
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing.credentials import Credentials

# Each emulator of a process has keys and users of its own, so no limiter takes those of two for the same.
_emulator_numbers = itertools.count(1)


class Emulator:
    """A local exchange, for tests and for trying things out.

    Serve it with ``async with`` in the running event loop, or with ``with`` from a background thread.
    It serves once. What it counted can be read until the end and after it.

    Args:
        window: how calls are counted: ``"sliding"`` (a log of the last second; what it accepts, the next two accept
            too), ``"fixed"`` (stretches that begin at whole multiples), ``"token"`` (a bucket that is refilled evenly)
            or ``"counter"`` (two fixed stretches, of which the one before counts less and less).
        latency: seconds that a request travels before it is checked and counted, and an answer travels back.
        jitter: the most seconds that are added at random to each of the two ways.
        seed: makes the jitter and the faults of `fail_sometimes` repeatable.
        demo: whether the first user is one of demo trading.
        host: the address to serve on, one that only this machine can reach: ``"127.0.0.1"`` or ``"::1"``.
        port: the port; 0 takes any that is free.
        now: returns the exchange's time, in seconds since 1970 (UTC); `None` is the machine's clock, and interest
            accrues then only when `advance` moves it past 16:00 UTC. Rate limits go by the event loop's clock.
        product: the terms of SOL staking; `None` for those of OKX's documentation.
        tls: whether it serves over TLS, with a certificate that nobody trusts but who trusts `certificate`.

    Raises:
        ConfigurationError: an argument is wrong, and the message names it; or, when served,
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
        tls: bool = False,
    ) -> None:
        if window not in WINDOWS:
            message = f"window must be one of {', '.join(WINDOWS)}, not {window!r}"
            raise ConfigurationError(message)
        check_seconds("latency", latency)
        check_seconds("jitter", jitter)
        if seed is not None:
            check_whole_number("seed", seed)
        check_whole_number("port", port)
        if not 0 <= port <= 65_535:
            message = f"port must be from 0 to 65535, not {port}"
            raise ConfigurationError(message, argument="port")
        _check_host(host)
        check_flag("tls", tls)
        if now is not None and not callable(now):
            message = f"now must be callable, not {now!r}"
            raise ConfigurationError(message)
        self._window: Window = window
        self._host = host
        self._port = port
        self._calls = CallLog()
        self._injections = Injections(seed)
        self._world = World(Clock(now), _check_product(Product() if product is None else product))
        ways = Ways(latency, jitter, random.Random(seed))  # noqa: S311 - delays are no secret
        front = Front(self._world, window)
        self._server = Server(front, self._world.clock, self._calls, self._injections, ways)
        self._tls = tls
        if tls:
            self._server.tls = context_of(self._show)
        self._users: list[EmulatedUser] = []
        self._first_uid = 44_700_000_000_000_000 + next(_emulator_numbers) * 1_000_000
        self._user_numbers = itertools.count()
        #: The first user.
        self.user: Final = self.add_user(demo=demo)
        self._begun = False
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"<Emulator {self._url or 'not serving'}: {self._window} window, {len(self._calls)} calls>"

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
    def named_url(self) -> str:
        """The same by a name that has to be looked up: ``"http://localhost:40113"``.

        It leads to the exchange if it serves on an address that ``localhost`` is on this machine. 127.0.0.1 is one
        nearly everywhere, ``::1`` often, and no other is.

        Raises:
            ConfigurationError: it has not been served yet.

        """
        scheme, _, address = self.url.partition("://")
        return f"{scheme}://{names.NAME}:{address.rpartition(':')[2]}"

    @property
    def certificate(self) -> str:
        """What a client must trust to get along with an exchange over TLS, in PEM; it is the same for all of them.

        ``ssl.create_default_context(cadata=exchange.certificate)`` makes a context that does. It holds for localhost,
        127.0.0.1 and ::1, and its private key is known to everybody.
        """
        return TRUSTED

    @property
    def credentials(self) -> Credentials:
        """The first key of the first user, with the user's uid as its ``user_id``."""
        return self.user.credentials

    def add_user(
        self,
        *,
        balance: Balance | None = DEFAULT_BALANCE,
        sol: Decimal = DEFAULT_SOL,
        demo: bool = False,
        main: EmulatedUser | None = None,
    ) -> EmulatedUser:
        """Return a new user, who has one key and is counted apart from all others.

        Args:
            balance: what the user holds, in OKSOL; `None` is answered with no row at all.
            sol: what the user has in the funding account, in SOL.
            demo: whether the user's keys are for demo trading.
            main: the main account of which this one is a sub-account; `None` for an account of its own.

        Raises:
            ConfigurationError: an argument is wrong.

        """
        check_flag("demo", demo)
        if main is not None and main not in self._users:
            message = f"main must be a user of this exchange or None, not {main!r}"
            raise ConfigurationError(message)
        with self._world.lock:
            uid = str(self._first_uid + next(self._user_numbers))
            user = EmulatedUser(self._world, uid, balance=balance, sol=sol, demo=demo, main=main)
            self._users.append(user)
        return user

    @property
    def product(self) -> Product:
        """The terms of SOL staking; they may be set at any time, and hold for what happens from then on.

        Raises:
            ConfigurationError: they are set to no `Product`.

        """
        return self._world.product

    @product.setter
    def product(self, product: Product) -> None:
        with self._world.lock:
            for user in self._users:
                user.settled()
            self._world.product = _check_product(product)

    def now(self) -> datetime:
        """Return the time of the exchange, in UTC."""
        return datetime.fromtimestamp(self._world.clock.now(), UTC)

    def advance(self, by: timedelta | float) -> None:
        """Move the exchange's clock forward, and let everything happen that is due by then, in its order.

        Redemptions are completed and interest accrues at each 16:00 UTC on the way. The limits do not move: they go by
        the event loop's clock. A request may be signed with the time before the move or after it, because
        the clock of whoever signs has not moved.

        Args:
            by: for how long, as a `timedelta` or in seconds.

        Raises:
            ConfigurationError: it is neither, or negative.

        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        check_seconds("by", seconds)
        with self._world.lock:
            for user in self._users:
                user.settled()
            self._world.clock.moved += seconds
            for user in self._users:
                user.settle_with_interest()

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that came in, oldest first; the last 100,000 of them."""
        return self._calls.all()

    def count(self, *, code: str | None = None, endpoint: str | None = None, uid: str | None = None) -> int:
        """Return how many of `calls` had this code, endpoint and user; `None` stands for any."""
        return sum(code in (None, call.code) for call in self._calls.of(endpoint, uid))

    def tally(self, *, endpoint: str | None = None, uid: str | None = None) -> Tally:
        """Return how `calls` of this endpoint and user were answered; `None` stands for any."""
        calls = self._calls.of(endpoint, uid)
        return Tally(
            received=len(calls),
            accepted=sum(call.accepted for call in calls),
            refused=sum(call.refused for call in calls),
            rejected=sum(call.rejected for call in calls),
            faulted=sum(bool(call.faults) for call in calls),
        )

    def arrivals(self, *, endpoint: str | None = None, uid: str | None = None) -> tuple[float, ...]:
        """Return when the calls came that the rate limit counted or refused, in seconds of the loop's clock.

        A call that met a fault is one of them, because it is counted like any other.
        """
        return tuple(call.arrived_at for call in self._calls.of(endpoint, uid) if not call.rejected or call.faults)

    def most_within(self, seconds: float, *, endpoint: str | None = None, uid: str | None = None) -> int:
        """Return the most `arrivals` in any stretch of ``seconds``; never two that are just so far apart."""
        stretch: deque[float] = deque()
        most = 0
        for arrived_at in self.arrivals(endpoint=endpoint, uid=uid):
            stretch.append(arrived_at)
            while arrived_at - stretch[0] >= seconds:
                stretch.popleft()
            most = max(most, len(stretch))
        return most

    def fail_next(
        self,
        *faults: Fault,
        times: int | None = 1,
        endpoint: str | None = None,
        user: EmulatedUser | None = None,
    ) -> Injection:
        """Let the next call go wrong, or the next handshake, or the next look-up of the exchange's name.

        What is added first befalls the first call that it means, so several of these are a script.

        Args:
            faults: what befalls the call, all of it, from `okx_sol_async.emulator.faults`.
            times: how many calls it befalls, one after the other; `None` for all until it is stopped.
            endpoint: method and path of the calls that it may befall; `None` for all.
            user: whose calls; `None` for everybody's.

        Returns:
            What counts the calls that it befell, and stops it.

        Raises:
            ConfigurationError: an argument is wrong, and the message names it.

        """
        return self._fail(faults, 1.0, times, endpoint, user)

    def fail_sometimes(
        self,
        *faults: Fault,
        probability: float,
        times: int | None = None,
        endpoint: str | None = None,
        user: EmulatedUser | None = None,
    ) -> Injection:
        """Let each call go wrong with a probability, from 0 to 1, by the seed of the exchange.

        The other arguments are those of `fail_next`.

        Raises:
            ConfigurationError: an argument is wrong, and the message names it.

        """
        check_share("probability", probability)
        return self._fail(faults, probability, times, endpoint, user)

    def _fail(
        self,
        faults: tuple[Fault, ...],
        probability: float,
        times: int | None,
        endpoint: str | None,
        user: EmulatedUser | None,
    ) -> Injection:
        if times is not None:
            check_whole_number("times", times, least=1)
        if endpoint is not None and endpoint not in ROUTES:
            message = f"endpoint must be one of {', '.join(ROUTES)}, not {endpoint!r}"
            raise ConfigurationError(message)
        if user is not None and user not in self._users:
            message = f"user must be one of this exchange or None, not {user!r}"
            raise ConfigurationError(message)
        uid = None if user is None else user.uid
        checked = check_faults(faults)
        if checked[0].befallen != "call":
            self._prepare_the_way(checked[0], endpoint, uid)
        return self._injections.add(checked, endpoint, uid, probability, times)

    def _prepare_the_way(self, fault: Fault, endpoint: str | None, uid: str | None) -> None:
        """See that a fault can befall the way to the exchange."""
        if endpoint is not None or uid is not None:
            message = f"{fault!r} befalls what comes before any call: leave out endpoint and user"
            raise ConfigurationError(message)
        if fault.befallen == "handshake" and not self._tls:
            message = f"{fault!r} befalls a handshake of TLS, and this exchange makes none"
            raise ConfigurationError(message, hint="Make it with Emulator(tls=True).")
        if fault.befallen == "look-up":
            port = self._server.port
            if port is None:
                message = "nobody can look up an exchange that does not serve"
                raise ConfigurationError(message, hint="Serve it with `async with` or `with`.")
            names.begin(port.number, lambda: self._injections.draw_on_the_way("look-up") is not None)

    def _let_names_be(self) -> None:
        if self._server.port is not None:
            names.end(self._server.port.number)

    def _show(self) -> Shown:
        """Return what the next handshake shows."""
        fault = self._injections.draw_on_the_way("handshake")
        return fault.shown if isinstance(fault, OfHandshake) else "right"

    def stop_failing(self) -> None:
        """Let no fault befall anything any more, and let those answers go that are held; an outage goes on."""
        self._injections.stop()

    def outage(self, seconds: float | None = None) -> Outage:
        """Refuse connections from now on, and reset those that there are.

        Args:
            seconds: for how long, by the clock of the event loop; `None` for until it is ended.

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
        self._url = await self._server.start(self._host, self._port)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._let_names_be()
        await self._server.stop()

    def __enter__(self) -> Self:
        self._begin()
        self._url = self._server.start_in_background(self._host, self._port)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._let_names_be()
        self._server.stop_in_background()

    def _begin(self) -> None:
        if self._begun:
            message = "an emulator serves only once"
            raise ConfigurationError(message, hint="Make another Emulator.")
        self._begun = True


def _check_host(host: object) -> None:
    try:
        is_local = isinstance(host, str) and ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        message = f"host must be an address that only this machine can reach, such as 127.0.0.1 or ::1, not {host!r}"
        raise ConfigurationError(message)


def _check_product(product: object) -> Product:
    if not isinstance(product, Product):
        message = f"product must be a Product, not {type(product).__name__}"
        raise ConfigurationError(message)
    return product
