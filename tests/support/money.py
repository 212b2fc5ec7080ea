"""Random programs that purchase and redeem under faults and cancellations, with what is true of each of their writes."""

from __future__ import annotations

import asyncio
import enum
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import attrs
import pytest

from okx_sol_async import (
    Credentials,
    LocalLimiter,
    MemoryWriteLog,
    OKXError,
    Order,
    OrderType,
    OutcomeUnknown,
    Receipt,
    Session,
    SolStaking,
)
from okx_sol_async.emulator import EmulatedOrder, EmulatedUser, Emulator
from okx_sol_async.emulator.faults import Delay, Fault, NoResponse, Refusal, Reset, TruncateResponse
from okx_sol_async.emulator.gateway import _staking
from okx_sol_async.transport._clock import ServerClock
from tests.support.virtual_time import VirtualSocketLoop, now

BASE: Final = 1_772_000_000.0
#: Seconds until a send times out here.
TIMEOUT: Final = 2.0
#: Two times of which it cannot be said which is the earlier one.
BLUR: Final = timedelta(milliseconds=5)
#: What goes wrong with a write, each as likely as the others.
FAULTS: Final[tuple[Callable[[], tuple[Fault, ...]], ...]] = (
    lambda: (Reset(processed=False),),
    lambda: (Reset(processed=True),),
    lambda: (NoResponse(processed=False),),
    lambda: (NoResponse(processed=True),),
    lambda: (TruncateResponse(10),),
    lambda: (Delay(back=TIMEOUT + 1),),
    lambda: (Delay(there=TIMEOUT + 1),),
    lambda: (Delay(there=0.5), Reset(processed=True)),
    lambda: (Refusal("50011"),),
    lambda: (Refusal("50102"),),
    lambda: (Refusal("51736"),),
)


#: Seconds after which the history shows an order: in half of the programs at once.
DELAYS: Final = (0.0, 0.05, 0.0, 0.5, 0.0, 3.0, 0.0, 9.0)


@attrs.define
class Sent:
    """A write of a program."""

    type: OrderType
    #: The ninth decimal numbers it, which the exchange keeps and the log does not have.
    amt: Decimal
    #: When it was signed last; `None` if it certainly never happened.
    at: datetime | None = None
    outcome: str = "under way"
    #: What was found in the history; `None` also before.
    found: Order | None = None

    def is_equal(self, other: Sent) -> bool:
        return (self.type, round(self.amt)) == (other.type, round(other.amt))


class Falsehood(enum.StrEnum):
    """What may be wrong about what is said of a write."""

    DENIED = "None for a write whose order the history shows"
    MISTAKEN = "orders given to a write that was not the one, although times distinguish them"
    MISSED = "sets of equal writes of which not as many were found as had happened"
    OTHER = "other false statements"


@attrs.define
class Verdict:
    """What was wrong about one program, and what happened in it."""

    wrong: list[tuple[Falsehood, str]] = attrs.field(factory=list)
    outcomes: Counter[str] = attrs.field(factory=Counter)
    #: Writes of which nothing but the order of their times can say which of them happened, and it does not.
    ambiguous: int = 0


@contextmanager
def virtual_server_clock() -> Iterator[None]:
    """Let sessions go by the clock of the loop."""
    defaults = ServerClock.__init__.__defaults__
    ServerClock.__init__.__defaults__ = (lambda: BASE + now(), now)
    try:
        yield
    finally:
        ServerClock.__init__.__defaults__ = defaults


@contextmanager
def late_history(delay: float) -> Iterator[None]:
    """Let the emulator's history show an order ``delay`` seconds after it was made."""

    def is_shown(order: EmulatedOrder, wanted: Mapping[str, str]) -> bool:
        return is_wanted(order, wanted) and order.request_time.timestamp() + delay <= BASE + now()

    with pytest.MonkeyPatch.context() as patch:
        is_wanted = _staking._is_wanted
        patch.setattr(_staking, "_is_wanted", is_shown)
        yield


