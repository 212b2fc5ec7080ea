"""Commands that are sent to the server together."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
import redis.asyncio
import redis.exceptions
from redis.exceptions import ResponseError

from okx_sol_async.ratelimit.shared._batching import BatchingClient
from okx_sol_async.ratelimit.shared._moves import Notifications, Waiting
from okx_sol_async.ratelimit.shared._outage import StoreUnavailable
from tests.support.serving import serving_raw
from tests.support.valkey import PATIENCE, Valkey


def settle(number: int) -> tuple[float | str, ...]:
    """Return a command that asks for nothing."""
    return "settle", number, 0, 0


class Unsent(BatchingClient):
    """Keeps the batches, and replies to each command with its number when it may."""

    def __init__(self) -> None:
        super().__init__(redis.asyncio.Redis(), None, PATIENCE)
        self.batches: list[Sequence[tuple[str, tuple[float | str, ...]]]] = []
        self.may_reply = asyncio.Event()

    async def send(self, commands: Sequence[tuple[str, tuple[float | str, ...]]]) -> list[object]:
        self.batches.append(commands)
        await self.may_reply.wait()
        return [number for _, (_, number, *_) in commands]


@pytest.fixture(name="unsent")
def _unsent() -> Unsent:
    return Unsent()


async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read, and never reply."""
    while await reader.read(1000):
        pass


async def test_a_cancelled_command_costs_the_others_of_its_batch_nothing(valkey_server: Valkey) -> None:
    """They have their replies, and the next batch is sent too."""
    async with redis.asyncio.Redis.from_url(valkey_server.url) as client, asyncio.timeout(5):
        batches = BatchingClient(client, None, 5)
        cancelled, *others = [
            asyncio.create_task(batches.run(f"{{{number}}}", ("settle", number + 1, 0, 0))) for number in range(3)
        ]
        await asyncio.sleep(0)
        cancelled.cancel()

        assert [[], []] == await asyncio.gather(*others)
        assert cancelled.cancelled()
        assert [] == await batches.run("{3}", ("settle", 4, 0, 0))


