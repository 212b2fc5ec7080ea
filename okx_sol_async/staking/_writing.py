"""One purchase or redemption: it is in the log before its first byte leaves, and its outcome after."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Final, TypeVar

import attrs

from okx_sol_async._writes import Write, WriteLog, WriteOutcome
from okx_sol_async.endpoint import Endpoint
from okx_sol_async.errors import ConfigurationError, OKXError, OutcomeUnknown
from okx_sol_async.models import Order, OrderType
from okx_sol_async.session import Session
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.signing._owners import PROCESS_OWNERS
from okx_sol_async.staking._endpoints import PURCHASE, REDEEM
from okx_sol_async.staking._reconciliation import look_up
from okx_sol_async.staking._write_log import PROCESS_LOG
from okx_sol_async.transport._call import Call

T = TypeVar("T")
LookUp = Callable[[Write, float | None], Awaitable[Order | None]]

logger: Final = logging.getLogger("okx_sol_async")

#: The endpoint of each kind of write.
_ENDPOINTS: Final[dict[OrderType, Endpoint[None]]] = {OrderType.PURCHASE: PURCHASE, OrderType.REDEEM: REDEEM}
#: The calls of writes that this process has in flight, by the write's id.
_in_flight: Final[dict[str, Call[None]]] = {}
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    # They are the parent's.
    os.register_at_fork(after_in_child=_in_flight.clear)
#: What a cancelled task has left to be written.
_unfinished: Final[set[asyncio.Task[None]]] = set()


class AccountLog:
    """The log of a session, as one user of it sees it."""

    def __init__(self, session: Session, credentials: Credentials) -> None:
        self._log: WriteLog = PROCESS_LOG if session.write_log is None else session.write_log
        self._origin = session.origin
        self._demo = session.demo
        self._owner = credentials.owner
        self._key_owner = credentials.key_owner

    def new(self, kind: OrderType, amt: Decimal, sent_at: datetime, write_id: str) -> Write:
        return Write(kind, amt, sent_at, self._owner, self._origin, self._demo, outcome=WriteOutcome.SENT, id=write_id)

    async def begin(self, write: Write) -> None:
        """Keep a write that is about to be sent."""
        await self._checked(self._introduce())
        await self._checked(self._log.put(write))

    async def settle(self, write: Write) -> None:
        """Keep what became of a write. A log that fails keeps what it has; that is logged, and raises nothing."""
        await self._logged(self._log.put(write), write)

    async def drop(self, write: Write) -> None:
        """Drop a write that certainly did not happen. A log that fails is logged, and raises nothing."""
        await self._logged(self._log.remove(write), write)

    async def writes(self) -> list[Write]:
        """Return all writes of this user whose first byte may have left, oldest first."""
        await self._checked(self._introduce())
        writes = await self._checked(self._log.read(self._owner, self._origin, demo=self._demo))
        return [write for write in writes if write.id not in _in_flight or _in_flight[write.id].may_have_left]

    def check(self, write: Write, known: Sequence[Write]) -> None:
        """Check that a write can be looked up in this user's history."""
        if (write.origin, write.demo) != (self._origin, self._demo):
            where = f"{write.origin}{' in demo trading' if write.demo else ''}"
            message = f"write was sent to {where}, and this session talks to another exchange"
            raise ConfigurationError(message, argument="write", hint="Resolve it through a session for that one.")
        if write.owner not in {self._owner, self._key_owner} and all(other.id != write.id for other in known):
            message = "write was made by another user"
            hint = "Resolve it with the key that made it, and with the same user_id."
            raise ConfigurationError(message, argument="write", hint=hint)

    async def _introduce(self) -> None:
        # A key with a label finds what it wrote without one, and the other way round.
        names = PROCESS_OWNERS.names(self._owner) | PROCESS_OWNERS.names(self._key_owner)
        for name in sorted(names - {self._owner}):
            await self._log.merge(name, self._owner)

    async def _checked(self, awaitable: Awaitable[T]) -> T:
        try:
            return await awaitable
        except OKXError:
            raise
        except Exception as error:
            message = f"the write log failed: {type(error).__name__}: {error}"
            raise ConfigurationError(message, argument="write_log") from error

    async def _logged(self, awaitable: Awaitable[None], write: Write) -> None:
        try:
            await awaitable
        except Exception as error:  # noqa: BLE001 - a log may be anybody's, and the outcome of the write is known
            logger.error("the write log failed after a %s was sent: %s", write.type, error)  # noqa: TRY400


