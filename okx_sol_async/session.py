"""The session: what all calls of a service share: the connections, the limits, and where they go."""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakSet

import aiohttp
import attrs
from yarl import URL

from okx_sol_async.endpoint import ACCOUNT_CONFIG, SYSTEM_TIME
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit.local import PROCESS_LIMITER
from okx_sol_async.signing.credentials import Credentials
from okx_sol_async.transport.call import DEPARTURES, Call, Deadlines, Route, http_is_closed
from okx_sol_async.transport.metrics import CallReport, Counters, Onlookers
from okx_sol_async.transport.resource import Closing
from okx_sol_async.version import __version__

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.ratelimit.limit import Bucket, Limiter

R = TypeVar("R")

#: The most connections of a session of our own.
CONNECTIONS: Final = 256
#: How long closing waits for the calls that it ends, in seconds.
CLOSING_TIMEOUT: Final = 1.0
USER_AGENT: Final = f"okx-sol-async/{__version__}"
# What authenticates somebody elsewhere, and what says who calls OKX and in which mode.
_THEIRS: Final = (
    "Authorization",
    "Cookie",
    "OK-ACCESS-KEY",
    "OK-ACCESS-SIGN",
    "OK-ACCESS-TIMESTAMP",
    "OK-ACCESS-PASSPHRASE",
    "x-simulated-trading",
)
_YES: Final = {"1", "true", "yes", "on"}
_NO: Final = {"", "0", "false", "no", "off"}


class Region(enum.Enum):
    """Where the account was registered; its keys work on that host only.

    `OKX: Production Trading Services <https://www.okx.com/docs-v5/en/#overview-production-trading-services>`_
    """

    #: ``https://openapi.okx.com``, for accounts of okx.com.
    GLOBAL = "https://openapi.okx.com"
    #: ``https://us.okx.com``, for accounts of app.okx.com: the United States and Australia.
    US = "https://us.okx.com"
    #: ``https://eea.okx.com``, for accounts of my.okx.com: the European Economic Area.
    EEA = "https://eea.okx.com"


