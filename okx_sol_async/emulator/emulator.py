"""The local exchange as a test sees it."""

from __future__ import annotations

import ipaddress
import itertools
import random
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Final, Self, get_args

from okx_sol_async.emulator.accounts.maintenance import Maintenance
from okx_sol_async.emulator.accounts.product import Product
from okx_sol_async.emulator.accounts.state import ExchangeState
from okx_sol_async.emulator.accounts.users import DEFAULT_BALANCE, DEFAULT_SOL, EmulatedUser
from okx_sol_async.emulator.arguments import (
    check_choice,
    check_flag,
    check_seconds,
    check_share,
    check_status,
    check_time,
    check_whole_number,
    wrong,
)
from okx_sol_async.emulator.clock import ExchangeClock
from okx_sol_async.emulator.faults.base import Fault
from okx_sol_async.emulator.faults.injections import FaultQueue, FaultRule, Injection
from okx_sol_async.emulator.gateway.gateway import Gateway
from okx_sol_async.emulator.gateway.journal import JournalEntry, RequestJournal, Tally
from okx_sol_async.emulator.gateway.stubs import StubResponse, stub_route
from okx_sol_async.emulator.gateway.windows import Window
from okx_sol_async.emulator.network.delay import NetworkDelay
from okx_sol_async.emulator.network.outage import Outage
from okx_sol_async.emulator.network.server import HttpServer
from okx_sol_async.emulator.network.tls import with_faults
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing.credentials import Credentials

# Each emulator of a process has its own keys and users, so no limiter mistakes those of two for the same.
_emulator_numbers = itertools.count(1)


