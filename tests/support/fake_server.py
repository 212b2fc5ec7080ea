"""The server of a shared limit, played by a test."""

import asyncio

import attrs

from okx_sol_async import PushBack, RateLimit, TokenBucket
from okx_sol_async.ratelimit._bucket import make_bucket
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._state import make_rules
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from okx_sol_async.ratelimit.shared._store import SlotStore
from tests.support.buckets import SIX
from tests.support.virtual_time import now


@attrs.define
class FakeServer:
    """Stands in for the server: each slot is `wait` seconds ahead, and a reply takes `takes` seconds."""

    wait: float = 0.0
    takes: float = 0.001
    fails: bool = False
    in_use: int = 6
    processes: int = 1
    rank: int = 0
    #: By how many seconds its clock is ahead.
    ahead: float = 0.0
    #: How many seconds a reply is on its way after the server has read its clock, beyond `takes`.
    delay: float = 0.0
    #: Whether notifications arrive.
    listens: bool = True
    commands: list[tuple[float | str, ...]] = attrs.field(factory=list)

    async def run(self, bucket: str, command: tuple[float | str, ...]) -> object:
        self.commands.append(command)
        wait = self.wait
        await asyncio.sleep(self.takes)
        if self.fails:
            reason = "it is gone"
            raise StoreUnavailable(reason)
        if command[0] != "reserve":
            return []
        server_us = round((now() + self.ahead) * 1e6)
        await asyncio.sleep(self.delay)
        return [command[1], round(wait * 1e6), self.in_use, self.processes, self.rank, server_us]

    def node_of(self, bucket: str) -> str:
        return ""

    def listen(self) -> bool:
        return self.listens

    def named(self, name: str) -> list[tuple[float | str, ...]]:
        return [command for command in self.commands if command[0] == name]

    def drawn(self, number: int) -> object:
        """Return the ticket of a reservation, by its number."""
        return self.named("reserve")[number][1]


def store_of(server: FakeServer, **settings: object) -> SlotStore:
    arguments = {"margin": 0.05, "push_back": PushBack(), "on_failure": "local", "local_share": 1 / 6} | settings
    return SlotStore(server, **arguments)  # type: ignore[arg-type]


def bucket_of(
    server: FakeServer, limit: RateLimit = SIX, store: SlotStore | None = None, **settings: object
) -> TokenBucket:
    rules = make_rules(limit, lead=0.0, push_back=PushBack(), max_latency=MaxLatency())
    return make_bucket(rules, SharedSlots(limit, store or store_of(server, **settings), "desk:{bucket}"))


def slots_of(bucket: TokenBucket) -> SharedSlots:
    slots = bucket.state.source
    assert isinstance(slots, SharedSlots)
    return slots


async def warm_up(bucket: TokenBucket, answers: int = 1) -> None:
    for _ in range(answers):
        lease = await bucket.acquire()
        await asyncio.sleep(0.05)
        lease.answered()
        await asyncio.sleep(2)