class Session(Closing):
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
        timeout: seconds on the wire for one attempt, from its lease to the last byte of the answer.
        max_wait: the most seconds that a call may stand in the queue for its user's limit; `None` for as long as it
            takes.
        attempts: how often a read is tried in all when the network or OKX fails for a moment, with growing waits between.
            What OKX has certainly not counted (50011, 50102) is sent again without counting. A write is tried once.
        observe: is called with a `CallReport` when a call has ended, for metrics; a call that asks OKX for its time to
            heal another one is a call too. It should return at once, and what it raises is logged. `None`: nothing is
            made to be told.

    Raises:
        ConfigurationError: an argument is not of the kind above; the message names it.

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
        observe: Callable[[CallReport], None] | None = None,
    ) -> None:
        if type(region) is not Region:
            message = f"region must be one of {', '.join(map(str, Region))}, not {region!r}"
            raise ConfigurationError(message, argument="region")
        if not _is_number(timeout) or not 0 < timeout < math.inf:
            message = f"timeout must be a finite number of seconds above 0, not {timeout!r}"
            raise ConfigurationError(message, argument="timeout")
        if max_wait is not None and (not _is_number(max_wait) or not 0 <= max_wait < math.inf):
            message = f"max_wait must be a finite number of seconds from 0 on, or None, not {max_wait!r}"
            raise ConfigurationError(message, argument="max_wait")
        if type(attempts) is not int or attempts < 1:
            message = f"attempts must be a whole number from 1 on, not {attempts!r}"
            raise ConfigurationError(message, argument="attempts")
        for name, value, method in (("http", http, "request"), ("limiter", limiter, "bucket")):
            if value is not None and not callable(getattr(value, method, None)):
                message = f"{name} must have a method {method}, and {type(value).__name__} has none"
                raise ConfigurationError(message, argument=name)
        if observe is not None and not callable(observe):
            message = f"observe must be callable, and {type(observe).__name__} is not"
            raise ConfigurationError(message, argument="observe")
        origin = URL(region.value) if base_url is None else _checked_origin(base_url)
        self._route = Route(
            origin=origin,
            demo=bool(demo),
            # A session of our own sends it anyway.
            headers=None if http is None else {"User-Agent": USER_AGENT},
            middlewares=(*([_leave_theirs] if http else []), *_checked_middlewares(middlewares)),
            limiter=PROCESS_LIMITER if limiter is None else limiter,
            deadlines=Deadlines(float(timeout)),
            max_wait=max_wait,
            attempts=attempts,
            onlookers=Onlookers(observe),
        )
        self._borrowed = http
        self._http: aiohttp.ClientSession | None = None
        # A write goes over a new connection: one that was kept may be dead, and then nobody knows what happened.
        self._http_for_writes: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # In their order: closing ends them so.
        self._calls: dict[Call[Any], None] = {}
        self._last_call_ended: asyncio.Event | None = None
        self._closed = False
        # Whether it was opened by the parent of this process.
        self._inherited = False
        # For those who wait for the closing, if anybody does.
        self._closing: asyncio.Event | None = None

    @classmethod
    def from_env(
        cls,
        *,
        region: Region | None = None,
        base_url: str | None = None,
        demo: bool | None = None,
        observe: Callable[[CallReport], None] | None = None,
    ) -> Session:
        """Make a session from ``OKX_REGION`` (``global``, ``us``, ``eea``), ``OKX_BASE_URL`` and ``OKX_DEMO``.

        Args:
            region: wins over the environment, over ``OKX_BASE_URL`` too.
            base_url: wins over the environment and over ``region``.
            demo: wins over ``OKX_DEMO``.
            observe: as for a `Session`.

        Raises:
            ConfigurationError: a variable has a value that it cannot have; the message names it.

        """
        if base_url is None and region is None:
            base_url = os.environ.get("OKX_BASE_URL") or None
            region = _region_from_env()
        return cls(
            region=region or Region.GLOBAL,
            base_url=base_url,
            demo=_demo_from_env() if demo is None else demo,
            observe=observe,
        )

    def __repr__(self) -> str:
        demo = ", demo" if self._route.demo else ""
        state = "closed" if self._closed else f"{len(self._calls)} calls in flight"
        return f"<Session {self._route.origin}{demo}, {state}>"

    async def aclose(self) -> None:
        """Close what the session opened. Calls in flight end with `ConfigurationError`; closing again does nothing.

        Raises:
            ConfigurationError: the session belongs to another event loop, which is at work.

        """
        elsewhere = self._loop is not None and self._loop is not asyncio.get_running_loop()
        if elsewhere and self._loop is not None and self._loop.is_running():
            raise _of_another_loop()
        self._closed = True
        if self._closing is not None and not elsewhere:
            self._closing.set()
        try:
            if self._calls and not elsewhere:
                await self._end_calls()
        finally:
            self._route.deadlines.close()
            opened, self._http, self._http_for_writes = (self._http, self._http_for_writes), None, None
            for http in opened:
                if http is not None:
                    await _close(http, its_loop_is_gone=elsewhere)

    @property
    def closed(self) -> bool:
        """Whether the session was closed."""
        return self._closed

    async def wait_closed(self) -> None:
        """Wait until somebody closes the session.

        Raises:
            ConfigurationError: the session belongs to another event loop.

        """
        self._belong_to(asyncio.get_running_loop())
        if self._closing is None:
            self._closing = asyncio.Event()
        if not self._closed:
            await self._closing.wait()

    async def _end_calls(self) -> None:
        if self._last_call_ended is None:
            self._last_call_ended = asyncio.Event()
        for call in self._calls:
            call.stop()
        try:
            async with asyncio.timeout(CLOSING_TIMEOUT):
                await self._last_call_ended.wait()
        except TimeoutError:
            # A middleware of the caller's holds a call back. It cannot send any more, and ends when that lets it.
            pass

    async def call(
        self,
        endpoint: Endpoint[R],
        credentials: Credentials | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> R:
        """Call an endpoint and return its result.

        Args:
            endpoint: which one, such as `okx_sol_async.staking.endpoints.BALANCE`.
            credentials: whose; `None` for a public endpoint.
            parameters: OKX's request parameters, by their names there: the query of a GET, the JSON body of a POST.

        Raises:
            ConfigurationError: the session is closed, another event loop's, or the endpoint needs credentials.
            Timeout: no whole answer within ``timeout`` in the last attempt, or no turn within ``max_wait``.
            TransportError: no whole answer came in the last attempt.
            DecodeError: an answer came and is not OKX's.
            APIError: OKX refused; `RateLimited` only after ten refusals, or when ``max_wait`` is over.
            OutcomeUnknown: a write was sent, and no answer says whether it happened.

        """
        http = self._open(endpoint)
        return await self._run(Call(self._route, http, endpoint, credentials, parameters))

    async def _run(self, call: Call[R]) -> R:
        self._calls[call] = None
        error: BaseException | None = None
        try:
            return await call.run()
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._calls.pop(call, None)
            self._route.onlookers.see(call, error)
            if self._last_call_ended is not None and not self._calls:
                self._last_call_ended.set()
            # The frame and what is raised from it would keep each other alive.
            del error

    @property
    def origin(self) -> str:
        """The host that it talks to: ``"https://openapi.okx.com"``."""
        return str(self._route.origin).rstrip("/")

    @property
    def demo(self) -> bool:
        """Whether it is for demo trading."""
        return self._route.demo

    @property
    def clock_offset(self) -> float | None:
        """By how many seconds OKX's clock is ahead of that of this machine; `None` until an answer told."""
        return self._route.clock.offset

    async def synchronize_clock(self, samples: int = 5) -> float:
        """Ask OKX for its time, and sign by it from now on.

        A session does so by itself when OKX refuses a timestamp, so this is for those who want `clock_offset` exact.
        Of several answers the one that came soonest counts; it is exact to half the time that it took.

        Args:
            samples: how often to ask.

        Returns:
            `clock_offset`, in seconds.

        Raises:
            ConfigurationError: ``samples`` is not a whole number from 1 on; or as `call` does.
            OKXError: as `call` does.

        `OKX: Get system time <https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time>`_
        (public, 10 requests in two seconds per IP address).

        """
        if type(samples) is not int or samples < 1:
            message = f"samples must be a whole number from 1 on, not {samples!r}"
            raise ConfigurationError(message, argument="samples")
        clock = self._route.clock
        soonest = None
        for _ in range(samples):
            call = Call(self._route, self._open(SYSTEM_TIME), SYSTEM_TIME, None)
            answer = await self._run(call)
            if soonest is None or call.times.took < soonest.took:
                soonest = call.times
                clock.measured(answer.ts.timestamp(), soonest)
        return clock.offset or 0.0

    @property
    def counters(self) -> Counters:
        """What the session has seen so far, as it is now."""
        return attrs.evolve(self._route.onlookers.counters)

    def bucket(self, endpoint: Endpoint[Any], credentials: Credentials | None = None) -> Bucket:
        """Return the bucket that the calls of an endpoint wait for.

        With the limiter of this package it is a `TokenBucket`, which tells its free tokens, its queue and the wait.

        Args:
            endpoint: which one.
            credentials: whose; `None` for a public endpoint.

        Raises:
            ConfigurationError: the endpoint needs credentials.

        """
        return self._route.limiter.bucket(self._route.bucket_key(endpoint, credentials), endpoint.limit)

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
        merge = getattr(self._route.limiter, "merge", None)
        if merge is not None:
            merge(credentials.owner, known.owner)
        return known

    def _belong_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop:
            if self._inherited:
                message = "this session was opened by the parent of this process"
                raise ConfigurationError(message, hint="Make one in each process; the limits of its users carry over.")
            if self._loop is not None:
                raise _of_another_loop()
            self._loop = loop
            _opened.add(self)

    def _open(self, endpoint: Endpoint[Any]) -> aiohttp.ClientSession:
        if self._closed:
            message = "this session is closed"
            raise ConfigurationError(message, hint="Make a new one; the limits of its users carry over.")
        self._belong_to(asyncio.get_running_loop())
        if self._borrowed is not None:
            if self._borrowed.closed:
                raise http_is_closed()
            return self._borrowed
        if endpoint.safe_to_resend:
            if self._http is None:
                self._http = _new_http(keep_connections=True)
            return self._http
        if self._http_for_writes is None:
            self._http_for_writes = _new_http(keep_connections=False)
        return self._http_for_writes

    def _leave_to_parent(self) -> None:
        """Do nothing in this process, the child, that the parent could notice, whatever becomes of this object."""
        # A connection that is closed here, even by the garbage collector, leaves the selector that both processes
        # share, and the parent would wait for its answers in vain.
        _kept.extend((self._http, self._http_for_writes))
        self._http = self._http_for_writes = self._loop = None
        self._calls = {}
        self._inherited = True


def _new_http(*, keep_connections: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, force_close=not keep_connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        trace_configs=None if keep_connections else [DEPARTURES],
    )


_opened: Final[WeakSet[Session]] = WeakSet()
_kept: Final[list[aiohttp.ClientSession | None]] = []


def _begin_in_child() -> None:
    for session in tuple(_opened):
        session._leave_to_parent()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


async def _close(http: aiohttp.ClientSession, *, its_loop_is_gone: bool) -> None:
    try:
        await http.close()
    except RuntimeError:
        # Its connections cannot say goodbye on a loop that is closed; they are gone with it.
        if not its_loop_is_gone:
            raise


async def _leave_theirs(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Take from a request what a borrowed session adds for others: OKX has no business with it, or would misread it."""
    for name in _THEIRS:
        request.headers.popall(name, None)
    return await handler(request)


def _of_another_loop() -> ConfigurationError:
    message = "this session belongs to another event loop"
    return ConfigurationError(message, hint="Make one in each event loop, and close it there.")


def _checked_middlewares(middlewares: object) -> tuple[ClientMiddlewareType, ...]:
    found = tuple(middlewares) if isinstance(middlewares, Iterable) else (middlewares,)
    if not all(callable(middleware) for middleware in found):
        message = "middlewares must be aiohttp client middlewares: callables of a request and a handler"
        raise ConfigurationError(message, argument="middlewares")
    return found


def _checked_origin(base_url: object) -> URL:
    """Return ``base_url`` if signatures may be sent there."""
    try:
        url = URL(base_url) if isinstance(base_url, str) else None
        if url is not None and url.host:
            # What cannot be looked up fails here, and not in the middle of a call.
            url.host.encode("idna")
    except ValueError:
        url = None
    if url is None or url.scheme not in {"http", "https"} or not url.host:
        message = "base_url must be a URL such as 'https://openapi.okx.com'"
        raise ConfigurationError(message, argument="base_url")
    if url.raw_user is not None or url.raw_password is not None:
        message = "base_url must not hold a user or a password"
        raise ConfigurationError(message, argument="base_url")
    if url.raw_path not in {"", "/"} or url.raw_query_string or url.raw_fragment:
        message = (
            f"base_url must end after the host and port, as {str(url.origin())!r} does: OKX's paths are signed whole"
        )
        raise ConfigurationError(message, argument="base_url")
    if url.host.endswith("."):
        message = "base_url must not end its host with a dot: it would be another host to the rate limit"
        raise ConfigurationError(message, argument="base_url")
    if url.scheme == "http" and not _is_loopback(url.host):
        message = f"base_url must begin with https://, because {url.host} is not a loopback address"
        raise ConfigurationError(message, argument="base_url")
    return url.origin()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _region_from_env() -> Region:
    name = os.environ.get("OKX_REGION") or Region.GLOBAL.name
    try:
        return Region[name.strip().upper()]
    except KeyError:
        message = f"OKX_REGION must be one of {', '.join(region.name.lower() for region in Region)}, not {name!r}"
        raise ConfigurationError(message, argument="region") from None


def _demo_from_env() -> bool:
    word = os.environ.get("OKX_DEMO", "").strip().lower()
    if word not in _YES | _NO:
        message = f"OKX_DEMO must be 1 or 0, not {word!r}"
        raise ConfigurationError(message, argument="demo")
    return word in _YES
