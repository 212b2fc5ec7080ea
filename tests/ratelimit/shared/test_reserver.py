"""Following a reservation that moves while the store is asked for it, on a virtual clock."""

import asyncio

import pytest

from okx_sol_async import QueueTimeout, TokenBucket
from tests.support.buckets import SIX
from tests.support.fake_server import FakeServer, bucket_of, slots_of
from tests.support.virtual_time import VirtualLoop, now

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("virtual_outages")]


def notify(bucket: TokenBucket, ticket: object, wait: float, *, at: float) -> None:
    """Deliver a notification that the slot of a ticket is ``wait`` seconds after ``at`` on the server's clock."""
    slots_of(bucket)._store.notifications.receive(f"desk:{{bucket}} {ticket} {at * 1e6:.0f} {wait * 1e6:.0f}")


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_notification_that_overtakes_a_reply_is_not_lost(is_first: bool) -> None:  # noqa: FBT001
    """The slot moved after the reply had left, so its call leaves at the new time, and nothing is asked again."""
    server = FakeServer(wait=5.0, delay=0.2 if is_first else 0.0)
    bucket = bucket_of(server)
    notifications = slots_of(bucket)._store.notifications
    leaves = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    if not is_first:
        server.delay = 0.2
        notifications.missed()
        await asyncio.sleep(0.1)
    # The subscription does not end meanwhile.
    assert 1 == len(notifications)
    server.wait, server.delay = 0.0, 0.0
    notify(bucket, server.drawn(-1), 0.15, at=now())
    began = now()
    (await leaves).answered()

    assert 0.15 == pytest.approx(now() - began, abs=5e-3)
    assert (1 if is_first else 2) == len(server.named("reserve"))
    assert not notifications


async def test_a_subscription_that_begins_during_a_look_is_followed_by_another() -> None:
    """Notifications between the reply and the subscription were missed."""
    server = FakeServer(wait=5.0, delay=0.2)
    bucket = bucket_of(server)
    leaves = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    server.wait, server.delay = 0.0, 0.0
    slots_of(bucket)._store.notifications.missed()
    began = now()
    (await leaves).answered()

    assert 0.1 == pytest.approx(now() - began, abs=5e-3)


async def test_a_notification_that_is_older_than_the_reply_is_ignored() -> None:
    """The reply says more, so no call leaves early and nothing is asked again."""
    server = FakeServer(wait=0.5)
    bucket = bucket_of(server)
    sent = now()
    leaves = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    notify(bucket, server.drawn(0), 0.0, at=sent)
    (await leaves).answered()

    assert 0.5 == pytest.approx(now() - sent, abs=5e-3)
    assert 1 == len(server.named("reserve"))


async def test_a_waiter_is_not_failed_by_a_time_that_has_changed() -> None:
    """Its deadline is compared with the time of the last notification."""
    server = FakeServer(wait=5.0, delay=0.2)
    bucket = bucket_of(server)
    leaves = asyncio.create_task(bucket.acquire(now() + 1.0))
    await asyncio.sleep(0.1)
    server.wait, server.delay = 0.0, 0.0
    notify(bucket, server.drawn(0), 0.0, at=now())

    (await leaves).answered()


async def test_a_waiter_is_failed_at_once_by_a_time_that_is_too_late() -> None:
    """It need not wait for its deadline."""
    bucket = bucket_of(server := FakeServer(wait=0.5))
    began = now()
    leaves = asyncio.create_task(bucket.acquire(began + 1.0))
    await asyncio.sleep(0.1)
    notify(bucket, server.drawn(0), 5.0, at=now())
    with pytest.raises(QueueTimeout):
        await leaves

    assert now() - began < 0.2


async def test_a_waiter_is_not_failed_before_another_look() -> None:
    """A notification was missed, so its slot may be earlier by now."""
    server = FakeServer(wait=5.0, delay=0.2)
    bucket = bucket_of(server)
    leaves = asyncio.create_task(bucket.acquire(now() + 1.0))
    await asyncio.sleep(0.1)
    server.wait, server.delay = 0.0, 0.0
    slots_of(bucket)._store.notifications.missed()

    (await leaves).answered()


async def test_a_notification_of_the_same_moment_as_the_reply_counts() -> None:
    """Which of the two is newer is not known, and a call that went by the reply might wait in vain."""
    bucket = bucket_of(server := FakeServer(wait=0.5))
    leaves = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    place = slots_of(bucket).reserver.place
    assert place is not None
    server.wait = 0.0
    notify(bucket, server.drawn(0), 0.0, at=place.server_time)
    began = now()
    (await leaves).answered()

    assert now() - began < 0.01


async def test_a_slot_that_is_asked_for_is_followed_for_the_call_that_waits_when_it_comes() -> None:
    """The call that it was asked for has given up meanwhile."""
    bucket = bucket_of(FakeServer(wait=5.0, takes=0.2))
    first = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.sleep(0.05)
    second = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.3)

    assert 1 == len(slots_of(bucket)._store.notifications)
    second.cancel()


@pytest.mark.parametrize(("later", "is_named"), [(0.45, True), (0.55, False)])
async def test_the_slot_that_was_used_last_is_named_for_half_a_period(*, later: float, is_named: bool) -> None:
    """The store knows it for as long, unless it has lost its history."""
    bucket = bucket_of(server := FakeServer())
    (await bucket.acquire()).answered()
    await asyncio.sleep(later)
    (await bucket.acquire()).answered()

    assert (server.drawn(0) if is_named else 0) == server.named("reserve")[1][6]


def test_a_bucket_whose_loop_is_gone_awaits_nothing() -> None:
    """No notification would arrive there."""
    bucket, loop = bucket_of(FakeServer(wait=5.0)), VirtualLoop()
    waiting = bucket.acquire()
    # As far as the wait for the turn, as a task would have run it.
    loop.call_soon(waiting.send, None)
    loop.run_until_complete(asyncio.sleep(0.1))
    notifications = slots_of(bucket)._store.notifications
    assert 1 == len(notifications)
    loop.close()
    assert 6 == bucket.free

    assert not notifications
    waiting.close()


@pytest.mark.parametrize(("listens", "commands"), [(True, 1), (False, 6)])
async def test_a_waiting_call_asks_again_only_where_no_notifications_arrive(listens: bool, commands: int) -> None:  # noqa: FBT001
    """With them a call costs one command however long it waits; without them one more in each period, not more often."""
    server = FakeServer(wait=60.0, listens=listens)
    bucket = bucket_of(server)
    leaves = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(5.5)

    assert commands == len(server.commands)

    server.wait = 0.0
    notify(bucket, server.drawn(-1), 0.0, at=now())
    began = now()
    (await leaves).answered()

    # A move of which no notification came is seen within a period.
    assert now() - began < (0.01 if listens else SIX.seconds)


async def test_a_call_that_gives_up_asks_no_more() -> None:
    """A deadline costs no further command: the reservation is given back, which is all that is sent."""
    server = FakeServer(wait=3.0)
    bucket = bucket_of(server)
    first = asyncio.create_task(bucket.acquire())
    await asyncio.sleep(0.1)
    for patience in (0.5, 1.0, 2.0):
        with pytest.raises(QueueTimeout):
            await bucket.acquire(now() + patience)
    first.cancel()
    await asyncio.sleep(10)

    assert ["reserve", "settle"] == [command[0] for command in server.commands]
