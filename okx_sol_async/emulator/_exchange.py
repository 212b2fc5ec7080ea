"""The exchange without its network: users, terms, clock, faults and the journal."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, get_args

from okx_sol_async.emulator._arguments import (
    check_choice,
    check_flag,
    check_seconds,
    check_share,
    check_status,
    check_time,
    check_whole_number,
    wrong,
)
from okx_sol_async.emulator._clock import ExchangeClock
from okx_sol_async.emulator.accounts._maintenance import Maintenance
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.emulator.accounts._state import ExchangeState
from okx_sol_async.emulator.accounts._users import DEFAULT_BALANCE, DEFAULT_SOL, EmulatedUser
from okx_sol_async.emulator.control._fault_values import fault_of
from okx_sol_async.emulator.control._restore import restore_user, take_snapshot
from okx_sol_async.emulator.control._snapshot import Snapshot, from_plain, read_state_file, to_plain
from okx_sol_async.emulator.faults._base import Fault
from okx_sol_async.emulator.faults._injections import FaultQueue, FaultRule, Injection
from okx_sol_async.emulator.gateway._gateway import ROUTES, Gateway
from okx_sol_async.emulator.gateway._journal import JournalEntry, RequestJournal, Tally
from okx_sol_async.emulator.gateway._stubs import StubResponse, stub_route
from okx_sol_async.emulator.gateway._windows import Window
from okx_sol_async.emulator.upstream._recording import Recording
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing._credentials import Credentials

# Each exchange of a process has its own keys and users, so no limiter mistakes those of two for the same.
_exchange_numbers = itertools.count(1)


class EmulatedExchange:
    """What a test and the control API can do with an exchange, whether it serves or not."""

    def __init__(
        self, *, window: Window, seed: int | None, demo: bool, now: Callable[[], float] | None, product: Product | None
    ) -> None:
        check_choice("window", window, get_args(Window))
        if seed is not None:
            check_whole_number("seed", seed)
        if now is not None and not callable(now):
            raise wrong(now, "now", "callable")
        self._window: Window = window
        self._journal = RequestJournal()
        self._recording = Recording()
        self._faults = FaultQueue(seed)
        self._state = ExchangeState(ExchangeClock(now), _checked_product(Product() if product is None else product))
        self._gateway = Gateway(self._state, window)
        self._has_tls = False
        self._initial: Snapshot | None = None
        self._first_uid = 44_700_000_000_000_000 + next(_exchange_numbers) * 1_000_000
        self._user_numbers = itertools.count()
        #: The first user.
        self.user: Final = self.add_user(demo=demo)

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
        if not self._has_tls:
            message = f"{rule.faults[0]!r} applies to a TLS handshake, and this exchange serves plain HTTP"
            raise ConfigurationError(message, hint="Pass an ssl.SSLContext: Emulator(tls=...).", argument="faults")

    def stop_failing(self) -> None:
        """Apply no fault to any further call, and release the responses that are held; an outage goes on."""
        self._faults.stop()

    @property
    def unused_faults(self) -> tuple[Injection, ...]:
        """What `fail_next` has returned and has not applied to a single call."""
        return self._faults.unused

    def snapshot(self) -> dict[str, object]:
        """Return the state as plain types: users, keys, balances, orders, terms, clock and faults.

        Written as JSON it is a state file. It contains the keys' secrets, which are made up unless a test set them.
        """
        with self._state.lock:
            taken: dict[str, object] = to_plain(take_snapshot(self._state, self.users, self._faults))
        return taken

    def restore(self, snapshot: Mapping[str, object] | Path | str) -> None:
        """Replace the state by that of `snapshot`, or of a state file in JSON or TOML; the journal stays.

        The first user of the snapshot becomes `user`, and so on; what a file leaves out is as for a new exchange.

        Raises:
            ConfigurationError: a field is wrong or unknown, and `ConfigurationError.argument` names it.

        """
        if isinstance(snapshot, Path | str):
            stored = read_state_file(snapshot)
        else:
            stored = from_plain(snapshot, Snapshot, "snapshot")
        with self._state.lock:
            self._restore(stored)

    def _restore(self, stored: Snapshot) -> None:
        rules = [(tuple(map(fault_of, one.faults)), one) for one in stored.faults]
        if not stored.users:
            message = "users must be at least one"
            raise ConfigurationError(message, argument="users")
        clock = self._state.clock
        if stored.clock.now is not None:
            fixed = stored.clock.now.timestamp()
            clock.source = lambda: fixed
        clock.moved, clock.limits_moved = stored.clock.moved, stored.clock.limits_moved
        self._state.product, self._state.maintenance = stored.product, stored.maintenance
        self._state.pool = stored.pool
        self._restore_users(stored)
        self._faults.reset()
        by_uid = self._gateway.users
        for made, one in rules:
            self._fail(
                made,
                one.endpoint,
                None if one.user is None else by_uid.get(one.user),
                probability=one.probability,
                times=one.times,
                after=one.after,
            )

    def _restore_users(self, stored: Snapshot) -> None:
        users = list(self.users)
        for extra in users[len(stored.users) :]:
            for key in extra.keys:
                del self._state.keys[key.credentials.api_key]
        users = users[: len(stored.users)]
        while len(users) < len(stored.users):
            users.append(self.add_user())
        self._gateway.users.clear()
        for user, one in zip(users, stored.users, strict=True):
            main = None if one.main is None else self._gateway.users.get(one.main)
            restore_user(user, one, main, self._state.clock.now())
            self._gateway.users[user.uid] = user

    def reset(self) -> None:
        """Return to the state in which it began to serve: no journal, no faults, no stubs, no calls counted.

        Users that were added since then are removed; an outage goes on.
        """
        with self._state.lock:
            if self._initial is not None:
                self._restore(self._initial)
            self._faults.reset()
            self._gateway.reset()
            self._journal.clear()

    @property
    def journal(self) -> RequestJournal:
        """The journal itself, which calls its listeners with each new entry."""
        return self._journal

    @property
    def recording(self) -> Recording:
        """What ``upstream`` has sent; it calls its listeners after each response."""
        return self._recording

    def recorded(self) -> dict[str, object]:
        """Return what the exchange ``upstream`` has sent, as a state file in plain types, without secrets.

        Users, balances, orders and terms are those that the responses show. ``"recorded"`` lists the responses, and
        where each differs in shape from what the emulator sends.
        """
        return self._recording.state()

    @property
    def faults(self) -> tuple[Injection, ...]:
        """What `fail_next` and `fail_sometimes` have returned and may still apply to a call."""
        return self._faults.waiting

    @property
    def window(self) -> Window:
        """How calls are counted."""
        return self._window

    @property
    def limits(self) -> Mapping[str, tuple[int, float]]:
        """The rate limit of each endpoint: requests, and seconds."""
        return {route.endpoint: (route.requests, route.seconds) for route in ROUTES.values()}

    def _remember_state(self) -> None:
        """Take the state that `reset` returns to."""
        with self._state.lock:
            self._initial = take_snapshot(self._state, self.users, self._faults)


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
