"""Notifications that concern no reservation, or cannot be read, and what else is not sent."""

import asyncio
import gc

import pytest
from redis.asyncio import Redis

from okx_sol_async import PushBack
from okx_sol_async.ratelimit.shared import _subscription as subscription
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from okx_sol_async.ratelimit.shared._moves import Notifications
from okx_sol_async.ratelimit.shared._subscription import CHECK_AFTER, LISTEN_FOR, Subscription
from tests.support.buckets import SIX
from tests.support.fake_server import FakeServer, store_of
from tests.support.valkey import PATIENCE
from tests.support.virtual_time import now


class Recorded:
    """What was reported to one reservation."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, float, float] | None] = []

    def moved(self, ticket: int, server_time: float, wait: float) -> None:
        self.reports.append((ticket, server_time, wait))

    def look_again(self) -> None:
        self.reports.append(None)


@pytest.mark.parametrize("text", ["", "bucket", "bucket 7 1", "bucket 7 x 1", "bucket 8 1 1", "bucket 7 1 -1"])
def test_a_notification_that_says_nothing_of_a_reservation(text: str) -> None:
    """It is ignored."""
    notifications, waiting = Notifications(), Recorded()
    notifications.begin(7, waiting)

    notifications.receive(text)

    assert [] == waiting.reports


def test_a_notification_of_a_reservation() -> None:
    """The clock of the server and the wait arrive in seconds, until the reservation ends."""
    notifications, waiting = Notifications(), Recorded()
    notifications.begin(7, waiting)

    notifications.receive("bucket with a space 7 2500000 1500000")
    notifications.end(7)
    notifications.receive("bucket 7 2500000 1500000")

    assert [(7, 2.5, 1.5)] == waiting.reports
    assert 0 == len(notifications)


def test_a_command_outside_an_event_loop() -> None:
    """The garbage collector may end a call after its loop: nothing is sent."""
    server = FakeServer()

    store_of(server).commands.send("bucket", "settle")

    assert [] == server.commands


async def test_a_refusal_without_a_pace() -> None:
    """The pause is shared, and no pace."""
    server = FakeServer()

    await store_of(server, push_back=PushBack(pause=2.0, paced=False)).refused("bucket", SIX)

    assert [("refused", 2_000_000, 1_000_000)] == server.commands


def test_a_child_process_is_another_process() -> None:
    """Its reservations are its own."""
    limiter = RedisLimiter.from_url("redis://127.0.0.1:1")
    before = limiter._store.process

    limiter.begin_in_child()

    assert before != limiter._store.process


class SilentNode:
    """A node of a cluster that confirms a subscription, and responds to some pings."""

    connection_class = None

    def __init__(self, pongs: int) -> None:
        self.pongs, self.confirmed, self.pinged, self.waits = pongs, False, False, list[float]()

    async def subscribe(self, _: str) -> None: ...

    async def ping(self) -> None:
        self.pinged = True

    async def aclose(self) -> None: ...

    async def get_message(self, timeout: float) -> dict[str, str] | None:  # noqa: ASYNC109 - redis-py's signature
        self.waits.append(timeout)
        if not self.confirmed:
            self.confirmed = True
            return {"type": "subscribe"}
        if self.pinged and self.pongs:
            self.pinged, self.pongs = False, self.pongs - 1
            return {"type": "pong"}
        return None


@pytest.mark.parametrize("pongs", [0, 2])
async def test_a_silent_node_of_a_cluster(monkeypatch: pytest.MonkeyPatch, pongs: int) -> None:
    """It is asked after a while, and given up when it does not respond in time; reservations are looked at then."""
    node, waiting, notifications = SilentNode(pongs), Recorded(), Notifications()
    notifications.begin(7, waiting)
    monkeypatch.setattr(subscription, "RedisCluster", SilentNode)
    listening = Subscription(node, timeout=0.5)  # type: ignore[arg-type]

    async def opened() -> SilentNode:
        return node

    monkeypatch.setattr(listening, "_open", opened)
    with pytest.raises(TimeoutError):
        await listening._receive_all("channel", notifications)

    assert [CHECK_AFTER, *[CHECK_AFTER, 0.5] * (pongs + 1)] == node.waits
    # Once when it began, and once when it ended.
    assert [None, None] == waiting.reports
    assert not listening.is_active


async def test_a_subscription_ends_in_the_silence_after_the_last_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on for as long as one waits; a single server is not asked whether it is still there."""
    node, waiting, notifications = SilentNode(0), Recorded(), Notifications()
    notifications.begin(7, waiting)
    listening = Subscription(node, timeout=0.5)  # type: ignore[arg-type]

    async def opened() -> SilentNode:
        return node

    async def get_message(timeout: float) -> dict[str, str] | None:  # noqa: ASYNC109 - redis-py's signature
        if len(node.waits) == 3:
            notifications.end(7)
        return await SilentNode.get_message(node, timeout)

    monkeypatch.setattr(listening, "_open", opened)
    monkeypatch.setattr(node, "get_message", get_message)
    await listening._receive_all("channel", notifications)

    assert [LISTEN_FOR] * 4 == node.waits
    assert not node.pinged
    assert not listening.is_active