def run_program(seed: int, *, delay: float | None = None) -> Verdict:
    """Run the program of a seed on a virtual clock, with a history that is late by ``delay`` or by what the seed says."""
    late = late_history(DELAYS[seed % len(DELAYS)] if delay is None else delay)
    with late, virtual_server_clock(), asyncio.Runner(loop_factory=VirtualSocketLoop) as runner:
        return runner.run(Program(seed).run())


class Program:
    """One random program: clients of one user, and what they do."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.sent: list[Sent] = []
        self.verdict = Verdict()
        self.is_one_user = True

    async def run(self) -> Verdict:
        choose = self.choose
        async with AsyncExitStack() as stack:
            exchange = await stack.enter_async_context(Emulator(now=lambda: BASE + now()))
            user = exchange.add_user(sol=Decimal(1000))
            user.balance = attrs.evolve(user.balance, amt=Decimal(1000))
            limiter, log = LocalLimiter(), MemoryWriteLog()
            sessions = [
                await stack.enter_async_context(
                    Session(base_url=exchange.url, limiter=limiter, timeout=TIMEOUT, write_log=log)
                )
                for _ in range(choose.randint(1, 2))
            ]
            keys = [user.credentials, user.add_key()]
            if choose.random() < 0.6:
                # It is not known yet that they are one user's.
                self.is_one_user = False
                keys = [Credentials(key.api_key, key.secret_key, key.passphrase) for key in keys]
            clients = [SolStaking(key, session) for key in keys for session in sessions]
            await self._write_and_fail(exchange, user, clients)
            exchange.stop_failing()
            # What is under way arrives now.
            await asyncio.sleep(2 * TIMEOUT + 2)
            client = choose.choice(clients)
            for other in clients:
                await other.identify()
            await self._resolve(client, log)
            self._check(user)
        return self.verdict

    async def _write_and_fail(self, exchange: Emulator, user: EmulatedUser, clients: list[SolStaking]) -> None:
        choose = self.choose
        for number in range(choose.randint(2, 9)):
            amt = Decimal(choose.choice("112")) + Decimal(number) / 10**9
            self.sent.append(Sent(choose.choice([OrderType.PURCHASE, OrderType.PURCHASE, OrderType.REDEEM]), amt))
        tasks = []
        for group in self._groups():
            for _ in group:
                if choose.random() < 0.6:
                    exchange.fail_next(*choose.choice(FAULTS)(), endpoint=None, user=user)
            run = self._in_a_group if choose.random() < 0.4 else self._gathered
            tasks.append(asyncio.create_task(run(group, clients)))
            if choose.random() < 0.3:
                tasks.append(asyncio.create_task(self._identify(choose.choice(clients))))
            if choose.random() < 0.3:
                tasks.append(asyncio.create_task(self._cancel(choose.choice(tasks))))
            await asyncio.sleep(choose.choice([0, 0.05, 0.4, 3]))
        await asyncio.wait(tasks)

    def _groups(self) -> Iterator[list[Sent]]:
        left = list(self.sent)
        while left:
            number = self.choose.randint(1, 3)
            yield left[:number]
            left = left[number:]

    async def _in_a_group(self, group: list[Sent], clients: list[SolStaking]) -> None:
        # The first that fails cancels the others.
        with suppress(BaseExceptionGroup):
            async with asyncio.TaskGroup() as tasks:
                for one in group:
                    tasks.create_task(self._send(one, self.choose.choice(clients), resolve=self.choose.random() < 0.2))

    async def _gathered(self, group: list[Sent], clients: list[SolStaking]) -> None:
        sends = (self._send(one, self.choose.choice(clients), resolve=self.choose.random() < 0.3) for one in group)
        await asyncio.gather(*sends, return_exceptions=True)

    async def _identify(self, client: SolStaking) -> None:
        with suppress(OKXError):
            await client.identify()

    async def _cancel(self, task: asyncio.Task[None]) -> None:
        if self.choose.random() < 0.5:
            await asyncio.sleep(self.choose.uniform(0, 1.5))
        else:
            for _ in range(self.choose.randint(1, 60)):
                await asyncio.sleep(0)
        task.cancel()

    async def _send(self, one: Sent, client: SolStaking, *, resolve: bool) -> None:
        send = client.purchase if one.type == OrderType.PURCHASE else client.redeem
        try:
            receipt: Receipt = await send(one.amt)
        except OutcomeUnknown as error:
            one.outcome, one.at = "unknown", error.sent_at
            if resolve and self.is_one_user:
                one.found = await error.resolve()
                one.outcome = "resolved"
            raise
        except OKXError:
            one.outcome = "refused"
            raise
        except asyncio.CancelledError:
            one.outcome = "cancelled"
            raise
        one.outcome, one.at = "accepted", receipt.sent_at
        if resolve and self.is_one_user:
            one.found = await receipt.order()
            if one.found is None:
                self._note(Falsehood.DENIED, f"the receipt of {one.amt} found no order")

    async def _resolve(self, client: SolStaking, log: MemoryWriteLog) -> None:
        """Resolve what is open, in any order, as another part of the program would."""
        by_amt = {one.amt: one for one in self.sent}
        opened = [write async for write in client.unresolved()]
        self.choose.shuffle(opened)
        for write in opened:
            one = by_amt[write.amt]
            one.at, one.found = write.sent_at, await client.resolve(write)
            one.outcome += ", resolved"
        left = [write async for write in client.unresolved()]
        if left:
            self._note(Falsehood.OTHER, f"open after all was resolved: {left}")

    def _note(self, kind: Falsehood, text: str) -> None:
        self.verdict.wrong.append((kind, text))

    def _check(self, user: EmulatedUser) -> None:
        made = {order.amt: order for order in user.orders}
        if len(made) < len(user.orders):
            self._note(Falsehood.OTHER, "money moved twice")
        self.verdict.outcomes += Counter(one.outcome for one in self.sent)
        resolved = [one for one in self.sent if "resolved" in one.outcome]
        for one in self.sent:
            happened = one.amt in made
            if (one.outcome == "accepted" and not happened) or (one.outcome == "refused" and happened):
                self._note(Falsehood.OTHER, f"{one.outcome}, and happened is {happened}: {one}")
            if one.outcome == "cancelled" and happened:
                self._note(Falsehood.OTHER, f"cancelled, not in the log, and it happened: {one}")
        for one in resolved:
            equal = [other for other in resolved if other.is_equal(one)]
            count = sum(other.amt in made for other in equal)
            if count != sum(other.found is not None for other in equal):
                self._note(Falsehood.MISSED, f"of {one.type} {round(one.amt)}, {count} happened: {equal}")
            self._check_result(one, made)

    def _check_result(self, one: Sent, made: dict[Decimal, EmulatedOrder]) -> None:
        """Hold what was said of a write against the book, if its time distinguishes it from the others."""
        truth = made.get(one.amt)
        found = None if one.found is None else one.found.request_time
        if found == (None if truth is None else truth.request_time):
            return
        rivals = [other for other in self.sent if other.is_equal(one) and other.at is not None]
        if any(is_mixed(other, rivals, made) for other in rivals):
            self.verdict.ambiguous += 1
        else:
            kind = Falsehood.DENIED if found is None else Falsehood.MISTAKEN
            self._note(kind, f"said {found}, and the truth is {truth} of {one} among {rivals}")


def is_mixed(one: Sent, rivals: list[Sent], made: dict[Decimal, EmulatedOrder]) -> bool:
    """Return whether an equal write was sent between a write that happened and its order."""
    order = made.get(one.amt)
    if order is None or one.at is None:
        return False
    first, last = one.at - BLUR, order.request_time + BLUR
    return any(other is not one and other.at is not None and first <= other.at <= last for other in rivals)