class Emulator:
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
        host: the address to serve on, one that only this machine can reach: ``"127.0.0.1"`` or ``"::1"``.
        port: the port; 0 takes any that is free.
        now: returns the exchange's time, in seconds since 1970 (UTC); `None` is the machine's clock, and interest
            accrues then only when the clock is moved past 16:00 UTC. Rate limits use the event loop's clock.
        product: the terms of SOL staking; `None` for those of OKX's documentation.
        tls: a context for servers, with the certificate to show; `None` serves over plain HTTP.

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
    ) -> None:
        check_choice("window", window, get_args(Window))
        check_seconds("latency", latency)
        check_seconds("jitter", jitter)
        if seed is not None:
            check_whole_number("seed", seed)
        check_whole_number("port", port, least=0, most=65_535)
        _check_host(host)
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise wrong(tls, "tls", "an ssl.SSLContext or None")
        if now is not None and not callable(now):
            raise wrong(now, "now", "callable")
        self._window: Window = window
        self._address = host, port
        self._journal = RequestJournal()
        self._faults = FaultQueue(seed)
        self._state = ExchangeState(ExchangeClock(now), _checked_product(Product() if product is None else product))
        self._gateway = Gateway(self._state, window)
        delay = NetworkDelay(latency, jitter, random.Random(seed))  # noqa: S311 - delays are no secret
        self._server = HttpServer(self._gateway, self._state.clock, self._journal, self._faults, delay)
        self._tls = None if tls is None else with_faults(tls, lambda: self._faults.draw_for("handshake"))
        self._first_uid = 44_700_000_000_000_000 + next(_emulator_numbers) * 1_000_000
        self._user_numbers = itertools.count()
        #: The first user.
        self.user: Final = self.add_user(demo=demo)
        self._has_served = False
        self._url: str | None = None

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
    def credentials(self) -> Credentials:
        """The first key of the first user, with the user's uid as its ``user_id``."""
        return self.user.credentials

    @property
    def users(self) -> tuple[EmulatedUser, ...]:
        """All users, the first one first."""
        return tuple(self._gateway.users.values())

    def add_user(
        self,
        *,
        balance: Balance | None = DEFAULT_BALANCE,
        sol: Decimal = DEFAULT_SOL,
        demo: bool = False,
        main: EmulatedUser | None = None,
        vip: int = 0,
    ) -> EmulatedUser:
        """Return a new user, who has one key and is counted separately from all others.

        Args:
            balance: what the user holds, in OKSOL; `None` is answered with no row at all.
            sol: what the user has in the funding account, in SOL.
            demo: whether the user's keys are for demo trading.
            main: the main account of which this one is a sub-account; `None` for an account of its own.
            vip: the VIP level, which the daily limit of fast redemption may depend on.

        Raises:
            ConfigurationError: an argument is wrong.

        """
        check_flag("demo", demo)
        if main is not None and main not in self.users:
            raise wrong(main, "main", "a user of this exchange or None")
        with self._state.lock:
            uid = str(self._first_uid + next(self._user_numbers))
            user = EmulatedUser(self._state, uid, balance=balance, sol=sol, demo=demo, main=main, vip=vip)
            self._gateway.users[uid] = user
        return user

    @property
    def product(self) -> Product:
        """The terms of SOL staking; they may be set at any time, and hold from then on.

        Raises:
            ConfigurationError: they are set to no `Product`.

        """
        return self._state.product

    @product.setter
    def product(self, product: Product) -> None:
        with self._state.lock:
            for user in self.users:
                user.ledger()
            self._state.product = _checked_product(product)

    @property
    def maintenance(self) -> tuple[Maintenance, ...]:
        """What ``GET /api/v5/system/status`` lists; it may be set at any time, and stops nothing.

        Raises:
            ConfigurationError: it is set to what is not a `Maintenance`.

        """
        return self._state.maintenance

    @maintenance.setter
    def maintenance(self, maintenance: Iterable[Maintenance]) -> None:
        listed = tuple(maintenance)
        for one in listed:
            if not isinstance(one, Maintenance):
                raise wrong(one, "maintenance", "Maintenances")
        self._state.maintenance = listed

    def now(self) -> datetime:
        """Return the time of the exchange, in UTC."""
        return datetime.fromtimestamp(self._state.clock.now(), UTC)

    def advance(self, by: timedelta | float, *, limits: bool = False) -> None:
        """Move the exchange's clock forward, and do everything that is due by then, in order.

        Redemptions are completed and interest accrues at each 16:00 UTC on the way. A request may be signed with the
        time before the move or after it, because the signer's clock has not moved.

        Args:
            by: how far, as a `timedelta` or in seconds.
            limits: whether the clock of the rate limits moves too; otherwise they use the event loop's clock as before.

        Raises:
            ConfigurationError: ``by`` is neither, or negative.

        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        check_seconds("by", seconds)
        check_flag("limits", limits)
        with self._state.lock:
            for user in self.users:
                user.ledger()
            self._state.clock.moved += seconds
            if limits:
                self._state.clock.limits_moved += seconds
            for user in self.users:
                user.ledger(interest=True)

    def set_time(self, to: datetime) -> None:
        """Set the exchange's clock. Moving it forward is like `advance`; moving it back undoes nothing.

        Args:
            to: the time, as an aware datetime.

        Raises:
            ConfigurationError: it is no aware datetime.

        """
        check_time("to", to)
        with self._state.lock:
            seconds = to.timestamp() - self._state.clock.now()
            if seconds >= 0:
                self.advance(seconds)
            else:
                self._state.clock.moved += seconds

    @property
    def calls(self) -> tuple[JournalEntry, ...]:
        """The journal: the calls that were received, oldest first; the last 100,000 of them."""
        return self._journal.all()

    def count(self, *, code: str | None = None, endpoint: str | None = None, uid: str | None = None) -> int:
        """Return how many of `calls` had this code, endpoint and user; `None` stands for any."""
        return len(self._journal.of(endpoint, uid, code))

    def tally(self, *, endpoint: str | None = None, uid: str | None = None) -> Tally:
        """Return how `calls` of this endpoint and user were answered; `None` stands for any."""
        return self._journal.tally(endpoint, uid)

    def arrivals(self, *, endpoint: str | None = None, uid: str | None = None) -> tuple[float, ...]:
        """Return when the calls arrived that the rate limit counted or refused, in seconds of the loop's clock.

        Calls with a fault are included, because they are counted like any other.
        """
        return self._journal.arrivals(endpoint, uid)

    def most_within(self, seconds: float, *, endpoint: str | None = None, uid: str | None = None) -> int:
        """Return the most `arrivals` in any stretch of ``seconds``; never two that are exactly so far apart."""
        return self._journal.most_within(seconds, endpoint, uid)

    def stub(self, method: str, path: str, response: StubResponse, *, status: int = 200, signed: bool = False) -> None:
        """Respond to a method and path that the exchange does not have, or in place of what it has.

        Args:
            method: the HTTP method.
            path: the path, without a query.
            response: what to send as JSON; text and bytes are sent as they are. Or a function that returns one of
                these for each request: it gets an object with ``method``, ``target``, ``query``, ``headers``, ``body``.
            status: the HTTP status.
            signed: whether the request must be signed, as for OKX's private endpoints.

        Raises:
            ConfigurationError: an argument is wrong.

        """
        check_status("status", status)
        check_flag("signed", signed)
        self._gateway.add_stub(stub_route(method, path, response, status=status, signed=signed))

    def fail_next(
        self,
        *faults: Fault,
        times: int | None = 1,
        after: int = 0,
        endpoint: str | None = None,
        user: EmulatedUser | None = None,
    ) -> Injection:
        """Make the next call fail, or the next TLS handshake.

        What is added first applies first, so several of these are a script.

        Args:
            faults: what happens to the call, all of it, from `okx_sol_async.emulator.faults`.
            times: the number of calls, one after the other; `None` for all until it is stopped.
            after: how many matching calls are left alone first.
            endpoint: method and path of the calls; `None` for all.
            user: whose calls; `None` for everyone's.

        Returns:
            What counts the calls that the faults applied to, and stops it.

        Raises:
            ConfigurationError: an argument is wrong, and `ConfigurationError.argument` names it.

        """
        return self._fail(faults, endpoint, user, probability=1.0, times=times, after=after)

    def fail_sometimes(
        self,
        *faults: Fault,
        probability: float,
        times: int | None = None,
        after: int = 0,
        endpoint: str | None = None,
        user: EmulatedUser | None = None,
    ) -> Injection:
        """Make each call fail with a probability, from 0 to 1, by the seed of the exchange.

        The other arguments are those of `fail_next`.

        Raises:
            ConfigurationError: an argument is wrong, and `ConfigurationError.argument` names it.

        """
        check_share("probability", probability)
        return self._fail(faults, endpoint, user, probability=probability, times=times, after=after)

    def _fail(
        self,
        faults: tuple[Fault, ...],
        endpoint: str | None,
        user: EmulatedUser | None,
        *,
        probability: float,
        times: int | None,
        after: int,
    ) -> Injection:
        if times is not None:
            check_whole_number("times", times, least=1)
        check_whole_number("after", after, least=0)
        if endpoint is not None:
            check_choice("endpoint", endpoint, self._gateway.endpoints)
        if user is not None and user not in self.users:
            raise wrong(user, "user", "a user of this exchange or None")
        rule = FaultRule(
            _checked_faults(faults), endpoint, None if user is None else user.uid, probability, times, after
        )
        if rule.faults[0].target == "handshake":
            self._check_handshake_fault(rule)
        return self._faults.add(rule)

    def _check_handshake_fault(self, rule: FaultRule) -> None:
        if rule.endpoint is not None or rule.uid is not None:
            message = f"{rule.faults[0]!r} applies to a handshake, before any call: leave out endpoint and user"
            raise ConfigurationError(message, argument="faults")
        if self._tls is None:
            message = f"{rule.faults[0]!r} applies to a TLS handshake, and this exchange serves plain HTTP"
            raise ConfigurationError(message, hint="Pass an ssl.SSLContext: Emulator(tls=...).", argument="faults")

    def stop_failing(self) -> None:
        """Apply no fault to any further call, and release the responses that are held; an outage goes on."""
        self._faults.stop()

    @property
    def unused_faults(self) -> tuple[Injection, ...]:
        """What `fail_next` has returned and has not applied to a single call."""
        return self._faults.unused

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
        if self._has_served:
            message = "an emulator serves only once"
            raise ConfigurationError(message, hint="Make another Emulator.")
        self._has_served = True


def _check_host(host: object) -> None:
    try:
        is_local = isinstance(host, str) and ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise wrong(host, "host", "an address that only this machine can reach, such as 127.0.0.1 or ::1")


def _checked_product(product: object) -> Product:
    if not isinstance(product, Product):
        raise wrong(type(product).__name__, "product", "a Product")
    return product


def _checked_faults(faults: tuple[object, ...]) -> tuple[Fault, ...]:
    """Return the faults, of which there must be at least one."""
    found = tuple(fault for fault in faults if isinstance(fault, Fault))
    for fault in faults:
        if not isinstance(fault, Fault):
            message = f"faults must be of okx_sol_async.emulator.faults, not {fault!r}"
            raise ConfigurationError(message, hint="Write Reset() and not Reset, for example.", argument="faults")
    if not found:
        message = "faults must be at least one"
        raise ConfigurationError(message, argument="faults")
    if len(found) > 1 and any(fault.target != "call" for fault in found):
        message = "faults of a handshake must be used alone"
        raise ConfigurationError(message, hint="Several calls of fail_next are a script.", argument="faults")
    return found
