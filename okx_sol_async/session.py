"""The session: what all calls of a service share, and the way to make one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from copy import copy
from datetime import UTC, datetime
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

import attrs
from yarl import URL

from okx_sol_async._checks import flag, seconds, whole_number, wrong
from okx_sol_async._checkup import Checkup, check
from okx_sol_async._settings import (
    BORROWED_OPTIONS,
    NO_OPTIONS,
    SessionSettings,
    check_method,
    checked_max_wait,
    checked_middlewares,
    checked_origin,
    demo_from_env,
    region_from_env,
)
from okx_sol_async._writes import WriteLog
from okx_sol_async.config import Region
from okx_sol_async.endpoint import ACCOUNT_CONFIG, SYSTEM_TIME
from okx_sol_async.errors import SessionClosed
from okx_sol_async.ratelimit._local import PROCESS_LIMITER
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.signing._owners import PROCESS_OWNERS
from okx_sol_async.transport._call import Call, ask_time
from okx_sol_async.transport._http import Connections, another_loop
from okx_sol_async.transport._in_flight import Shutdown
from okx_sol_async.transport._metrics import Counters, Observe, observers_of
from okx_sol_async.transport._report import response_of
from okx_sol_async.transport._state import CallOptions, SessionState, check_call

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import ClientMiddlewareType

    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.ratelimit._limit import Bucket, Limiter
    from okx_sol_async.transport._clock_sync import TimeSample
    from okx_sol_async.transport._response import Response

_R = TypeVar("_R")

#: How long closing waits for the calls that it ends, in seconds.
_CLOSING_TIMEOUT: Final = 1.0
#: The most times that OKX is asked for its time in one go.
_MAX_SAMPLES: Final = 100


class Session:
    """The connections and limits that all users of a service share.

    Use it as an async context manager, or call `aclose`. It opens when the first call is made, and belongs to the
    event loop and the process of that call.

    Args:
        region: which of OKX's hosts.
        base_url: another host instead, as ``https://host``; plain ``http`` only for a loopback address.
            `None`: the host of ``region``.
        demo: demo trading, with the keys of demo trading.
        http: an `aiohttp.ClientSession` to borrow, for its connector and its proxy. It is never closed. Its own
            middlewares do not run: pass them as ``middlewares``. Its cookies and ``Authorization`` are not sent to OKX.
            `None`: the session opens one of its own, without cookies and proxies.
        middlewares: aiohttp client middlewares that run outside the rate limit, outermost first.
        limiter: where the buckets come from. `None`: those of this process, which it shares with every other session.
        timeout: seconds for one send, from its lease to the last byte of the response.
        max_wait: the most seconds that a call may wait in the queue of its user's limit; `None` for as long as it
            takes.
        attempts: how many times a read is tried in all when the network or OKX fails for a moment, with growing waits
            between. Calls that OKX has refused for their rate or their timestamp (50011, 50102) are resent without
            counting. A write is tried once.
        observe: an `Observer`, which receives the events of each call; or a callable, which is called with a
            `CallReport` when a call has ended; or several of them. Calls that ask OKX for its time to correct the clock
            are reported too. They should return at once, and what they raise is logged. `None`: no event is built.
        write_log: keeps purchases and redemptions from before they are sent until it is known what became of them; a
            `SQLiteWriteLog` outlives the process. `None`: the `MemoryWriteLog` of this process.

    Raises:
        ConfigurationError: an argument is not of the kind above; its ``argument`` names it.

    """

    def __init__(
        self,
        *,
        region: Region = Region.GLOBAL,
        base_url: str | None = None,
        demo: bool = False,
        http: aiohttp.ClientSession | None = None,
        middlewares: Iterable[ClientMiddlewareType] = (),
        limiter: Limiter | None = None,
        timeout: float = 10.0,
        max_wait: float | None = None,
        attempts: int = 3,
        observe: Observe = None,
        write_log: WriteLog | None = None,
    ) -> None:
        if type(region) is not Region:
            raise wrong(region, "region", f"one of {', '.join(map(str, Region))}")
        check_method("http", http, "request")
        check_method("limiter", limiter, "bucket")
        for method in ("put", "remove", "read", "merge"):
            check_method("write_log", write_log, method)
        self._state = SessionState(
            origin=URL(region.value) if base_url is None else checked_origin(base_url),
            demo=flag("demo", demo),
            middlewares=checked_middlewares(middlewares),
            limiter=PROCESS_LIMITER if limiter is None else limiter,
            request_options=NO_OPTIONS if http is None else BORROWED_OPTIONS,
            observers=observers_of(observe),
        )
        self._options = CallOptions(
            timeouts=self._state.timeouts.of(seconds("timeout", timeout, positive=True)),
            max_wait=checked_max_wait(max_wait),
            attempts=whole_number("attempts", attempts),
            background=False,
        )
        #: The session that this one is a view of; `None` if it is none.
        self._viewed: Session | None = None
        self._connections = Connections(http)
        self._write_log = write_log
        self._shutdown = Shutdown()

    @classmethod
    def from_env(cls, **settings: Unpack[SessionSettings]) -> Session:
        """Make a session from ``OKX_REGION`` (``global``, ``us``, ``eea``), ``OKX_BASE_URL`` and ``OKX_DEMO``.

        Args:
            settings: any keyword of `Session`. ``region``, ``base_url`` and ``demo`` win over their variables unless
                they are `None`; ``region`` wins over ``OKX_BASE_URL`` too, and ``base_url`` over ``region``.

        Raises:
            ConfigurationError: a variable has a value that it cannot have, and the message names it; or as `Session`
                does.

        """
        region, base_url, demo = settings.get("region"), settings.get("base_url"), settings.get("demo")
        if base_url is None and region is None:
            base_url = os.environ.get("OKX_BASE_URL") or None
            region = region_from_env()
        settings["region"] = Region.GLOBAL if region is None else region
        settings["base_url"] = base_url
        settings["demo"] = demo_from_env() if demo is None else demo
        return cls(**settings)  # type: ignore[arg-type] # neither region nor demo is None any more

    def with_options(
        self,
        *,
        timeout: float | EllipsisType = ...,
        max_wait: float | EllipsisType | None = ...,
        attempts: int | EllipsisType = ...,
        background: bool | EllipsisType = ...,
    ) -> Session:
        """Return a view of the session whose calls have other options: ``session.with_options(timeout=2.0)``.

        It shares connections, limits, clock, retry budget and counters with this session, and is closed with it.
        Closing the view does nothing. Making one is cheap, so it may be made for a single call.

        Args:
            timeout: as for `Session`. An ellipsis, for each argument: as here.
            max_wait: as for `Session`.
            attempts: as for `Session`.
            background: whether the calls wait behind all others of their user and endpoint, also those of other
                machines that share the limit, and those that come later. `False` for a session. A limiter that is not
                of this package has to do without.

        Raises:
            ConfigurationError: an argument is not of the kind that `Session` takes; its ``argument`` names it.

        """
        options = self._options
        view = copy(self)
        view._viewed = self._viewed or self  # noqa: SLF001 - a session of this class
        view._options = CallOptions(  # noqa: SLF001 - as above
            timeouts=options.timeouts
            if isinstance(timeout, EllipsisType)
            else self._state.timeouts.of(seconds("timeout", timeout, positive=True)),
            max_wait=options.max_wait if isinstance(max_wait, EllipsisType) else checked_max_wait(max_wait),
            attempts=options.attempts if isinstance(attempts, EllipsisType) else whole_number("attempts", attempts),
            background=options.background if isinstance(background, EllipsisType) else flag("background", background),
        )
        return view

    def __repr__(self) -> str:
        demo = ", demo" if self._state.demo else ""
        state = "closed" if self.closed else f"{len(self._state.in_flight)} calls in flight"
        return f"<Session {self._state.origin}{demo}, {state}>"

    async def __aenter__(self) -> Self:
        """Return the session itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self, drain: float = 0.0) -> None:
        """Close what the session opened.

        No new calls are made. Those in flight may take ``drain`` more seconds; then the rest end with `SessionClosed`,
        and writes that may have been sent with `OutcomeUnknown`. Closing again does nothing but wait for the first time.

        Args:
            drain: seconds for the calls in flight to end. Meanwhile writes can still be resolved, which is waited for.

        Raises:
            ConfigurationError: ``drain`` is not a finite number of seconds from 0 on; or the session belongs to another
                event loop, which is at work.

        """
        patience = seconds("drain", drain, positive=False)
        if self._viewed is not None:
            return
        loop, running = self._connections.loop, asyncio.get_running_loop()
        if loop is not None and loop is not running and loop.is_running():
            raise another_loop()
        if loop is not running:
            self._shutdown.reset()
        elif self._shutdown.begun.is_set():
            await self._shutdown.done.wait()
            return
        self._shutdown.begun.set()
        try:
            if loop is running and patience > 0:
                await self._state.in_flight.drain(patience)
        finally:
            await self._close(running)

    async def _close(self, running: asyncio.AbstractEventLoop) -> None:
        self._shutdown.drained.set()
        try:
            if self._connections.loop is running:
                self._state.in_flight.stop_all()
                # A middleware may hold a call back. It cannot send any more, and ends when that returns.
                await self._state.in_flight.drain(_CLOSING_TIMEOUT)
        finally:
            self._state.timeouts.close()
            try:
                await self._connections.aclose()
            finally:
                self._shutdown.done.set()

    @property
    def closed(self) -> bool:
        """Whether the session was closed, or is being closed."""
        return self._shutdown.begun.is_set()

    async def wait_closed(self) -> None:
        """Wait until the session is closed, or is being closed.

        Raises:
            ConfigurationError: the session belongs to another event loop.

        """
        self._connections.bind(asyncio.get_running_loop())
        await self._shutdown.begun.wait()

    def activity(self) -> AbstractContextManager[None]:
        """Return a context manager whose block counts as a call in flight. It is for this package, and may change."""
        return self._state.in_flight.activity()

    async def pause(self, delay: float) -> None:
        """Sleep for ``delay`` seconds, unless the session is closed meanwhile. It is for this package, and may change.

        Raises:
            SessionClosed: the session is closed, and has drained.

        """
        try:
            async with asyncio.timeout(delay):
                await self._shutdown.drained.wait()
        except TimeoutError:
            return
        raise _closed()

    async def call(
        self,
        endpoint: Endpoint[_R],
        credentials: Credentials | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> _R:
        """Call an endpoint and return its result.

        Args:
            endpoint: which one, such as `okx_sol_async.BALANCE`.
            credentials: whose; `None` for a public endpoint.
            parameters: OKX's request parameters, by their names there: the query of a GET, the JSON body of a POST.

        Raises:
            ConfigurationError: the session is closed, another event loop's, or the endpoint needs credentials; or an argument is not as
                said above.
            Timeout: no whole response within ``timeout`` in the last attempt, or no turn within ``max_wait``.
            TransportError: no whole response in the last attempt.
            DecodeError: a response came and is not OKX's.
            APIError: OKX refused; `RateLimited` only after ten refusals, or when ``max_wait`` is over.
            OutcomeUnknown: a write was sent, and no response says whether it happened.

        """
        return await self.new_call(endpoint, credentials, parameters).run()

    def shared_call(self, endpoint: Endpoint[_R], credentials: Credentials | None, max_age: float) -> Awaitable[_R]:
        """Call an endpoint without parameters, or share the call or the result of an equal one.

        Args:
            endpoint: as for `call`; a read.
            credentials: as for `call`.
            max_age: how many seconds ago the result may have come. 0: a call of its own is made.

        Raises:
            ConfigurationError: ``max_age`` is not a number of seconds; or as `call` does.
            OKXError: as `call` does.

        """
        if type(max_age) is float and max_age == 0:
            # The default, without the checks.
            return self.call(endpoint, credentials)
        age = seconds("max_age", max_age, positive=False)
        if age == 0 or self.closed:
            # Where the session is closed, the call says so.
            return self.call(endpoint, credentials)
        self._connections.bind(asyncio.get_running_loop())
        check_call(endpoint, credentials)
        key = self._state.bucket_key(endpoint, credentials)
        return self._state.shared_reads.read(
            key, age, lambda: self.call(endpoint, credentials), background=self._options.background
        )

    async def request(
        self,
        endpoint: Endpoint[_R],
        credentials: Credentials | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> Response[_R]:
        """Call an endpoint as `call` does, and return its result with what is known of the response.

        Args:
            endpoint: as for `call`.
            credentials: as for `call`.
            parameters: as for `call`.

        Raises:
            OKXError: as `call` does.

        """
        call = self.new_call(endpoint, credentials, parameters)
        return response_of(call, await call.run())

    def new_call(
        self,
        endpoint: Endpoint[_R],
        credentials: Credentials | None,
        parameters: Mapping[str, str] | None,
        *,
        before_send: Callable[[float], Awaitable[None]] | None = None,
        while_draining: bool = False,
    ) -> Call[_R]:
        """Return a call that is not sent yet. It is for this package, and may change.

        Args:
            endpoint: as for `call`.
            credentials: as for `call`.
            parameters: as for `call`.
            before_send: is awaited with the time of each signature (OKX's, in seconds since 1970) before that is made.
                An error that it raises ends the call with nothing sent.
            while_draining: whether the call may be made while `aclose` waits for others.

        Raises:
            ConfigurationError: as `call` does.
            SessionClosed: as `call` does.

        """
        check_call(endpoint, credentials, parameters)
        if self.closed and not (while_draining and self._shutdown.is_draining):
            raise _closed()
        http = self._connections.open(for_write=not endpoint.safe_to_resend)
        return Call(self._state, self._options, http, endpoint, credentials, parameters, before_send=before_send)

    @property
    def origin(self) -> str:
        """The host that it talks to: ``"https://openapi.okx.com"``."""
        return str(self._state.origin).rstrip("/")

    @property
    def demo(self) -> bool:
        """Whether it is for demo trading."""
        return self._state.demo

    @property
    def write_log(self) -> WriteLog | None:
        """The log of purchases and redemptions; `None` for that of this process."""
        return self._write_log

    @property
    def clock_offset(self) -> float | None:
        """By how many seconds OKX's clock is ahead of that of this machine; `None` until a response had a `Date`."""
        return self._state.clock.server_clock.offset

    @property
    def okx_time(self) -> datetime:
        """OKX's time (UTC), as near as its responses have shown."""
        return datetime.fromtimestamp(self._state.clock.server_clock.estimate(), UTC)

    async def synchronize_clock(self, samples: int = 5) -> float:
        """Ask OKX for its time, and sign by it from now on.

        A session does so by itself when OKX refuses a timestamp, so this is for programs that want `clock_offset` exact.
        Of several responses the quickest counts; it is exact to half the time that it took.

        Args:
            samples: how many times to ask, up to 100.

        Returns:
            `clock_offset`, in seconds.

        Raises:
            ConfigurationError: ``samples`` is not a whole number from 1 to 100; or as `call` does.
            OKXError: as `call` does.

        `OKX: Get system time <https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time>`_
        (public, 10 requests in two seconds per IP address).

        """
        await self._state.clock.synchronize(self._ask_time, whole_number("samples", samples, _MAX_SAMPLES))
        return self._state.clock.server_clock.offset or 0.0

    async def _ask_time(self) -> TimeSample:
        return await ask_time(self.new_call(SYSTEM_TIME, None, None))

    @property
    def counters(self) -> Counters:
        """What the session has seen so far, as it is now."""
        return attrs.evolve(self._state.observers.counters)

    def bucket(self, endpoint: Endpoint[Any], credentials: Credentials | None = None) -> Bucket:
        """Return the bucket that the calls of an endpoint wait for.

        With the limiter of this package it is a `TokenBucket`, which has its free tokens, its queue and the wait.

        Args:
            endpoint: which one.
            credentials: whose; `None` for a public endpoint.

        Raises:
            ConfigurationError: the endpoint needs credentials.

        """
        check_call(endpoint, credentials)
        return self._state.limiter.bucket(self._state.bucket_key(endpoint, credentials), endpoint.limit)

    async def identify(self, credentials: Credentials) -> Credentials:
        """Look up whose key it is, and let it share the limits of that user.

        OKX counts calls by User ID. If several keys of one user carry no label, or different ones, each has a bucket
        of its own until it is identified; then the buckets become one, with the history and the order of all.

        Returns:
            the same key with the User ID as its ``user_id``.

        Raises:
            OKXError: as `call` does.

        `OKX: Get account configuration
        <https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration>`_ (Read permission).

        """
        account = await self.call(ACCOUNT_CONFIG, credentials)
        known = Credentials(credentials.api_key, credentials.secret_key, credentials.passphrase, account.uid)
        PROCESS_OWNERS.merge(credentials.owner, known.owner)
        merge = getattr(self._state.limiter, "merge", None)
        if merge is not None:
            merge(credentials.owner, known.owner)
        return known

    async def check(self, credentials: Credentials | None = None) -> Checkup:
        """Look at everything that can be wrong between this machine, OKX and a key, in a handful of reads.

        It looks at the connection, the clock, maintenance, and, with a key, at its region (where OKX does not know the
        key, its other hosts are asked), demo or live mode, permissions, IP binding, the rate limit, and what the funding
        account can purchase with and redeem. What it finds is in the `Checkup`; a failed call raises nothing.

        Args:
            credentials: the key; `None` looks only at what needs none.

        Raises:
            ConfigurationError: the session belongs to another event loop.
            SessionClosed: the session is closed.

        """
        # A closed or foreign session is no finding.
        self.new_call(SYSTEM_TIME, None, None)
        return await check(
            self, credentials, lambda region: Session(region=region, demo=self.demo, limiter=self._state.limiter)
        )


def _closed() -> SessionClosed:
    return SessionClosed("this session is closed", hint="Make a new one; the limits of its users carry over.")
