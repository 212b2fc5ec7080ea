"""The HTTP server: it receives requests, applies faults and latency, and sends the responses."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from aiohttp import HttpVersion11, web

from okx_sol_async.emulator._clock import ExchangeClock
from okx_sol_async.emulator.accounts._users import EmulatedUser
from okx_sol_async.emulator.faults._injections import FaultQueue, Injection
from okx_sol_async.emulator.faults._plan import ResponsePlan
from okx_sol_async.emulator.gateway._gateway import Gateway
from okx_sol_async.emulator.gateway._journal import JournalEntry, RequestJournal, without_secrets
from okx_sol_async.emulator.gateway._requests import ReceivedRequest, endpoint_of
from okx_sol_async.emulator.gateway._responses import NO_RESPONSE, ExchangeResponse
from okx_sol_async.emulator.network._connections import ClientConnection, ListeningPort
from okx_sol_async.emulator.network._delay import NetworkDelay
from okx_sol_async.emulator.network._delivery import ResponseHead, SentResponse, deliver
from okx_sol_async.emulator.upstream._forwarding import Upstream

#: Responds to requests for the control API.
ControlHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
#: The paths of the control API begin with it.
CONTROL_PATH: Final = "/_emulator"

# Seconds until requests in flight are aborted, however long their delay; aiohttp takes 0 for endless.
_SHUTDOWN_TIMEOUT: Final = 0.01
_TURNS: Final = 4


@attrs.define
class CallFlow:
    """One call on its way through the server: its caller, and what faults do to it."""

    user: EmulatedUser | None
    injection: Injection | None
    plan: ResponsePlan
    trace_id: str


class HttpServer:
    """Serves a gateway on a port, in the running event loop or from a background thread."""

    def __init__(
        self,
        gateway: Gateway,
        clock: ExchangeClock,
        journal: RequestJournal,
        faults: FaultQueue,
        *,
        delay: NetworkDelay,
        control: ControlHandler,
        upstream: Upstream | None = None,
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._journal = journal
        self._faults = faults
        self._delay = delay
        self._control = control
        self._upstream = upstream
        self._web: web.Server | None = None
        #: Where it listens; `None` before and after.
        self.port: ListeningPort | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._background: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    def start_in_background(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        """Serve from a thread of its own, and return the URL."""
        loop = asyncio.new_event_loop()
        # A daemon, so that an emulator that is never closed does not keep the interpreter alive.
        thread = threading.Thread(target=loop.run_forever, name="okx-emulator", daemon=True)
        thread.start()
        self._background = loop, thread
        try:
            return asyncio.run_coroutine_threadsafe(self.start(host, port, tls), loop).result()
        except BaseException:
            self.stop_in_background()
            raise

    def stop_in_background(self) -> None:
        """Stop serving, and end the thread; responses that are delayed are cancelled."""
        if self._background is None:
            return
        (loop, thread), self._background = self._background, None
        try:
            asyncio.run_coroutine_threadsafe(self._stop_everything(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _stop_everything(self) -> None:
        await self.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        """Serve in the running event loop, and return the URL."""
        # Signatures are over the bytes that were sent, so a body must not be unpacked.
        server = web.Server(self._handle, auto_decompress=False, access_log=None)
        listening = ListeningPort(server, host, port, tls)
        await listening.open()
        self._web, self.port, self._loop = server, listening, asyncio.get_running_loop()
        return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{listening.number}"

    async def stop(self) -> None:
        """Stop serving."""
        server, port = self._web, self.port
        self._web = self.port = self._loop = None
        if server is None or port is None:
            return
        # asyncio needs some turns to accept a connection, and fails if its server closes in between.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        port.close()
        await asyncio.sleep(0)
        server.pre_shutdown()
        await server.shutdown(_SHUTDOWN_TIMEOUT)
        if self._upstream is not None:
            await self._upstream.aclose()

    def run_in_loop(self, action: Callable[[], object]) -> None:
        """Run a function in the event loop that serves, and return when it is done; nothing once that loop has ended."""
        loop = self._loop
        if loop is None:
            return
        try:
            is_current = asyncio.get_running_loop() is loop
        except RuntimeError:
            is_current = False
        if is_current:
            action()
        else:
            asyncio.run_coroutine_threadsafe(_run(action), loop).result()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == CONTROL_PATH or request.path.startswith(f"{CONTROL_PATH}/"):
            return await self._control(request)
        port = self.port
        connection = None if port is None else port.connection_of(request)
        body = await _read(request)
        if connection is None or body is None:
            # The client has closed the connection.
            return SentResponse(kept=False)
        flow = self._begin(request, kept_alive=connection.carried > 0)
        plan = flow.plan
        connection.carried += 1
        await self._delay.wait(plan.there)
        received = self._received(request, body, plan)
        upstream = self._upstream if plan.processed else None
        response = self._process(received, flow, None if upstream is None else await upstream.respond(received))
        if plan.held and flow.injection is not None:
            await _hold(connection, flow.injection)
        await self._delay.wait(plan.back)
        head = ResponseHead(
            response=response,
            trace_id=flow.trace_id,
            now=self._clock.now() + plan.clock_off,
            keep_alive=request.keep_alive,
            old=request.version < HttpVersion11,
            head_only=request.method == "HEAD",
        )
        return SentResponse(kept=await deliver(connection, head, plan))

    def _begin(self, request: web.BaseRequest, *, kept_alive: bool) -> CallFlow:
        endpoint = endpoint_of(request.method, request.raw_path)
        user = self._gateway.caller(endpoint, request.headers)
        injection = self._faults.draw(endpoint, None if user is None else user.uid, kept_alive=kept_alive)
        plan = ResponsePlan()
        for fault in () if injection is None else injection.faults:
            fault.apply(plan)
        return CallFlow(user, injection, plan, secrets.token_hex(16))

    def _received(self, request: web.BaseRequest, body: bytes, plan: ResponsePlan) -> ReceivedRequest:
        clock = self._clock
        return ReceivedRequest(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=body,
            ip=request.remote or "",
            at=asyncio.get_running_loop().time() + clock.limits_moved,
            now=clock.now() + plan.clock_off,
            moved=clock.moved,
        )

    def _process(self, request: ReceivedRequest, flow: CallFlow, passed: ExchangeResponse | None) -> ExchangeResponse:
        """Do what a request asks for unless a fault prevents it, record it, and return the response to send."""
        plan = flow.plan
        if passed is not None:
            decided = passed
        elif plan.processed:
            decided = self._gateway.respond(request)
        else:
            self._gateway.count(request)
            decided = plan.instead or NO_RESPONSE
        self._journal.add(
            JournalEntry(
                None if flow.user is None else flow.user.uid,
                request.endpoint,
                request.at,
                decided.status,
                decided.code,
                flow.trace_id,
                () if flow.injection is None else flow.injection.faults,
                query=request.query,
                body=request.body,
                headers=without_secrets(request.headers),
                at=request.now,
            )
        )
        return plan.instead or decided


async def _hold(connection: ClientConnection, injection: Injection) -> None:
    """Wait until the injection is stopped, or the client has closed the connection."""
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


async def _run(action: Callable[[], object]) -> None:
    action()