class Writing:
    """One purchase or redemption."""

    def __init__(
        self, session: Session, credentials: Credentials, kind: OrderType, amt: Decimal, look_up: LookUp
    ) -> None:
        self._session = session
        self._type = kind
        self._amt = amt
        self._look_up = look_up
        self._id = uuid.uuid4().hex
        self._log = AccountLog(session, credentials)
        self._write: Write | None = None
        self._call = session.new_call(
            _ENDPOINTS[kind], credentials, {"amt": format(amt, "f")}, before_send=self._before_send
        )

    async def run(self) -> Write:
        """Send it, and return it once OKX has accepted it."""
        with self._session.activity():
            return await self._run()

    async def _run(self) -> Write:
        _in_flight[self._id] = self._call
        try:
            await self._call.run()
        except OutcomeUnknown as error:
            write = self._ended(WriteOutcome.UNKNOWN, error.trace_id, error.sent_at)
            await self._log.settle(write)
            error.write, error.look_up = write, partial(self._look_up, write)
            error.hint = "Look it up before you send it again: await error.resolve()."
            raise
        except OKXError:
            if self._write is not None:
                await self._log.drop(self._write)
            raise
        except asyncio.CancelledError:
            # What may have left stays in the log as it is.
            if self._write is not None and not self._call.may_have_left:
                await _finished(self._log.drop(self._write))
            raise
        finally:
            del _in_flight[self._id]
        write = self._ended(WriteOutcome.TAKEN, self._call.trace_id)
        try:
            await _finished(self._log.settle(write))
        except asyncio.CancelledError:
            # The caller does not get to know that it happened, so it is open.
            await _finished(self._log.settle(attrs.evolve(write, outcome=WriteOutcome.UNKNOWN)))
            raise
        return write

    async def _before_send(self, at: float) -> None:
        self._write = self._log.new(self._type, self._amt, datetime.fromtimestamp(at, UTC), self._id)
        await self._log.begin(self._write)

    def _ended(self, outcome: WriteOutcome, trace_id: str | None, sent_at: datetime | None = None) -> Write:
        write = self._write
        if write is None:
            # A mock took the place of the network, and it was never signed.
            write = self._log.new(self._type, self._amt, sent_at or self._session.okx_time, self._id)
        return attrs.evolve(write, outcome=outcome, trace_id=trace_id)


async def _finished(coroutine: Coroutine[None, None, None]) -> None:
    """Run a coroutine to its end, also if the task is cancelled meanwhile."""
    task = asyncio.create_task(coroutine)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    await asyncio.shield(task)


async def unresolved(session: Session, credentials: Credentials) -> AsyncGenerator[Write, None]:
    """Give the writes of a user that remain to be resolved, oldest first, but for those in flight in this process."""
    for write in await AccountLog(session, credentials).writes():
        if write.outcome.is_open and write.id not in _in_flight:
            yield write


async def resolve(
    session: Session,
    credentials: Credentials,
    write: Write,
    read_orders: Callable[[datetime, datetime], Awaitable[list[Order]]],
    wait: float | None,
) -> Order | None:
    """Look up what became of a write, and keep it in the log."""
    log = AccountLog(session, credentials)
    with session.activity():
        log.check(write, await log.writes())
        known, order = await look_up(
            write,
            read_orders=read_orders,
            read_log=log.writes,
            okx_now=lambda: session.okx_time,
            pause=session.pause,
            wait=wait,
        )
        await log.settle(known)
    return order
