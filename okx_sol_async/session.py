"""The session: it owns the connections, and every call of a whole service goes through it.

The layers of a call, from the outside in: your own middlewares, the wait for the bucket, the signature, the wire.
Whatever is sent, and sent again, goes through all of them, so it has a lease of its own and a fresh signature.
"""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Self, TypeVar

import aiohttp
from yarl import URL

from okx_sol_async.errors import ConfigurationError, OKXError, RateLimited, Timeout, TransportError, one_line
from okx_sol_async.ratelimit import PROCESS_LIMITER, BucketKey, Scope
from okx_sol_async.signing import Signer
from okx_sol_async.version import __version__
from okx_sol_async.wire import ANSWER_LIMIT, read_answer

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

    from okx_sol_async.endpoints import Endpoint
    from okx_sol_async.ratelimit import Bucket, Lease, Limiter
    from okx_sol_async.signing import Credentials

R = TypeVar("R")

#: The most seconds for a free connection and for connecting together, so that no signature is older when it is sent.
CONNECT_TIMEOUT: Final = 5.0
#: The most connections of a session of our own.
CONNECTIONS: Final = 256
#: So often a call may be refused with 50011 before its caller is told.
REFUSALS: Final = 10
#: How long closing waits for the calls that it ends, in seconds.
CLOSING_TIMEOUT: Final = 1.0
USER_AGENT: Final = f"okx-sol-async/{__version__}"
_TRACE_HEADERS: Final = ("x-trace-id", "x-request-id", "traceid")
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


