"""A bucket that is merged, or moves to another event loop, while the store is asked for a slot."""

import asyncio

import pytest

from okx_sol_async import PushBack, RateLimit, Scope, TokenBucket
from okx_sol_async.ratelimit._bucket import make_bucket
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._merging import merge
from okx_sol_async.ratelimit._state import make_rules
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from tests.support.fake_server import FakeServer, bucket_of, slots_of, store_of
from tests.support.virtual_time import now, run


def buckets_of(server: FakeServer, push_back: PushBack, period: float = 1.0) -> list[TokenBucket]:
    """Return two buckets of one store."""
    store, limit = store_of(server, push_back=push_back), RateLimit(6, period, Scope.USER)
    rules = make_rules(limit, lead=0.0, push_back=push_back, max_latency=MaxLatency())
    return [make_bucket(rules, SharedSlots(limit, store, f"desk:{{{name}}}")) for name in "ab"]


@pytest.mark.virtual_clock
@pytest.mark.usefixtures("virtual_outages")
async def test_a_merged_bucket_gives_back_the_slot_that_it_is_asking_for() -> None:
    """Notifications of that slot are ignored, and its waiting call gets one of the bucket that remains."""
    server = FakeServer(wait=5.0, takes=0.2)
    store = store_of(server)
    one, other = bucket_of(server, store=store), bucket_of(server, store=store)
    waiting = asyncio.create_task(other.acquire())
    await asyncio.sleep(0.1)
    merge(other, one)
    ticket = server.drawn(0)
    store.notifications.receive(f"desk:{{bucket}} {ticket} {now() * 1e6:.0f} 0")
    store.notifications.missed()
    await asyncio.sleep(0.3)

    assert [("settle", ticket, 0)] == server.named("settle")
    assert not waiting.done()

    await asyncio.sleep(5)
    (await waiting).answered()

    assert 2 == len(server.named("reserve"))
    assert not store.notifications


@pytest.mark.virtual_clock
@pytest.mark.usefixtures("virtual_outages")
async def test_a_merged_bucket_has_no_slot_to_give_back_when_the_store_fails() -> None:
    """Its waiting call goes on by itself in the bucket that remains."""
    server = FakeServer(takes=0.2, fails=True)
    store = store_of(server)
    one, other = bucket_of(server, store=store), bucket_of(server, store=store)
    waiting = asyncio.create_task(other.acquire())
    await asyncio.sleep(0.1)
    merge(other, one)
    (await waiting).answered()

    assert [] == server.named("settle")


@pytest.mark.virtual_clock
@pytest.mark.usefixtures("virtual_outages")
async def test_a_refusal_before_a_merge_counts_while_the_store_is_unavailable() -> None:
    """The process pauses by itself, because it cannot report it."""
    server = FakeServer()
    store = store_of(server)
    one, other = bucket_of(server, store=store), bucket_of(server, store=store)
    (await other.acquire()).refused()
    await asyncio.sleep(0.1)
    server.fails = True
    store.outages.begin(StoreUnavailable("it is gone"))
    began = now()
    merge(other, one)
    (await one.acquire()).answered()

    assert now() - began >= 1.0


@pytest.mark.virtual_clock
@pytest.mark.usefixtures("virtual_outages")
async def test_the_slot_of_a_merged_bucket_is_given_back() -> None:
    """Its waiting call gets one of the bucket that remains."""
    server = FakeServer(wait=5.0)
    one, other = buckets_of(server, PushBack())
    waiting = asyncio.create_task(other.acquire())
    await asyncio.sleep(0.1)
    merge(other, one)
    await asyncio.sleep(0.1)

    assert [("settle", server.drawn(0), 0)] == server.named("settle")
    (await waiting).answered()


@pytest.mark.virtual_clock
@pytest.mark.usefixtures("virtual_outages")
@pytest.mark.parametrize(
    ("push_back", "period", "after", "is_slow"),
    [
        (PushBack(paced=False), 2.0, 1.5, True),
        (PushBack(paced=False), 2.0, 2.5, False),
        (PushBack(pause=0.1, paced=False), 1.0, 0.5, False),
        (PushBack(), 1.0, 25.0, True),
        (PushBack(), 1.0, 35.0, False),
    ],
)
async def test_a_refusal_before_a_merge_is_reported_anew(
    *, push_back: PushBack, period: float, after: float, is_slow: bool
) -> None:
    """Under the name of the bucket that remains, for as long as the pause and the pace last."""
    server = FakeServer()
    one, other = buckets_of(server, push_back, period)
    (await other.acquire()).refused()
    await asyncio.sleep(after)
    server.commands.clear()
    merge(other, one)
    await asyncio.sleep(0.1)

    assert is_slow == bool(server.named("refused"))
    assert one.state.pace is None


def test_a_refusal_before_a_merge_without_an_event_loop() -> None:
    """It cannot be reported, so this process pauses by itself."""
    server = FakeServer()
    one, other = buckets_of(server, PushBack())

    async def be_refused() -> None:
        (await other.acquire()).refused()
        await asyncio.sleep(0.1)

    run(be_refused())
    server.commands.clear()
    merge(other, one)

    assert [] == server.commands
    assert one.state.pace is not None


def test_a_reply_on_a_loop_that_the_bucket_has_left() -> None:
    """It changes nothing on the loop on which the bucket is used now."""
    server = FakeServer(takes=0.01)
    bucket = bucket_of(server)
    at_rest = asyncio.new_event_loop()

    async def give_up(bucket: TokenBucket) -> None:
        task = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def use(bucket: TokenBucket) -> None:
        (await bucket.acquire()).answered()
        # The slot of a call that waits on this loop stays reserved, whatever comes on the other one.
        server.wait = 60.0
        waiting = asyncio.create_task(bucket.acquire())
        await asyncio.sleep(0.05)
        reserver = slots_of(bucket).reserver
        reserved = reserver.reservation
        await asyncio.to_thread(at_rest.run_until_complete, asyncio.sleep(0.05))

        assert reserved is not None
        assert reserved is reserver.reservation
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    at_rest.run_until_complete(give_up(bucket))
    asyncio.run(use(bucket))
    at_rest.close()
