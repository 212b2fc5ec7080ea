"""A server for many processes on one virtual clock: the model of the script, and the time that messages take."""

import asyncio
from collections import deque
from collections.abc import Callable

import attrs

from okx_sol_async import PushBack, TokenBucket
from okx_sol_async.ratelimit._bucket import make_bucket
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._state import make_rules
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from okx_sol_async.ratelimit.shared._store import PER_PROCESS, SlotStore
from tests.support.buckets import SIX
from tests.support.shared_model import Model
from tests.support.virtual_time import now

#: Seconds that a message takes in each direction.
ONE_WAY = 0.001
BUCKET = "desk:{bucket}"


@attrs.define
class ModelServer:
    """What `reserve.lua` does for one bucket; `tests/ratelimit/shared/test_script.py` shows that they agree."""

    model: Model = attrs.field(factory=lambda: Model(SIX.requests, round(1e6 / 96)))
    #: How many commands came.
    commands: int = 0
    #: The notifications that are on their way, and the processes for which they are.
    published: deque[tuple[int, str]] = attrs.field(factory=deque)
    #: The processes, by the number in their tickets.
    stores: dict[int, SlotStore] = attrs.field(factory=dict)

    def process(self) -> TokenBucket:
        """Return the bucket of another process."""
        store = SlotStore(_Connection(self), margin=0.05, push_back=PushBack(), on_failure="raise", local_share=1.0)
        self.stores[store.process] = store
        rules = make_rules(SIX, lead=0.0, push_back=PushBack(), max_latency=MaxLatency())
        return make_bucket(rules, SharedSlots(SIX, store, BUCKET))

    def run(self, command: tuple[float | str, ...]) -> list[int]:
        """Run a command, and notify those whose reservations have moved."""
        model = self.model
        self.commands += 1
        model.now = round(now() * 1e6)
        model.forget()
        ticket = int(command[1])
        before = {waiting: model.reserved_at(waiting) for waiting in model.waiting()}
        reply = self._reserve(command, ticket) if command[0] == "reserve" else self._settle(ticket, int(command[2]))
        for moved, was in before.items():
            at = model.reserved_at(moved)
            if moved != ticket and at not in {None, was}:
                self.published.append((moved // PER_PROCESS, f"{BUCKET} {moved} {model.now} {at - model.now}"))
                asyncio.get_running_loop().call_later(ONE_WAY, self._deliver)
        return reply

    def _deliver(self) -> None:
        """Deliver the notification that was published first: timers of the same moment have no order."""
        process, text = self.published.popleft()
        self.stores[process].notifications.receive(text)

    def _reserve(self, command: tuple[float | str, ...], ticket: int) -> list[int]:
        model, (hold, _, dropped, _, waits) = self.model, map(int, command[3:8])
        model.give_back(dropped)
        known = model.reserved_at(ticket) is not None
        at = model.time_of(ticket) if known else model.reserve(ticket, hold, waits=waits > 0)
        in_use = len(model.waiting()) + len(model.in_use())
        return [ticket, max(at - model.now, 0), in_use, len(self.stores), 0, model.now]

    def _settle(self, ticket: int, ahead: int) -> list[int]:
        if ahead == 0:
            self.model.give_back(ticket)
        elif self.model.reserved_at(ticket) is not None:
            self.model.settle(ticket, ahead)
        return []


@attrs.frozen
class _Connection:
    """The `Commands` of one process."""

    server: ModelServer

    async def run(self, bucket: str, command: tuple[float | str, ...]) -> object:
        assert bucket == BUCKET
        await asyncio.sleep(ONE_WAY)
        reply = self.server.run(command)
        await asyncio.sleep(ONE_WAY)
        return reply

    def node_of(self, bucket: str) -> str:
        return ""

    def listen(self) -> bool:
        return True


async def call(
    bucket: TokenBucket, left: Callable[[float], object], max_wait: float | None = None, patience: float | None = None
) -> None:
    """Make a call that takes 20 ms, and report when it left; it gives up by `max_wait`, or is cancelled after ``patience`` s."""
    async with asyncio.timeout(patience):
        lease = await bucket.acquire(None if max_wait is None else now() + max_wait)
    left(now())
    await asyncio.sleep(0.02)
    lease.answered()
