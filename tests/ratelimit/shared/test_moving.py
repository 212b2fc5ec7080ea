"""A bucket that is merged, or moves to another event loop, while the store is asked for a slot."""

import asyncio

import pytest

from okx_sol_async import TokenBucket
from okx_sol_async.ratelimit._merging import merge
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from tests.support.fake_server import FakeServer, bucket_of, slots_of, store_of
from tests.support.virtual_time import now


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
