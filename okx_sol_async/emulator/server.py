"""The server: requests come in over the network, and answers, or what faults make of them, go out."""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import attrs
from aiohttp import HttpVersion11, web

from okx_sol_async.emulator.answers import NOTHING, Answer
from okx_sol_async.emulator.arrivals import Arrival, endpoint_of
from okx_sol_async.emulator.calls import Call, CallLog
from okx_sol_async.emulator.clock import Clock
from okx_sol_async.emulator.connections import Connection, Port
from okx_sol_async.emulator.course import Course
from okx_sol_async.emulator.delivery import Delivered, Parcel, deliver
from okx_sol_async.emulator.faults import Fault
from okx_sol_async.emulator.front import Front
from okx_sol_async.emulator.injections import Injection, Injections
from okx_sol_async.emulator.users import EmulatedUser

# Seconds until requests on their way are cut off, however long their delay; aiohttp takes 0 for endless.
_SHUTDOWN_TIMEOUT: Final = 0.01
_TURNS: Final = 4


@attrs.frozen
class Ways:
    """How long requests and answers travel, in seconds."""

    latency: float
    jitter: float
    _random: random.Random

    async def travel(self, longer: float) -> None:
        """Take one of the two ways."""
        seconds = self.latency + self._random.uniform(0.0, self.jitter) + longer
        if seconds:
            await asyncio.sleep(seconds)


class Server:
    """Serves a front on a port, in the running event loop or from a background thread."""

    def __init__(self, front: Front, clock: Clock, calls: CallLog, injections: Injections, ways: Ways) -> None:
        self._front = front
        self._clock = clock
        self._calls = calls
        self._injections = injections
        self._ways = ways
        self._web: web.Server | None = None
        #: What handshakes are made with; `None` for no TLS.
        self.tls: ssl.SSLContext | None = None
        #: Where it listens; `None` before and after.
        self.port: Port | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._background: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    def start_in_background(self, host: str, port: int) -> str:
        """Serve from a thread of its own, and return the URL."""
        loop = asyncio.new_event_loop()
        # A daemon, so that an emulator that is never closed does not keep the interpreter alive.
        thread = threading.Thread(target=loop.run_forever, name="okx-emulator", daemon=True)
        thread.start()
        self._background = loop, thread
        try:
            return asyncio.run_coroutine_threadsafe(self.start(host, port), loop).result()
        except BaseException:
            self.stop_in_background()
            raise

    def stop_in_background(self) -> None:
        """End serving, and the thread."""
        if self._background is None:
            return
        (loop, thread), self._background = self._background, None
        try:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def start(self, host: str, port: int) -> str:
        """Serve in the running event loop, and return the URL."""
        # Signatures are over the bytes that came, so a body must not be unpacked.
        server = web.Server(self._handle, auto_decompress=False, access_log=None)
        taken = Port(server, host, port)
        taken.tls = self.tls
        await taken.open()
        self._web, self.port, self._loop = server, taken, asyncio.get_running_loop()
        return f"http{'s' if self.tls else ''}://{f'[{host}]' if ':' in host else host}:{taken.number}"

    async def stop(self) -> None:
        """End serving."""
        server, port = self._web, self.port
        self._web = self.port = self._loop = None
        if server is None or port is None:
            return
        # The loop takes some turns to accept a connection, and asyncio stumbles when its server closes in between.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        port.close()
        await asyncio.sleep(0)
        server.pre_shutdown()
        await server.shutdown(_SHUTDOWN_TIMEOUT)

    def act(self, action: Callable[[], object]) -> None:
        """Act in the event loop that serves, and return when it is done; once that loop has ended nothing is done."""
        loop = self._loop
        if loop is None:
            return
        try:
            at_home = asyncio.get_running_loop() is loop
        except RuntimeError:
            at_home = False
        if at_home:
            action()
        else:
            asyncio.run_coroutine_threadsafe(_acting(action), loop).result()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        port = self.port
        connection = None if port is None else port.carrier_of(request)
        body = await _read(request)
        if connection is None or body is None:
            # The client hung up; nobody reads this.
            return Delivered(kept=False)
        user, injection, course = self._draw(request, kept_alive=connection.carried > 0)
        connection.carried += 1
        await self._ways.travel(course.there)
        trace_id = secrets.token_hex(16)
        faults = () if injection is None else injection.faults
        answer = self._process(self._arrival(request, body, course), user, faults, course, trace_id)
        if course.held and injection is not None:
            await _hold(connection, injection)
        await self._ways.travel(course.back)
        parcel = Parcel(
            answer=answer,
            trace_id=trace_id,
            now=self._clock.now() + course.clock_off,
            keep_alive=request.keep_alive,
            old=request.version < HttpVersion11,
            head_only=request.method == "HEAD",
        )
        return Delivered(kept=await deliver(connection, parcel, course))

    def _draw(
        self, request: web.BaseRequest, *, kept_alive: bool
    ) -> tuple[EmulatedUser | None, Injection | None, Course]:
        endpoint = endpoint_of(request.method, request.raw_path)
        user = self._front.caller(endpoint, request.headers)
        injection = self._injections.draw(endpoint, None if user is None else user.uid, kept_alive=kept_alive)
        course = Course()
        for fault in () if injection is None else injection.faults:
            fault.shape(course)
        return user, injection, course

    def _arrival(self, request: web.BaseRequest, body: bytes, course: Course) -> Arrival:
        clock = self._clock
        return Arrival(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body,
            ip=request.remote or "",
            at=asyncio.get_running_loop().time(),
            now=clock.now() + course.clock_off,
            moved=clock.moved,
        )

    def _process(
        self, arrival: Arrival, user: EmulatedUser | None, faults: tuple[Fault, ...], course: Course, trace_id: str
    ) -> Answer:
        """Do what a request asks for unless a fault prevents it, remember the call, and return the answer to send."""
        if course.processed:
            decided = self._front.answer(arrival)
        else:
            self._front.count(arrival)
            decided = course.instead or NOTHING
        uid = None if user is None else user.uid
        self._calls.note(Call(uid, arrival.endpoint, arrival.at, decided.status, decided.code, trace_id, faults))
        return course.instead or decided


async def _hold(connection: Connection, injection: Injection) -> None:
    """Wait until the injection is stopped, or the client has gone."""
    waits = {asyncio.ensure_future(injection.wait_stopped()), asyncio.ensure_future(connection.wait_closed())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


async def _read(request: web.BaseRequest) -> bytes | None:
    try:
        return await request.read()
    except ConnectionError:
        return None


async def _acting(action: Callable[[], object]) -> None:
    action()


class Outage:
    """A time in which the exchange refuses connections; `Emulator.outage` returns it."""

    def __init__(self, server: Server, port: Port, seconds: float | None) -> None:
        self._server = server
        self._port = port
        self._seconds = seconds
        self._ended = False
        server.act(self._begin)

    def _begin(self) -> None:
        self._port.begin_outage()
        if self._seconds is not None:
            asyncio.get_running_loop().call_later(self._seconds, self._end)

    def end(self) -> None:
        """Accept connections again; a second time does nothing."""
        self._server.act(self._end)

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