class Session:
    """The connections and limits that all users of a service share.

    Use it as an async context manager, or call `aclose`. It opens when the first call is made, and belongs to the
    event loop of that call.

    Args:
        region: which of OKX's hosts.
        base_url: another host instead, as ``https://host``; plain ``http`` only for a loopback address.
            `None`: the host of ``region``.
        demo: demo trading, with the keys of demo trading.
        http: an `aiohttp.ClientSession` to borrow. It is never closed, and its own middlewares do not run: pass them
            as ``middlewares``. `None`: the session opens one of its own, without cookies and proxies.
        middlewares: aiohttp client middlewares that run outside the rate limit, outermost first.
        limiter: where the buckets come from. `None`: those of this process, which it shares with every other session.
        timeout: seconds on the wire for one attempt, from its lease to the last byte of the answer.
        max_wait: the most seconds that a call may stand in the queue for its user's limit; `None` for as long as it
            takes.
        attempts: how often a read may be sent in all when it fails. This version sends it once, whatever the number.

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
    ) -> None:
        if type(region) is not Region:
            message = f"region must be one of {', '.join(map(str, Region))}, not {region!r}"
            raise ConfigurationError(message)
        if not _is_number(timeout) or not 0 < timeout < math.inf:
            message = f"timeout must be a finite number of seconds above 0, not {timeout!r}"
            raise ConfigurationError(message)
        if max_wait is not None and (not _is_number(max_wait) or not 0 <= max_wait < math.inf):
            message = f"max_wait must be a finite number of seconds from 0 on, or None, not {max_wait!r}"
            raise ConfigurationError(message)
        if type(attempts) is not int or attempts < 1:
            message = f"attempts must be a whole number from 1 on, not {attempts!r}"
            raise ConfigurationError(message)
        self._origin = URL(region.value) if base_url is None else _checked_origin(base_url)
        self._origin_text = str(self._origin)
        self._demo = bool(demo)
        self._borrowed = http
        self._http: aiohttp.ClientSession | None = None
        self._headers = None if http is None else {"User-Agent": USER_AGENT}
        self._middlewares = tuple(middlewares)
        self._limiter: Limiter = PROCESS_LIMITER if limiter is None else limiter
        self._timeout = float(timeout)
        self._max_wait = max_wait
        self._attempts = attempts
        self._client_timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT)
        self._urls: dict[str, URL] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: set[_Throttle] = set()
        self._last_call_ended: asyncio.Event | None = None
        self._closed = False

    @classmethod
    def from_env(
        cls,
        *,
        region: Region | None = None,
        base_url: str | None = None,
        demo: bool | None = None,
    ) -> Session:
        """Make a session from ``OKX_REGION`` (``global``, ``us``, ``eea``), ``OKX_BASE_URL`` and ``OKX_DEMO``.

        Args:
            region: wins over the environment, over ``OKX_BASE_URL`` too.
            base_url: wins over the environment and over ``region``.
            demo: wins over ``OKX_DEMO``.

        Raises:
            ConfigurationError: a variable has a value that it cannot have; the message names it.

        """
        if base_url is None and region is None:
            base_url = os.environ.get("OKX_BASE_URL") or None
            region = _region_from_env()
        return cls(region=region or Region.GLOBAL, base_url=base_url, demo=_demo_from_env() if demo is None else demo)

    def __repr__(self) -> str:
        demo = ", demo" if self._demo else ""
        state = "closed" if self._closed else f"{len(self._calls)} calls in flight"
        return f"<Session {self._origin_text}{demo}, {state}>"

    async def __aenter__(self) -> Self:
        """Return the session itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close what the session opened. Calls in flight end with `ConfigurationError`; closing again does nothing."""
        self._closed = True
        if self._calls:
            self._last_call_ended = asyncio.Event()
            for call in self._calls:
                call.stop()
            try:
                async with asyncio.timeout(CLOSING_TIMEOUT):
                    await self._last_call_ended.wait()
            except TimeoutError:
                # A middleware of the caller's holds a call back; it ends when its connection is closed.
                pass
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def call(self, endpoint: Endpoint[R], credentials: Credentials | None = None) -> R:
        """Call an endpoint and return its result.

        Args:
            endpoint: which one, such as `okx_sol_async.endpoints.BALANCE`.
            credentials: whose; `None` for a public endpoint.

        Raises:
            ConfigurationError: the session is closed, another event loop's, or the endpoint needs credentials.
            Timeout: no whole answer within ``timeout``, or no turn within ``max_wait``.
            TransportError: no whole answer came.
            DecodeError: an answer came and is not OKX's.
            APIError: OKX refused; `RateLimited` only after ten refusals, or when ``max_wait`` is over.

        """
        http = self._open()
        throttle = _Throttle(self, self._bucket(endpoint, credentials), self._signer(endpoint, credentials))
        self._calls.add(throttle)
        try:
            outcome = await self._send(http, endpoint, throttle)
            if isinstance(outcome, RateLimited):
                outcome = await self._send_until_counted(http, endpoint, throttle, outcome)
        finally:
            self._calls.discard(throttle)
            if self._last_call_ended is not None and not self._calls:
                self._last_call_ended.set()
        if isinstance(outcome, OKXError):
            raise _explained(outcome, endpoint, credentials)
        return outcome

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._closed:
            message = "this session is closed"
            raise ConfigurationError(message, hint="Make a new one; the limits of its users carry over.")
        if self._loop is not loop:
            if self._loop is not None:
                message = "this session belongs to another event loop"
                raise ConfigurationError(message, hint="Make one in each event loop, and close it there.")
            self._loop = loop
        http = self._http or self._borrowed
        if http is None:
            http = self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
            )
        elif http.closed:
            message = "the aiohttp session that was passed as http is closed"
            raise ConfigurationError(message, hint="Keep it open for as long as this session is used.")
        return http

    def _bucket(self, endpoint: Endpoint[R], credentials: Credentials | None) -> Bucket:
        if endpoint.signed and credentials is None:
            message = f"{endpoint} needs credentials"
            raise ConfigurationError(message, hint="Pass the credentials of the user, or use SolStaking.")
        counted_by_user = endpoint.limit.scope is Scope.USER and credentials is not None
        owner = credentials.owner if counted_by_user and credentials is not None else None
        key = BucketKey(self._origin_text, self._demo, owner, endpoint.method, endpoint.path)
        return self._limiter.bucket(key, endpoint.limit)

    def _signer(self, endpoint: Endpoint[R], credentials: Credentials | None) -> Signer | None:
        if not endpoint.signed or credentials is None:
            return None
        return Signer(credentials, self._origin, demo=self._demo)

    async def _send_until_counted(
        self,
        http: aiohttp.ClientSession,
        endpoint: Endpoint[R],
        throttle: _Throttle,
        refusal: RateLimited,
    ) -> R | OKXError:
        """Send a call that OKX refused to count, from the front of the queue, until it is counted."""
        for _ in range(REFUSALS - 1):
            if throttle.lease is None:
                break
            throttle.refused()
            outcome = await self._send(http, endpoint, throttle)
            if isinstance(outcome, Timeout) and throttle.lease is None:
                # It is OKX's refusal that made the call wait for longer than max_wait.
                break
            if not isinstance(outcome, RateLimited):
                return outcome
            refusal = outcome
        return refusal

    async def _send(
        self,
        http: aiohttp.ClientSession,
        endpoint: Endpoint[R],
        throttle: _Throttle,
    ) -> R | OKXError:
        """Send a call once and read the answer. Failures are returned, so that the caller raises them.

        The frames of aiohttp, and the answer itself, may hold what must not be shown; a traceback that starts at
        the caller holds neither.
        """
        try:
            async with asyncio.timeout(None) as throttle.clock:
                async with http.request(
                    endpoint.method,
                    self._url(endpoint.path),
                    headers=self._headers,
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=self._client_timeout,
                    middlewares=(*self._middlewares, throttle),
                ) as response:
                    body = await _read(response)
        except OKXError as error:
            return _bare(error)
        except (TimeoutError, aiohttp.ClientError, RuntimeError) as error:
            if self._closed or http.closed:
                return _closed_meanwhile()
            if isinstance(error, RuntimeError):
                raise
            return self._timed_out(error) if isinstance(error, TimeoutError) else _no_answer(error)
        return _read_outcome(endpoint, response, body)

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self._origin.join(URL(path, encoded=True))
        return url

    def _timed_out(self, error: TimeoutError) -> Timeout:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            message = (
                f"no connection within {CONNECT_TIMEOUT:g} s: the host does not answer, or all connections are busy"
            )
            return Timeout(message, hint="Check the network and base_url.")
        return Timeout(f"no whole answer within {self._timeout:g} s (timeout)", hint="Try again, or allow more.")


class _Throttle:
    """The middleware of one call, around the signer: each time the call is sent, also by aiohttp alone, it waits first."""

    __slots__ = ("_bucket", "_session", "_signer", "_waited", "clock", "lease")

    def __init__(self, session: Session, bucket: Bucket, signer: Signer | None) -> None:
        self._session = session
        self._bucket = bucket
        self._signer = signer
        self._waited = 0.0
        #: Ends the attempt; set by whoever sends it, and running only while the call is on the wire.
        self.clock: asyncio.Timeout
        #: The lease of what was sent last, `None` while waiting for one.
        self.lease: Lease | None = None

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        lease = await self._acquire()
        try:
            response = await (handler(request) if self._signer is None else self._signer(request, handler))
        except BaseException:
            self._bucket = lease.abandoned() or self._bucket
            raise
        lease.answered()
        return response

    async def _acquire(self) -> Lease:
        session = self._session
        if self.lease is not None:
            self.lease = None
            self.clock.reschedule(None)
        loop = asyncio.get_running_loop()
        began = loop.time()
        max_wait = session._max_wait
        self.lease = lease = await self._bucket.acquire(
            None if max_wait is None else began + max(max_wait - self._waited, 0.0)
        )
        now = loop.time()
        self._waited += now - began
        if session._closed:
            lease.answered()
            raise _closed_meanwhile()
        self.clock.reschedule(now + session._timeout)
        return lease

    def refused(self) -> None:
        """Go back to the front of the queue, because OKX refused to count the call."""
        if self.lease is not None:
            self._bucket = self.lease.refused() or self._bucket

    def stop(self) -> None:
        """End the call, wherever it is."""
        if not self.clock.expired():
            self.clock.reschedule(0.0)


async def _read(response: ClientResponse) -> bytes:
    """Read an answer, and no more than one byte above the limit of it."""
    chunks: list[bytes] = []
    room = ANSWER_LIMIT + 1
    while room > 0 and (chunk := await response.content.readany()):
        chunks.append(chunk[:room])
        room -= len(chunk)
    if room <= 0:
        response.close()
    return b"".join(chunks)


def _read_outcome(endpoint: Endpoint[R], response: ClientResponse, body: bytes) -> R | OKXError:
    try:
        return endpoint.decode(read_answer(response.status, body))
    except OKXError as error:
        error.status = response.status
        error.trace_id = _trace_id(response)
        return _bare(error)


def _trace_id(response: ClientResponse) -> str | None:
    found = (response.headers.get(name) for name in _TRACE_HEADERS)
    return next((one_line(value, 64) for value in found if value), None)


def _no_answer(error: aiohttp.ClientError) -> TransportError:
    text = one_line(str(error)) or type(error).__name__
    return TransportError(f"no whole answer came: {text}", hint="Check the network and base_url.")


def _closed_meanwhile() -> ConfigurationError:
    return ConfigurationError(
        "the session was closed while the call was under way", hint="Close it after the last call."
    )


def _bare(error: OKXError) -> OKXError:
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _explained(error: OKXError, endpoint: Endpoint[R], credentials: Credentials | None) -> OKXError:
    """Say of which call ``error`` speaks, and take out what a server may have echoed."""
    if error.endpoint is None:
        error.endpoint = str(endpoint)
    if credentials is not None:
        error.args = (credentials.redact(error.message),)
        if error.trace_id is not None:
            error.trace_id = credentials.redact(error.trace_id)
    return error


def _checked_origin(base_url: object) -> URL:
    """Return ``base_url`` if signatures may be sent there."""
    try:
        url = URL(base_url) if isinstance(base_url, str) else None
    except ValueError:
        url = None
    if url is None or url.scheme not in {"http", "https"} or not url.host:
        message = "base_url must be a URL such as 'https://openapi.okx.com'"
        raise ConfigurationError(message)
    if url.raw_user is not None or url.raw_password is not None:
        message = "base_url must not hold a user or a password"
        raise ConfigurationError(message)
    if url.raw_path not in {"", "/"} or url.raw_query_string or url.raw_fragment:
        message = (
            f"base_url must end after the host and port, as {str(url.origin())!r} does: OKX's paths are signed whole"
        )
        raise ConfigurationError(message)
    if url.scheme == "http" and not _is_loopback(url.host):
        message = f"base_url must begin with https://, because {url.host} is not a loopback address"
        raise ConfigurationError(message)
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
        raise ConfigurationError(message) from None


def _demo_from_env() -> bool:
    word = os.environ.get("OKX_DEMO", "").strip().lower()
    if word not in _YES | _NO:
        message = f"OKX_DEMO must be 1 or 0, not {word!r}"
        raise ConfigurationError(message)
    return word in _YES