async def test_commands_of_a_moment_are_sent_together(valkey_server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pipeline, and a single one without."""
    pipelines: list[object] = []
    pipeline = redis.asyncio.Redis.pipeline
    monkeypatch.setattr(
        redis.asyncio.Redis, "pipeline", lambda *args, **options: pipelines.append(args) or pipeline(*args, **options)
    )
    async with redis.asyncio.Redis.from_url(valkey_server.url) as client:
        batches = BatchingClient(client, None, PATIENCE)
        await batches.run("{0}", settle(1))
        assert not pipelines
        await asyncio.gather(*(batches.run(f"{{{number}}}", settle(number + 1)) for number in range(5)))

    assert 1 == len(pipelines)


@pytest.mark.parametrize(("commands", "batches"), [(3, [3]), (64, [64]), (200, [64, 64, 64, 8]), (300, [64] * 4)])
async def test_how_many_batches_are_on_their_way(commands: int, batches: list[int], unsent: Unsent) -> None:
    """Four of 64 commands at most; the rest follows when one of them has its replies. Each has a task."""
    others = asyncio.all_tasks()
    waiting = [asyncio.create_task(unsent.run("{0}", settle(number))) for number in range(commands)]
    await asyncio.sleep(0)
    assert commands + 1 == len(asyncio.all_tasks() - others)
    for _ in range(len(batches) + 5):
        await asyncio.sleep(0)

    assert batches == [len(batch) for batch in unsent.batches]

    unsent.may_reply.set()
    assert list(range(commands)) == await asyncio.gather(*waiting)


async def test_a_failure_is_that_of_all_that_wait() -> None:
    """Each would find the same, one after the other."""

    class Failing(Unsent):
        async def send(self, commands: Sequence[tuple[str, tuple[float | str, ...]]]) -> list[object]:
            await super().send(commands)
            raise ConnectionError

    failing = Failing()
    failing.may_reply.set()
    waiting = (failing.run("{0}", settle(number)) for number in range(300))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert 1 == len(failing.batches)
    assert {StoreUnavailable} == set(map(type, outcomes))


@pytest.mark.parametrize(
    ("reply", "times"), [([], 0), (ResponseError("LOADING"), 1), (ConnectionError(), 1), (TimeoutError(), 1)]
)
async def test_when_it_connects_anew(reply: object, times: int) -> None:
    """After a failure, also of one command of several, another server may have the name."""
    reconnected: list[None] = []

    class Replies(Unsent):
        async def send(self, commands: Sequence[tuple[str, tuple[float | str, ...]]]) -> list[object]:
            if isinstance(reply, ConnectionError | TimeoutError):
                raise reply
            return [[], reply]

        async def reconnect(self) -> None:
            reconnected.append(None)

    batches = Replies()
    replies = await asyncio.gather(*(batches.run("{0}", settle(number)) for number in (1, 2)), return_exceptions=True)

    assert times == len(reconnected)
    assert bool(times) == isinstance(replies[1], StoreUnavailable)


@pytest.mark.parametrize(
    ("reply", "reason", "part"),
    [
        (ResponseError("WRONGTYPE kind"), "the server refused a command (WRONGTYPE)", "{0}"),
        (ResponseError("ERR x script: user_script:5"), "the server refused a command (ERR)", "{0}"),
        (ResponseError("READONLY no writes"), "the server refused a command (READONLY)", ""),
        (ResponseError("something else"), "the server refused a command (ResponseError)", ""),
        (TimeoutError("words"), "the server does not reply in time", ""),
        (redis.exceptions.TimeoutError("words"), "the server does not reply in time", ""),
        (redis.exceptions.ConnectionError("words"), "the server cannot be reached (ConnectionError)", ""),
    ],
)
async def test_what_is_said_of_a_failure(reply: Exception, reason: str, part: str) -> None:
    """Its kind, and the bucket if the script failed on what is kept of that; nothing that was sent."""

    class Replies(Unsent):
        async def send(self, commands: Sequence[tuple[str, tuple[float | str, ...]]]) -> list[object]:
            return [reply]

    with pytest.raises(StoreUnavailable) as caught:
        await Replies().run("{0}", settle(1))

    assert (reason, part) == (str(caught.value), caught.value.part)


async def test_each_server_of_a_cluster_has_its_own_batches(cluster: list[Valkey]) -> None:
    """A single server has no name."""
    buckets = [f"{{{number}}}" for number in range(50)]
    async with redis.asyncio.RedisCluster.from_url(cluster[0].url) as client:
        assert 3 == len({BatchingClient(client, None, PATIENCE).node_of(bucket) for bucket in buckets})
    async with redis.asyncio.Redis.from_url(cluster[0].url) as single:
        assert {""} == {BatchingClient(single, None, PATIENCE).node_of(bucket) for bucket in buckets}


async def test_closing_ends_all_that_goes_on() -> None:
    """What waits for a reply fails with the reason, and nothing listens any more."""
    reason = StoreUnavailable("closed", "")
    notifications = Notifications()
    notifications.begin(1, cast("Waiting", SimpleNamespace(look_again=lambda: None)))
    async with serving_raw(hang) as url, redis.asyncio.Redis.from_url(f"redis{url.removeprefix('http')}") as client:
        batches = BatchingClient(client, None, PATIENCE)
        batches.subscription.begin("channel", notifications)
        waiting = asyncio.create_task(batches.run("{1}", settle(1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await batches.aclose(reason)
        with pytest.raises(StoreUnavailable) as caught:
            await asyncio.wait_for(waiting, PATIENCE)

        assert caught.value is reason
        assert batches.subscription._task is None


@pytest.mark.parametrize("is_own", [True, False])
async def test_a_client_that_was_lent_keeps_its_connections(*, is_own: bool) -> None:
    """Another server may have the name of this one after a failure, so the unused ones of an own client are closed."""
    closed: list[dict[str, bool]] = []

    async def disconnect(**options: bool) -> None:
        closed.append(options)

    client = redis.asyncio.Redis()
    client.connection_pool.disconnect = disconnect  # type: ignore[method-assign]
    await BatchingClient(client, (lambda: client) if is_own else None, PATIENCE).reconnect()

    assert ([{"inuse_connections": False}] if is_own else []) == closed
