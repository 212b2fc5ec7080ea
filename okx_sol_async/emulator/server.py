"""The server: the local exchange as other programs see it."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import formatdate
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from okx_sol_async.emulator import answers
from okx_sol_async.emulator.answers import Answer
from okx_sol_async.emulator.arguments import check_flag, check_seconds, check_whole_number
from okx_sol_async.emulator.arrivals import Arrival, verify
from okx_sol_async.emulator.calls import Call, CallLog, Tally
from okx_sol_async.emulator.clock import Clock
from okx_sol_async.emulator.product import Product
from okx_sol_async.emulator.routes import ROUTES, PublicRoute, SignedRoute
from okx_sol_async.emulator.users import DEFAULT_BALANCE, DEFAULT_SOL, EmulatedUser, World
from okx_sol_async.emulator.windows import WINDOWS, CountingWindow, Window
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.signing import Credentials

_HOST: Final = "127.0.0.1"
# Thousands of users may connect at once; a full queue of connections would delay them by a second.
_BACKLOG: Final = 4096
# Seconds until requests on their way are cut off, however long their delay; aiohttp takes 0 for endless.
_SHUTDOWN_TIMEOUT: Final = 0.01
_TURNS: Final = 4

# Each emulator of a process has keys and users of its own, so no limiter takes those of two for the same.
_emulator_numbers = itertools.count(1)


class Emulator:
    """A local exchange, for tests and for trying things out.

    Serve it with ``async with`` in the running event loop, or with ``with`` from a background thread.
    It serves once. What it counted can be read until the end and after it.

    Args:
        window: how calls are counted: ``"sliding"`` (a log of the last second, the strictest of the four),
            ``"fixed"`` (stretches that begin at whole multiples), ``"token"`` (a bucket that is refilled evenly)
            or ``"counter"`` (two fixed stretches, of which the one before counts less and less).
        latency: seconds that a request travels before it is checked and counted, and an answer travels back.
        jitter: the most seconds that are added at random to each of the two ways.
        seed: makes the jitter repeatable.
        demo: whether the first user is one of demo trading.
        port: the port on 127.0.0.1; 0 takes any that is free.
        now: returns the exchange's time, in seconds since 1970 (UTC); `None` is the machine's clock, and interest
            accrues then only when `advance` moves it past 16:00 UTC. Rate limits go by the event loop's clock.
        product: the terms of SOL staking; `None` for those of OKX's documentation.

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
        now: Callable[[], float] | None = None,
        product: Product | None = None,
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
            raise ConfigurationError(message)
        if now is not None and not callable(now):
            message = f"now must be callable, not {now!r}"
            raise ConfigurationError(message)
        self._window: Window = window
        self._latency = latency
        self._jitter = jitter
        self._random = random.Random(seed)  # noqa: S311 - delays are no secret
        self._port = port
        self._windows: dict[tuple[str, str], CountingWindow] = {}
        self._calls = CallLog()
        self._world = World(Clock(now), _check_product(Product() if product is None else product))
        self._users: list[EmulatedUser] = []
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
        )

    def arrivals(self, *, endpoint: str | None = None, uid: str | None = None) -> tuple[float, ...]:
        """Return when the calls came that reached the rate limit, accepted or refused by it, in loop seconds."""
        return tuple(call.arrived_at for call in self._calls.of(endpoint, uid) if not call.rejected)

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
        clock = self._world.clock
        arrival = Arrival(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body,
            ip=request.remote or "",
            at=asyncio.get_running_loop().time(),
            now=clock.now(),
            moved=clock.moved,
        )
        with self._world.lock:
            user, answer = self._answer(arrival)
        trace_id = uuid.uuid4().hex
        uid = None if user is None else user.uid
        self._calls.note(Call(uid, arrival.endpoint, arrival.at, answer.status, answer.code, trace_id))
        await self._travel()
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type="application/json",
            charset="utf-8",
            headers={"x-trace-id": trace_id, "Date": formatdate(clock.now(), usegmt=True)},
        )

    async def _travel(self) -> None:
        seconds = self._latency + self._random.uniform(0.0, self._jitter)
        if seconds:
            await asyncio.sleep(seconds)

    def _answer(self, arrival: Arrival) -> tuple[EmulatedUser | None, Answer]:
        route = ROUTES.get(arrival.endpoint)
        if route is None:
            return None, answers.NOT_FOUND
        product = self._world.product
        if isinstance(route, PublicRoute):
            accepted = self._count(route, arrival.ip, arrival.at)
            return None, route.answer(arrival, product) if accepted else answers.TOO_MANY
        for header, missing in answers.MISSING.items():
            if not arrival.headers.get(header):
                return None, missing
        key = self._world.keys.get(arrival.headers["OK-ACCESS-KEY"])
        if key is None:
            return None, answers.UNKNOWN_KEY
        refusal = verify(arrival, key)
        if refusal is None and route.permission not in key.permissions:
            refusal = answers.NO_PERMISSION
        if refusal is None and not self._count(route, key.user.uid, arrival.at):
            refusal = answers.TOO_MANY
        return key.user, refusal or route.answer(arrival, product, key)

    def _count(self, route: PublicRoute | SignedRoute, caller: str, now: float) -> bool:
        window = self._windows.get((caller, route.endpoint))
        if window is None:
            window = self._windows[caller, route.endpoint] = WINDOWS[self._window](route.requests, route.seconds)
        return window.accept(now)


def _check_product(product: object) -> Product:
    if not isinstance(product, Product):
        message = f"product must be a Product, not {type(product).__name__}"
        raise ConfigurationError(message)
    return product
