"""A world of machines, users and one exchange, on one virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import json
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import aiohttp
import aiohttp.connector

import okx_sol_async.emulator.network._server
import okx_sol_async.ratelimit._bucket
import okx_sol_async.session
import okx_sol_async.signing._signer
import okx_sol_async.transport._call
import okx_sol_async.transport._http
from okx_sol_async import Balance, Credentials, LocalLimiter, OKXError, Session, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.gateway._gateway import ROUTES
from okx_sol_async.emulator.network._connections import ClientConnection
from okx_sol_async.staking._endpoints import BALANCE
from okx_sol_async.transport._clock_sync import ClockSynchronizer
from okx_sol_async.transport._http import MAX_CONNECTIONS, USER_AGENT
from tests.simulation import laws
from tests.simulation.book import Book, Entry, LogReader, current
from tests.simulation.connector import SimulatedConnector, SimulatedPort
from tests.simulation.machines import (
    ENDPOINTS,
    HOST,
    PATIENT,
    WRITES,
    Machine,
    Member,
    Patience,
    Slot,
    WatchedClock,
)
from tests.simulation.network import Network, Weather, Wire
from tests.simulation.watching import ask_time, correct, tag, watched_lease

if TYPE_CHECKING:
    from okx_sol_async.emulator import EmulatedUser
    from okx_sol_async.emulator.gateway._requests import ReceivedRequest
    from okx_sol_async.emulator.gateway._responses import ExchangeResponse
    from okx_sol_async.emulator.network._server import CallFlow
    from okx_sol_async.ratelimit._state import BucketState

#: The world begins at midnight UTC of 1 January 2026.
EPOCH: Final = 1_767_225_600.0
#: How long the end of a world waits for the last calls, in seconds.
PATIENCE: Final = 3_600.0
#: Garbage is collected after this many calls.
COLLECT_EVERY: Final = 2_000


_machine: Final[contextvars.ContextVar[Machine]] = contextvars.ContextVar("machine")


class World:
    """All of it."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop, *, window: str, latency: float) -> None:
        self.seed = seed
        self.loop = loop
        self.random = random.Random(seed)
        self.book = Book(loop)
        self.network = Network(loop, self.random, HOST, self._left, self._harmed, self._foreign)
        #: What was slept, by all machines and the exchange, while the loop's clock stood still.
        self.slept = 0.0
        #: By how many seconds the exchange's clock is ahead of the true time.
        self.exchange_ahead = 0.0
        self.process_limiter = LocalLimiter()
        self.machines: list[Machine] = []
        self.slots: list[Slot] = []
        self._calls_of_wires: dict[Wire, Entry] = {}
        self._tasks: dict[asyncio.Task[None], Entry] = {}
        self._members = 0
        self._collect_at = COLLECT_EVERY
        self.exchange = Emulator(
            now=self._exchange_now,
            seed=seed,
            window=window,  # type: ignore[arg-type] # one of its names
            latency=latency,
        )
        self._process = self.exchange._server._process
        self.exchange._server._process = self._watched_process  # type: ignore[method-assign]
        self.book.bucket_of = self._bucket_of

    # Clocks.

    def true_time(self) -> float:
        return EPOCH + self.slept + self.loop.time()

    def _exchange_now(self) -> float:
        return self.true_time() + self.exchange_ahead

    def _clock_of(self, machine: Machine) -> WatchedClock:
        return WatchedClock(lambda: self.true_time() + machine.ahead, lambda: self.loop.time() + self.slept, self.loop)

    # Who is there.

    def add_machine(self, *, pool: int = MAX_CONNECTIONS) -> Machine:
        number = len(self.machines) + 1
        limiter = None if number == 1 else LocalLimiter()
        buckets = self.process_limiter if limiter is None else limiter
        machine = Machine(f"198.51.100.{number}", Weather(), limiter, buckets, pool)
        self.machines.append(machine)
        return machine

    def add_slot(self, machine: Machine, *, timeout: float, max_wait: float | None, attempts: int) -> Slot:
        session, clock = self._new_session(machine, timeout, max_wait, attempts)
        slot = Slot(machine, timeout, max_wait, attempts, session, clock)
        self.slots.append(slot)
        machine.slots.append(slot)
        return slot

    def _new_session(
        self, machine: Machine, timeout: float, max_wait: float | None, attempts: int
    ) -> tuple[Session, WatchedClock]:
        session = Session(
            timeout=timeout,
            max_wait=max_wait,
            attempts=attempts,
            limiter=machine.limiter,
            middlewares=[tag],
            observe=self._report,
        )
        clock = self._clock_of(machine)
        session._state.clock.server_clock = clock
        return session, clock

    def add_user(self) -> EmulatedUser:
        held = Balance("OKSOL", Decimal("1000000.00000001"), Decimal("0.00000012"), Decimal("7.00000012"))
        return self.exchange.add_user(sol=Decimal(1_000_000_000), balance=held if self.random.random() < 0.9 else None)

    def add_member(self, slot: Slot, user: EmulatedUser, *, labelled: bool) -> Member:
        """Give a user one more key, and let it be used in ``slot``."""
        self._members += 1
        number = f"{self._members:04d}"
        piece = f"{laws.MARK}{number}"
        credentials = Credentials(f"{piece}-{piece}-{number}", f"{piece}." * 5, f"{piece}!{piece}?")
        known = user.add_key(credentials)
        member = Member(user, known if labelled else credentials, labelled)
        slot.members.append(member)
        return member

    async def remake(self, slot: Slot) -> None:
        """Close the session of a slot, whatever is under way in it, and make a new one."""
        self.book.note("remake")
        before = slot.session
        slot.session, slot.clock = self._new_session(slot.machine, slot.timeout, slot.max_wait, slot.attempts)
        await self._close(slot, before)

    async def _close(self, slot: Slot, session: Session) -> None:
        for entry in slot.under_way:
            entry.leaves_at = min(entry.leaves_at, self.loop.time())
        began = self.loop.time()
        await session.aclose()
        under_way = sum(entry.session is session for entry in slot.under_way)
        self.book.check(9, laws.closing_ends_all(self.loop.time() - began, under_way))
        self.book.check(5, laws.shows_no_secret(repr(session) + repr(session._state)))

    # Calls.

    def start(self, slot: Slot, member: Member | None, what: str, patience: Patience = PATIENT) -> asyncio.Task[None]:
        """Make a call, in a task of its own."""
        endpoint = ENDPOINTS[what]
        number = self.book.calls + 1
        session, credentials = slot.session, None if member is None else member.credentials
        entry = Entry(
            number,
            what,
            str(endpoint),
            None if member is None else member.user,
            credentials,
            slot.clock.read_at,
            slot.timeout,
            slot.attempts,
            slot.max_wait,
            self.loop.time(),
        )
        entry.session = session
        entry.bucket_key = session._state.bucket_key(endpoint, credentials)
        waits = [at for at in (patience.timeout, slot.max_wait) if at is not None]
        entry.leaves_at = self.loop.time() + min(waits, default=float("inf"))
        self.book.begin(entry)
        task = self.loop.create_task(self._run(entry, slot, self._deed(entry, slot, session, member), patience))
        self._tasks[task] = entry
        if patience.cancel_after is not None:
            self.loop.call_later(patience.cancel_after, self._cancel, task, entry)
        return task

    def _cancel(self, task: asyncio.Task[None], entry: Entry) -> None:
        if not entry.ended:
            self.book.note(f"cancel {entry.number}")
            entry.leaves_at = min(entry.leaves_at, self.loop.time())
            entry.cancelled = True
            task.cancel()

    def _deed(
        self, entry: Entry, slot: Slot, session: Session, member: Member | None
    ) -> Callable[[], Awaitable[object]]:
        what = entry.what
        if member is None:
            entry.rounds = self.random.randint(1, 3)
            return lambda: session.synchronize_clock(entry.rounds)
        if what == "identify":
            return lambda: self._identify(session, member)
        if what in WRITES:
            # The amount names the call in the books of the exchange; now and then it is more than there is.
            entry.amt = Decimal(1 if self.random.random() < 0.95 else 10**12) + Decimal(f"0.{entry.number:09d}")
            parameters = {"amt": format(entry.amt, "f")}
            return lambda: session.call(ENDPOINTS[what], member.credentials, parameters)
        if what == "balance":
            return SolStaking(member.credentials, session).balance
        parameters = {"before": str(entry.number)} if what == "history" else {}
        return lambda: session.call(ENDPOINTS[what], member.credentials, parameters)

    async def _identify(self, session: Session, member: Member) -> None:
        member.credentials = await session.identify(member.credentials)
        member.identified = True
        same = [other for slot in self.slots for other in slot.members if other.user is member.user]
        if all(other.identified for other in same):
            # What left before may still be on its way.
            self.book.unlabelled[member.user.uid] = self.loop.time() + 60.0

    async def _run(self, entry: Entry, slot: Slot, deed: Callable[[], Awaitable[object]], patience: Patience) -> None:
        current.set(entry)
        _machine.set(slot.machine)
        slot.under_way[entry] = None
        outcome: BaseException | None = None
        result: object = None
        limit = None
        try:
            async with asyncio.timeout(patience.timeout) as limit:
                result = await deed()
        except BaseException as error:  # noqa: BLE001 - the book judges all of them
            outcome = error
        del slot.under_way[entry]
        timed_out = isinstance(outcome, TimeoutError) and not isinstance(outcome, OKXError) and limit is not None
        own = (isinstance(outcome, asyncio.CancelledError) and entry.cancelled) or (
            timed_out and limit is not None and limit.expired()
        )
        self.book.end(entry, outcome, result, own=own)
        if entry.amt is not None:
            # By then, all that was on its way has arrived or never will.
            self.loop.call_later(30.0 + slot.timeout, self.book.check_money, entry)
        # The frame and the traceback of the error would keep each other alive.
        del outcome

    def forget_ended(self) -> None:
        """Drop the tasks of calls that have ended."""
        self._tasks = {task: entry for task, entry in self._tasks.items() if not task.done()}
        if self.book.calls >= self._collect_at:
            # At times that the seed decides, because what is collected may speak.
            self._collect_at = self.book.calls + COLLECT_EVERY
            gc.collect()

    # What others see of them.

    def _report(self, report: Any) -> None:
        entry = current.get()
        if entry is not None:
            self.book.reported(entry, report)

    def _left(self, wire: Wire, data: bytes) -> None:
        entry = self.book.left(data)
        if entry is not None:
            self._calls_of_wires[wire] = entry

    def _harmed(self, wire: Wire | None, harm: str) -> None:
        self.book.harmed(current.get() if wire is None else self._calls_of_wires.get(wire), harm)

    def _foreign(self, host: str) -> None:
        self.book.check(5, f"something connects to {host}", current.get())

    def _bucket_of(self, entry: Entry) -> BucketState | None:
        for machine in self.machines:
            found = machine.buckets._buckets.get(machine.buckets._known_as(entry.bucket_key))
            if found is not None:
                return found.state
        return None

    def _watched_process(
        self, request: ReceivedRequest, flow: CallFlow, passed: ExchangeResponse | None
    ) -> ExchangeResponse:
        response = self._process(request, flow, passed)
        user, held = flow.user, None
        if user is not None and response.code == "0" and request.method == "GET":
            if request.endpoint == str(BALANCE):
                held = user._ledger.balance or Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0))
            else:
                held = json.loads(response.body)["data"]
        self.book.arrived(request, user, () if flow.injection is None else flow.injection.faults, response, held)
        return response

    def spend(self, user: EmulatedUser, endpoint: str) -> None:
        """Let another program of the user's call an endpoint."""
        self.exchange._gateway._accept(ROUTES[endpoint], user.uid, self.loop.time())

    # Its beginning and end.

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """Put the parts of this world in their places."""

        def new_http(*, keep_alive: bool) -> aiohttp.ClientSession:
            machine = _machine.get()
            connector = SimulatedConnector(
                self.network, machine.weather, machine.ip, limit=machine.pool, force_close=not keep_alive
            )
            return aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": USER_AGENT}
            )

        def port(server: Any, host: str, number: int, tls: None) -> SimulatedPort:
            return SimulatedPort(self.network, server, ClientConnection)

        with contextlib.ExitStack() as stack:
            for target, name, new in (
                (okx_sol_async.transport._http, "_open_http", new_http),
                (okx_sol_async.session, "PROCESS_LIMITER", self.process_limiter),
                (okx_sol_async.ratelimit._bucket, "BucketLease", watched_lease(self.book)),
                (okx_sol_async.transport._call.Call, "ask_time", ask_time),
                (ClockSynchronizer, "correct", correct),
                (okx_sol_async.emulator.network._server, "ListeningPort", port),
                # The suite's guard learns each signature at its leisure; the book searches for them itself.
                (okx_sol_async.signing._signer, "sign", inspect.unwrap(okx_sol_async.signing._signer.sign)),
                # A connection that was idle for too long is not used again, by this clock.
                (aiohttp.connector, "monotonic", self.loop.time),
            ):
                stack.enter_context(mock.patch.object(target, name, new))
            root = logging.getLogger()
            handlers, level = root.handlers[:], root.level
            root.handlers[:] = [LogReader(self.book)]
            root.setLevel(logging.DEBUG)
            try:
                yield
            finally:
                root.handlers[:] = handlers
                root.setLevel(level)

    async def finish(self) -> None:
        """Wait for the last calls, close everything, and look at what is left."""
        book = self.book
        under_way = [task for task in self._tasks if not task.done()]
        if under_way:
            await asyncio.wait(under_way, timeout=PATIENCE)
        for task, entry in self._tasks.items():
            if not task.done():
                book.lost += 1
                book.check(9, "never ended", entry)
                task.cancel()
        for slot in self.slots:
            await self._close(slot, slot.session)
        await self.exchange.__aexit__(None, None, None)
        await asyncio.sleep(300.0)
        for entry in book.entries.values():
            if entry.amt is not None and entry.ended:
                book.check_money(entry)
        gc.collect()
        await asyncio.sleep(1.0)
        me = asyncio.current_task()
        book.check(
            8,
            laws.nothing_is_left(
                sorted((task for task in asyncio.all_tasks() if task is not me), key=asyncio.Task.get_name),
                [timer for timer in self.loop._scheduled if not timer.cancelled()],  # type: ignore[attr-defined]
                {
                    "leases": book.leases_held,
                    "connections": len(self.network.wires),
                    "buckets": sum(len(machine.buckets) for machine in self.machines),
                    "calls": sum(len(slot.under_way) for slot in self.slots),
                },
            ),
        )
