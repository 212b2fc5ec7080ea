"""A local exchange: an HTTP server on loopback that checks, counts and answers as OKX does.

It takes no account and no network, holds no real money, and counts for itself: it shares neither the limiter nor the
signer with the rest of this package, so a mistake in them is not repeated here. Any client can be pointed at it::

    async with Emulator(latency=0.03, jitter=0.01) as exchange:
        ...  # send signed requests to exchange.url with exchange.credentials

    with Emulator() as exchange:  # the same from a background thread, for code without an event loop
        ...

A request is refused in OKX's order: headers, key, timestamp, signature, passphrase, demo or live, then the rate limit.
Times are seconds, amounts are OKSOL.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import math
import random
import re
import threading
import time
import uuid
from base64 import b64encode
from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, Self

import attrs
from aiohttp import web

from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

#: How the exchange counts calls. OKX does not say which of them it does.
Window = Literal["sliding", "fixed", "token"]

#: So many calls are remembered, the oldest are forgotten first.
MEMORY: Final = 100_000
#: A timestamp may be so far from the exchange's clock, in seconds, either way.
TIMESTAMP_TOLERANCE: Final = 30.0
#: What the first user holds, and every other unless told otherwise: the row of OKX's documentation.
DEFAULT_BALANCE: Final = Balance(
    ccy="OKSOL",
    amt=Decimal("0.01100012"),
    latest_interest_accrual=Decimal("0.00000012"),
    total_interest_accrual=Decimal("0.00000012"),
)

_HOST: Final = "127.0.0.1"
# Thousands of users may connect at once; a full queue of connections would delay them by a second.
_BACKLOG: Final = 4096
# Seconds until requests on their way are cut off, however long their delay; aiohttp takes 0 for endless.
_SHUTDOWN_TIMEOUT: Final = 0.01
_TURNS: Final = 4
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
# A token may miss a rounding error after it was refilled in steps.
_ROUNDING: Final = 1e-9

# Each emulator of a process has keys and users of its own, so no limiter takes those of two for the same.
_emulator_numbers = itertools.count(1)


class SlidingWindow:
    """Accepts a call when fewer than ``requests`` were accepted in the ``seconds`` before it.

    A call that was accepted exactly ``seconds`` ago no longer counts.
    """

    __slots__ = ("_accepted", "_requests", "_seconds")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._accepted: deque[float] = deque(maxlen=requests)

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        if len(self._accepted) == self._requests and now - self._accepted[0] < self._seconds:
            return False
        self._accepted.append(now)
        return True


class FixedWindow:
    """Accepts ``requests`` calls in each stretch of ``seconds``; stretches begin at multiples of ``seconds``."""

    __slots__ = ("_accepted", "_requests", "_seconds", "_stretch")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._stretch = -math.inf
        self._accepted = 0

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        stretch = now // self._seconds
        if stretch != self._stretch:
            self._stretch = stretch
            self._accepted = 0
        if self._accepted == self._requests:
            return False
        self._accepted += 1
        return True


class TokenWindow:
    """Accepts a call for a token. There are ``requests`` tokens at first, and as many come back in ``seconds``."""

    __slots__ = ("_refilled_at", "_requests", "_seconds", "_tokens")

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._tokens = float(requests)
        self._refilled_at = 0.0

    def accept(self, now: float) -> bool:
        """Count a call at ``now``, in seconds, or refuse it; a refused call is not counted."""
        refill = (now - self._refilled_at) * self._requests / self._seconds
        self._tokens = min(self._requests, self._tokens + refill)
        self._refilled_at = now
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True


class _Window(Protocol):
    def __init__(self, requests: int, seconds: float) -> None: ...

    def accept(self, now: float) -> bool: ...


_WINDOWS: Final[Mapping[Window, type[_Window]]] = {
    "sliding": SlidingWindow,
    "fixed": FixedWindow,
    "token": TokenWindow,
}


@attrs.frozen
class Call:
    """One call that came in, and how it was answered."""

    #: Whose key it carried; `None` for a public endpoint, and for a key that the exchange does not know.
    uid: str | None
    #: Method and path, ``"GET /api/v5/finance/staking-defi/sol/balance"``.
    endpoint: str
    #: When it was checked and counted, in seconds of the serving event loop's clock.
    arrived_at: float
    #: The HTTP status of the answer.
    status: int
    #: The code of the answer, as text: ``"0"``, ``"50011"``.
    code: str
    #: The id that the answer carried in ``x-trace-id``.
    trace_id: str

    @property
    def accepted(self) -> bool:
        """Whether the answer was what the call asked for."""
        return self.code == "0"

    @property
    def refused(self) -> bool:
        """Whether the rate limit refused it (50011)."""
        return self.code == "50011"

    @property
    def rejected(self) -> bool:
        """Whether it was refused for anything but the rate limit."""
        return not self.accepted and not self.refused


@attrs.frozen
class Tally:
    """How many calls came in, and how many of them were answered in which way."""

    #: All of them.
    received: int
    #: Answered with what they asked for.
    accepted: int
    #: Refused by the rate limit (50011).
    refused: int
    #: Refused for any other reason.
    rejected: int


class _Key(NamedTuple):
    user: EmulatedUser
    credentials: Credentials


def _check_balance(_user: object, _field: object, balance: Balance | None) -> None:
    if balance is not None and not isinstance(balance, Balance):
        message = f"balance must be a Balance or None, not {type(balance).__name__}"
        raise ConfigurationError(message)


@attrs.define(eq=False)
class EmulatedUser:
    """One user of the local exchange; `Emulator.add_user` makes it."""

    #: OKX's id of the user, a decimal number of 17 digits.
    uid: str = attrs.field(on_setattr=attrs.setters.frozen)
    #: What the user holds, in OKSOL; `None` is answered with no row at all. It may be set at any time.
    balance: Balance | None = attrs.field(validator=_check_balance)
    #: Whether the user's keys are for demo trading.
    demo: bool = attrs.field(on_setattr=attrs.setters.frozen)
    # Of the whole exchange, by the name of the key.
    _keys: dict[str, _Key] = attrs.field(repr=False)
    _key_numbers: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1), init=False, repr=False)
    #: The first key, with `uid` as its ``user_id``.
    credentials: Credentials = attrs.field(init=False, on_setattr=attrs.setters.frozen)

    def __attrs_post_init__(self) -> None:
        # The field is frozen from now on, which no hook of attrs can be told.
        object.__setattr__(self, "credentials", self.add_key())

    def add_key(self, credentials: Credentials | None = None) -> Credentials:
        """Give the user one more key, which is counted together with the others.

        Args:
            credentials: the key to hold; `None` makes one up.

        Returns:
            The key, with `uid` as its ``user_id``.

        Raises:
            ConfigurationError: ``credentials`` are none, or the exchange holds their ``api_key`` already.

        """
        if credentials is None:
            credentials = _make_up_credentials(self.uid, next(self._key_numbers))
        elif not isinstance(credentials, Credentials):
            message = f"credentials must be Credentials or None, not {type(credentials).__name__}"
            raise ConfigurationError(message)
        if credentials.api_key in self._keys:
            message = "credentials: the exchange holds this api_key already"
            raise ConfigurationError(message)
        labelled = Credentials(credentials.api_key, credentials.secret_key, credentials.passphrase, self.uid)
        self._keys[labelled.api_key] = _Key(self, labelled)
        return labelled


def _make_up_credentials(uid: str, number: int) -> Credentials:
    digits = hashlib.sha512(f"key {number} of {uid}".encode()).hexdigest()
    return Credentials(str(uuid.UUID(digits[:32])), digits[32:64].upper(), f"Made-Up-{digits[64:76]}", uid)


@attrs.frozen
class _Answer:
    status: int
    code: str
    body: str


def _success(*rows: Mapping[str, object]) -> _Answer:
    return _Answer(200, "0", json.dumps({"code": "0", "msg": "", "data": rows}, separators=(",", ":")))


def _refusal(status: int, code: str, msg: str) -> _Answer:
    return _Answer(status, code, json.dumps({"msg": msg, "code": code}, separators=(",", ":")))


_NOT_FOUND: Final = _Answer(404, "404", '{"code":404,"msg":"Not Found","data":{}}')
_UNKNOWN_KEY: Final = _refusal(401, "50119", "API key doesn't exist")
_BAD_TIMESTAMP: Final = _refusal(401, "50112", "Invalid OK-ACCESS-TIMESTAMP")
_EXPIRED: Final = _refusal(401, "50102", "Timestamp request expired")
_BAD_SIGNATURE: Final = _refusal(401, "50113", "Invalid Sign")
_BAD_PASSPHRASE: Final = _refusal(401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect.")
_WRONG_MODE: Final = _refusal(401, "50101", "APIKey does not match current environment.")
_TOO_MANY: Final = _refusal(429, "50011", "Too Many Requests")
#: The headers of a signed request, in the order in which OKX misses them.
_MISSING: Final = {
    header: _refusal(401, code, f"Request header {header} can not be empty.")
    for header, code in (
        ("OK-ACCESS-KEY", "50103"),
        ("OK-ACCESS-PASSPHRASE", "50104"),
        ("OK-ACCESS-SIGN", "50106"),
        ("OK-ACCESS-TIMESTAMP", "50107"),
    )
}


@attrs.frozen
class _Arrival:
    """A request at the moment at which the exchange looks at it."""

    method: str
    #: Path and query, as they came.
    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes
    ip: str
    #: The loop's time, in seconds.
    at: float
    #: Seconds since 1970 (UTC).
    now: float

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"


@attrs.frozen
class _PublicRoute:
    """An endpoint that anybody may ask, counted by IP address."""

    endpoint: str
    requests: int
    seconds: float
    answer: Callable[[_Arrival], _Answer]


@attrs.frozen
class _SignedRoute:
    """An endpoint that asks for a signature, counted by user."""

    endpoint: str
    requests: int
    seconds: float
    answer: Callable[[_Arrival, EmulatedUser], _Answer]


def _time(arrival: _Arrival) -> _Answer:
    return _success({"ts": str(math.floor(arrival.now * 1000))})


def _account_config(_arrival: _Arrival, user: EmulatedUser) -> _Answer:
    return _success(
        {
            "acctLv": "1",
            "autoLoan": False,
            "ip": "",
            "kycLv": "2",
            "label": "emulator",
            "level": "Lv1",
            "mainUid": user.uid,
            "opAuth": "0",
            "perm": "read_only",
            "posMode": "net_mode",
            "roleType": "0",
            "traderInsts": [],
            "type": "0",
            "uid": user.uid,
        }
    )


def _balance(_arrival: _Arrival, user: EmulatedUser) -> _Answer:
    balance = user.balance
    if balance is None:
        return _success()
    return _success(
        {
            "amt": format(balance.amt, "f"),
            "ccy": balance.ccy,
            "latestInterestAccrual": format(balance.latest_interest_accrual, "f"),
            "totalInterestAccrual": format(balance.total_interest_accrual, "f"),
        }
    )


_ROUTES: Final[Mapping[str, _PublicRoute | _SignedRoute]] = {
    route.endpoint: route
    for route in (
        _PublicRoute("GET /api/v5/public/time", 10, 2.0, _time),
        _SignedRoute("GET /api/v5/account/config", 5, 2.0, _account_config),
        _SignedRoute("GET /api/v5/finance/staking-defi/sol/balance", 6, 1.0, _balance),
    )
}


class Emulator:
    """A local exchange, for tests and for trying things out.

    Serve it with ``async with`` in the running event loop, or with ``with`` from a background thread.
    It serves once. What it counted can be read until the end and after it.

    Args:
        window: how calls are counted: ``"sliding"`` (a log of the last second, the strictest of the three),
            ``"fixed"`` (stretches that begin at whole multiples) or ``"token"`` (a bucket that is refilled evenly).
        latency: seconds that a request travels before it is checked and counted, and an answer travels back.
        jitter: the most seconds that are added at random to each of the two ways.
        seed: makes the jitter repeatable.
        demo: whether the first user is one of demo trading.
        port: the port on 127.0.0.1; 0 takes any that is free.
        now: returns the exchange's time, in seconds since 1970 (UTC). Rate limits go by the event loop's clock instead.

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
        port: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        if window not in _WINDOWS:
            message = f"window must be one of {', '.join(_WINDOWS)}, not {window!r}"
            raise ConfigurationError(message)
        _check_seconds("latency", latency)
        _check_seconds("jitter", jitter)
        if seed is not None:
            _check_whole_number("seed", seed)
        _check_whole_number("port", port)
        if not 0 <= port <= 65_535:
            message = f"port must be from 0 to 65535, not {port}"
            raise ConfigurationError(message)
        if not callable(now):
            message = f"now must be callable, not {now!r}"
            raise ConfigurationError(message)
        self._window: Window = window
        self._latency = latency
        self._jitter = jitter
        self._random = random.Random(seed)  # noqa: S311 - delays are no secret
        self._port = port
        self._now = now
        self._windows: dict[tuple[str, str], _Window] = {}
        self._calls: deque[Call] = deque(maxlen=MEMORY)
        # Calls may be read in another thread than the one that serves.
        self._lock = threading.Lock()
        self._keys: dict[str, _Key] = {}
        self._first_uid = 44_700_000_000_000_000 + next(_emulator_numbers) * 1_000_000
        self._user_numbers = itertools.count()
        #: The first user.
        self.user: Final = self.add_user(demo=demo)
        self._begun = False
        self._url: str | None = None
        self._runner: web.ServerRunner | None = None
        self._background: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

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
    def credentials(self) -> Credentials:
        """The first key of the first user, with the user's uid as its ``user_id``."""
        return self.user.credentials

    def add_user(self, *, balance: Balance | None = DEFAULT_BALANCE, demo: bool = False) -> EmulatedUser:
        """Return a new user, who has one key and is counted apart from all others.

        Args:
            balance: what the user holds, in OKSOL; `None` is answered with no row at all.
            demo: whether the user's keys are for demo trading.

        Raises:
            ConfigurationError: an argument is wrong.

        """
        if not isinstance(demo, bool):
            message = f"demo must be True or False, not {demo!r}"
            raise ConfigurationError(message)
        return EmulatedUser(str(self._first_uid + next(self._user_numbers)), balance, demo, self._keys)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that came in, oldest first; the last 100,000 of them."""
        with self._lock:
            return tuple(self._calls)

    def count(self, *, code: str | None = None, endpoint: str | None = None, uid: str | None = None) -> int:
        """Return how many of `calls` had this code, endpoint and user; `None` stands for any."""
        return sum(code in (None, call.code) for call in self._calls_of(endpoint, uid))

    def tally(self, *, endpoint: str | None = None, uid: str | None = None) -> Tally:
        """Return how `calls` of this endpoint and user were answered; `None` stands for any."""
        calls = self._calls_of(endpoint, uid)
        return Tally(
            received=len(calls),
            accepted=sum(call.accepted for call in calls),
            refused=sum(call.refused for call in calls),
            rejected=sum(call.rejected for call in calls),
        )

    def arrivals(self, *, endpoint: str | None = None, uid: str | None = None) -> tuple[float, ...]:
        """Return when the calls came that reached the rate limit, accepted or refused by it, in loop seconds."""
        return tuple(call.arrived_at for call in self._calls_of(endpoint, uid) if not call.rejected)

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

    def _calls_of(self, endpoint: str | None, uid: str | None) -> list[Call]:
        return [call for call in self.calls if endpoint in (None, call.endpoint) and uid in (None, call.uid)]

    async def __aenter__(self) -> Self:
        self._begin()
        await self._start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    def __enter__(self) -> Self:
        self._begin()
        loop = asyncio.new_event_loop()
        # A daemon, so that an emulator that is never closed does not keep the interpreter alive.
        thread = threading.Thread(target=loop.run_forever, name="okx-emulator", daemon=True)
        thread.start()
        self._background = loop, thread
        try:
            asyncio.run_coroutine_threadsafe(self._start(), loop).result()
        except BaseException:
            self._end_background()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_background()

    def _begin(self) -> None:
        if self._begun:
            message = "an emulator serves only once"
            raise ConfigurationError(message, hint="Make another Emulator.")
        self._begun = True

    async def _start(self) -> None:
        # Signatures are over the bytes that came, so a body must not be unpacked.
        server = web.Server(self._handle, auto_decompress=False)
        runner = web.ServerRunner(server, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        self._runner = runner
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self._port, backlog=_BACKLOG).start()
        except OSError as error:
            await self._stop()
            message = f"port {self._port} on {_HOST} cannot be served: {error.strerror}"
            raise ConfigurationError(message) from error
        self._url = f"http://{_HOST}:{runner.addresses[0][1]}"

    async def _stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        # The loop takes some turns to accept a connection, and asyncio stumbles when its server closes in between.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        await runner.cleanup()

    def _end_background(self) -> None:
        if self._background is None:
            return
        (loop, thread), self._background = self._background, None
        try:
            asyncio.run_coroutine_threadsafe(self._stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await request.read()
        except ConnectionError:
            # The client hung up; nobody reads this.
            return web.Response(status=400)
        await self._travel()
        arrival = _Arrival(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body,
            ip=request.remote or "",
            at=asyncio.get_running_loop().time(),
            now=self._now(),
        )
        user, answer = self._answer(arrival)
        trace_id = uuid.uuid4().hex
        self._note(arrival, user, answer, trace_id)
        await self._travel()
        return web.Response(
            status=answer.status,
            text=answer.body,
            content_type="application/json",
            headers={"x-trace-id": trace_id},
        )

    async def _travel(self) -> None:
        seconds = self._latency + self._random.uniform(0.0, self._jitter)
        if seconds:
            await asyncio.sleep(seconds)

    def _note(self, arrival: _Arrival, user: EmulatedUser | None, answer: _Answer, trace_id: str) -> None:
        uid = None if user is None else user.uid
        call = Call(uid, arrival.endpoint, arrival.at, answer.status, answer.code, trace_id)
        with self._lock:
            self._calls.append(call)

    def _answer(self, arrival: _Arrival) -> tuple[EmulatedUser | None, _Answer]:
        route = _ROUTES.get(arrival.endpoint)
        if route is None:
            return None, _NOT_FOUND
        if isinstance(route, _PublicRoute):
            return None, route.answer(arrival) if self._count(route, arrival.ip, arrival.at) else _TOO_MANY
        for header, missing in _MISSING.items():
            if not arrival.headers.get(header):
                return None, missing
        key = self._keys.get(arrival.headers["OK-ACCESS-KEY"])
        if key is None:
            return None, _UNKNOWN_KEY
        user = key.user
        refusal = _verify(arrival, key)
        if refusal is not None:
            return user, refusal
        return user, route.answer(arrival, user) if self._count(route, user.uid, arrival.at) else _TOO_MANY

    def _count(self, route: _PublicRoute | _SignedRoute, caller: str, now: float) -> bool:
        window = self._windows.get((caller, route.endpoint))
        if window is None:
            window = self._windows[caller, route.endpoint] = _WINDOWS[self._window](route.requests, route.seconds)
        return window.accept(now)


def _verify(arrival: _Arrival, key: _Key) -> _Answer | None:
    """Return the refusal of a request that claims to be signed with ``key``, `None` when it is."""
    headers = arrival.headers
    signed_at = _seconds_of(headers["OK-ACCESS-TIMESTAMP"])
    if signed_at is None:
        return _BAD_TIMESTAMP
    if abs(arrival.now - signed_at) > TIMESTAMP_TOLERANCE:
        return _EXPIRED
    prehash = _bytes_of(headers["OK-ACCESS-TIMESTAMP"] + arrival.method + arrival.target) + arrival.body
    signature = b64encode(hmac.digest(key.credentials.secret_key.encode(), prehash, "sha256"))
    if not hmac.compare_digest(signature, _bytes_of(headers["OK-ACCESS-SIGN"])):
        return _BAD_SIGNATURE
    if not hmac.compare_digest(key.credentials.passphrase.encode(), _bytes_of(headers["OK-ACCESS-PASSPHRASE"])):
        return _BAD_PASSPHRASE
    # Absent and "0" both mean live.
    if (headers.get("x-simulated-trading") == "1") != key.user.demo:
        return _WRONG_MODE
    return None


def _seconds_of(timestamp: str) -> float | None:
    if _TIMESTAMP.fullmatch(timestamp) is None:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None


def _bytes_of(text: str) -> bytes:
    """Return the bytes that came, which aiohttp turned into ``text``."""
    return text.encode("utf-8", "surrogateescape")


def _check_seconds(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        message = f"{field} must be a finite number of seconds from 0 on, not {value!r}"
        raise ConfigurationError(message)


def _check_whole_number(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{field} must be a whole number, not {value!r}"
        raise ConfigurationError(message)