async def test_a_node_that_refuses_a_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    """No notification can have been missed, because none was expected."""
    node, waiting, notifications = SilentNode(0), Recorded(), Notifications()
    notifications.begin(7, waiting)
    listening = Subscription(node, timeout=0.5)  # type: ignore[arg-type]

    async def refuse(_: str) -> None:
        raise ConnectionRefusedError

    async def opened() -> SilentNode:
        return node

    monkeypatch.setattr(node, "subscribe", refuse)
    monkeypatch.setattr(listening, "_open", opened)
    with pytest.raises(ConnectionRefusedError):
        await listening._receive_all("channel", notifications)

    assert [] == waiting.reports


async def test_each_event_loop_has_a_client() -> None:
    """One that is closed has taken its client with it, and one at rest keeps it."""
    limiter = RedisLimiter.from_url("redis://127.0.0.1:1")
    loops = [asyncio.new_event_loop() for _ in range(2)]

    async def client() -> object:
        return limiter._client_here()

    clients = await asyncio.gather(*(asyncio.to_thread(loop.run_until_complete, client()) for loop in loops))
    loops[0].close()

    assert limiter._client_here() is limiter._client_here()
    assert [loops[1], asyncio.get_running_loop()] == [*limiter._clients]
    assert clients[1] is limiter._clients[loops[1]]
    loops[1].close()
    await limiter.aclose()


class FailingSubscription(Subscription):
    """Fails each time that it would begin."""

    def __init__(self, error: Exception) -> None:
        super().__init__(Redis(), timeout=0.5)
        self.error = error
        self.began: list[float] = []

    async def _receive_all(self, channel: str, notifications: Notifications) -> None:
        self.began.append(now())
        raise self.error


@pytest.mark.virtual_clock
async def test_a_subscription_that_fails_begins_again_each_second() -> None:
    """For as long as a reservation waits. Until then no notifications arrive."""
    notifications, failing = Notifications(), FailingSubscription(OSError())
    notifications.begin(7, Recorded())
    began = now()
    failing.begin("channel", notifications)
    await asyncio.sleep(3.5)
    await failing.aclose()

    assert [0.0, 1.0, 2.0, 3.0] == pytest.approx([at - began for at in failing.began], abs=1e-3)
    assert not failing.is_active


async def test_a_subscription_that_ends_with_a_defect_is_not_reported_by_the_loop() -> None:
    """The next call that waits begins another one."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    notifications, failing = Notifications(), FailingSubscription(ValueError())
    notifications.begin(7, Recorded())
    for _ in range(2):
        failing.begin("channel", notifications)
        await asyncio.sleep(0.1)
        gc.collect()

    assert 2 == len(failing.began)
    assert [] == reported


async def test_closing_a_subscription_waits_for_its_end() -> None:
    """Its connection is closed then."""
    ended: list[None] = []

    class Slow(Subscription):
        async def _receive_all(self, channel: str, notifications: Notifications) -> None:
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await asyncio.sleep(0.01)
                ended.append(None)

    notifications, slow = Notifications(), Slow(Redis(), timeout=0.5)
    notifications.begin(7, Recorded())
    slow.begin("channel", notifications)
    await asyncio.sleep(0)
    await slow.aclose()

    assert [None] == ended
