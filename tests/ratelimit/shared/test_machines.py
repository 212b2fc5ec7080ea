"""Several processes and machines that share a limit through a server, and what becomes of it when that fails."""

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import redis.asyncio
from redis.asyncio.sentinel import Sentinel

from okx_sol_async import (
    Bucket,
    BucketKey,
    ConfigurationError,
    Credentials,
    OKXError,
    RateLimit,
    Scope,
    Timeout,
    TransportError,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.ratelimit.shared import outage
from okx_sol_async.ratelimit.shared.limiter import RedisLimiter
from tests.support.caller import USED, call_without_pause
from tests.support.shared_clock import on_a_shared_clock, this_loop
from tests.support.valkey import Valkey, free_port, valkey

THREE = RateLimit(3, 0.2, Scope.USER)
FAST = RateLimit(3, 0.1, Scope.USER)
#: Seconds that nothing takes, however busy the machine is.
PATIENCE = 60.0
#: What the virtual clock adds by itself.
TICKS = 0.01


def key(owner: str | None) -> BucketKey:
    return BucketKey("https://openapi.okx.com", demo=False, owner=owner, method="GET", path="/api/v5/x")


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(bucket: Bucket, times: list[float]) -> None:
    lease = await bucket.acquire(None)
    times.append(now())
    lease.answered()


def most_within(times: Sequence[float], seconds: float) -> int:
    times = sorted(times)
    return max(sum(first <= at < first + seconds for at in times) for first in times)


async def until(condition: Callable[[], object]) -> None:
    """Wait for as long as it takes: pytest ends a test that waits for nothing."""
    while not condition():  # noqa: ASYNC110 - nobody tells when
        await asyncio.sleep(0.02)


@pytest.fixture(name="server")
def _server() -> Iterator[Valkey]:
    """Offer a server that may be ill-treated."""
    with valkey() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that is away be tried more often."""
    monkeypatch.setattr(outage, "TRY_EVERY", 0.25)


@pytest.fixture(name="machines")
def _machines(server: Valkey) -> list[RedisLimiter]:
    """Make two, whose connections go with the event loop."""
    return [RedisLimiter.from_url(server.url, timeout=1) for _ in range(2)]


# Processes.


# Each begins with what it needs in memory, so that it begins soon.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.support.caller"])


@contextlib.contextmanager
def processes(exchange: Emulator, server: Valkey, skews: list[float]) -> Iterator[list[BaseProcess]]:
    key = exchange.credentials
    where = [exchange.url, server.url, key.api_key, key.secret_key, key.passphrase]
    running = [_processes.Process(target=call_without_pause, args=(skew, *where)) for skew in skews]
    for process in running:
        process.start()
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.join()


async def calls(exchange: Emulator, more: int) -> None:
    """Wait for so many calls."""
    there = exchange.tally().received
    await until(lambda: exchange.tally().received >= there + more)


async def test_four_processes_keep_one_limit(valkey_server: Valkey) -> None:
    """Whatever their clocks say, whoever is killed or begins anew, and when the server forgets its script.

    They go by real clocks, and nobody promises when a call arrives that a busy machine holds up after its slot. So the
    slots are looked at: no window holds too many, each call has one, and none leaves before it.
    """
    async with Emulator(latency=0.01, jitter=0.02, seed=1) as exchange:
        with processes(exchange, valkey_server, [0.0, 0.3, -0.3, 3600.0]) as running:
            await calls(exchange, 7)
            running[0].kill()
            await calls(exchange, 3)
            with valkey_server.client as client:
                client.script_flush()
            await calls(exchange, 3)
            with processes(exchange, valkey_server, [0.0]):
                await calls(exchange, 6)
        received = exchange.tally().received
        assert 0 == exchange.tally().rejected
    with valkey_server.client as client:
        used = [[int(part) for part in bytes(entry).split()] for entry in client.lrange(USED, 0, -1)]  # type: ignore[union-attr]
    slots = sorted(slot for _, slot, _ in used)

    assert len(used) >= received >= 19
    assert len({ticket for ticket, _, _ in used}) == len(used)
    assert most_within(slots, 1_000_000) <= 6
    # The server's own clock, when the call left: not before its slot, however wrong the clock of its process is.
    assert all(left_at >= slot for _, slot, left_at in used)


# Two machines in one process.


@on_a_shared_clock
async def test_two_machines_share_a_limit_and_take_turns(machines: list[RedisLimiter]) -> None:
    """Neither books ahead of the other, however many wait in it and however much nearer to the server it is."""
    ask = machines[1].run

    async def ask_from_far_away(bucket: str, command: tuple[float | str, ...]) -> object:
        await asyncio.sleep(0.001)
        answer = await ask(bucket, command)
        await asyncio.sleep(0.001)
        return answer

    machines[1].run = ask_from_far_away  # type: ignore[method-assign]
    times: list[list[float]] = [[], []]
    tasks = [
        asyncio.create_task(take(machine.bucket(key("user:a"), THREE), mine))
        for machine, mine, count in zip(machines, times, (40, 4), strict=True)
        for _ in range(count)
    ]
    await until(lambda: len(times[1]) == 4)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert most_within(times[0] + times[1], THREE.seconds) <= 3
    # After the first burst, no more than the other.
    assert len(times[0]) - THREE.requests <= len(times[1])


@on_a_shared_clock
async def test_a_refusal_slows_all_machines_down(machines: list[RedisLimiter]) -> None:
    """Nothing leaves anywhere for a period, and then one by one."""
    one, two = (machine.bucket(key("user:a"), THREE) for machine in machines)
    await take(two, [])
    lease = await one.acquire(None)
    lease.refused()
    refused_at = now()
    # It tells the server at once, though none of its own calls waits.
    await asyncio.sleep(TICKS)
    times: list[float] = []
    await asyncio.gather(*(take(two, times) for _ in range(3)))

    assert THREE.seconds <= times[0] - refused_at < THREE.seconds + TICKS
    assert all(later - earlier > THREE.seconds / 2 - TICKS for earlier, later in pairwise(times))


async def test_keys_tell_nothing_and_go_by_themselves(valkey_server: Valkey) -> None:
    """Neither a key nor a label is on the server, and nothing stays there."""
    credentials = Credentials("a-key-of-somebody", "s" * 16, "p", "a label")
    async with RedisLimiter.from_url(valkey_server.url, prefix="desk", timeout=PATIENCE) as limiter:
        # A minute, so that nothing has gone before it is looked at.
        slow = RateLimit(3, PATIENCE, Scope.USER)
        for owner in (credentials.owner, Credentials("a-key-of-somebody", "s", "p").owner, None):
            await take(limiter.bucket(key(owner), slow), [])
    with valkey_server.client as client:
        names = client.keys()
        kept = [(name, client.get(name)) for name in names]

        assert 3 == len(kept)
        assert all(name.startswith(b"desk:{") and name.endswith(b"}") for name in names)
        assert not any(
            secret in bytes(part or b"") for pair in kept for part in pair for secret in (b"somebody", b"label")
        )
        assert all(0 < client.pttl(name) <= 1000 * (PATIENCE + 2) for name in names)


async def test_limits_by_ip_address_are_shared_by_those_who_share_it(valkey_server: Valkey) -> None:
    """`egress` tells them apart; a user is the same everywhere."""
    async with (
        RedisLimiter.from_url(valkey_server.url, egress="office") as one,
        RedisLimiter.from_url(valkey_server.url, egress="cloud") as two,
    ):
        assert one._name(key(None)) != two._name(key(None))
        assert one._name(key("user:a")) == two._name(key("user:a"))
        assert one._name(key("user:a")) != one._name(key("user:b"))


@on_a_shared_clock
async def test_a_slot_that_came_too_late_is_given_back(
    machines: list[RedisLimiter], caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was held up does not send into the window of others."""
    late_one, other = (machine.bucket(key("user:a"), THREE) for machine in machines)
    # Both know how long answers take, so that a slot is not taken for longer for that reason.
    for bucket in (late_one, other):
        await take(bucket, [])
    await asyncio.sleep(2 * THREE.seconds)
    await asyncio.gather(*(take(other, []) for _ in range(3)))
    times: list[float] = []
    late = asyncio.create_task(take(late_one, times))
    await asyncio.sleep(0.05)
    # Nothing runs in this process for longer than its slot takes to come.
    this_loop().hold_up(0.4 - 0.05)
    held_up_until = now()
    await asyncio.gather(*(take(other, times) for _ in range(4)), late)

    assert most_within(times, THREE.seconds) <= 3
    assert min(times) > held_up_until


# Failures.


class Log:
    """What was said of the shared limit."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="okx_sol_async")
        self._caplog = caplog

    @property
    def levels(self) -> list[str]:
        return [record.levelname for record in self._caplog.records if "Shared rate limiter" in record.getMessage()]


@pytest.fixture(name="log")
def _log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def fail_by_kill(server: Valkey) -> Callable[[], object]:
    server.kill()
    return server.start


def fail_by_freezing(server: Valkey) -> Callable[[], object]:
    server.freeze()
    this_loop().is_answered(answers=False)

    def mend() -> None:
        server.thaw()
        this_loop().is_answered(answers=True)

    return mend


def fail_by_being_full(server: Valkey) -> Callable[[], object]:
    client = server.client
    client.config_set("maxmemory", 1)

    def mend() -> None:
        client.config_set("maxmemory", 0)
        client.close()

    return mend


def fail_by_being_a_replica(server: Valkey) -> Callable[[], object]:
    client = server.client
    client.replicaof("127.0.0.1", free_port())

    def mend() -> None:
        client.replicaof("NO", "ONE")
        client.close()

    return mend


def fail_by_password(server: Valkey) -> Callable[[], object]:
    client = server.client
    client.config_set("requirepass", "secret")
    with server.client as other:
        # Those who are connected stay so.
        client.client_kill_filter(_type="normal", skipme=True)
        del other

    def mend() -> None:
        client.config_set("requirepass", "")
        client.close()

    return mend


FAILURES = [fail_by_kill, fail_by_freezing, fail_by_being_full, fail_by_being_a_replica, fail_by_password]


@pytest.mark.parametrize("fail", FAILURES)
@on_a_shared_clock
async def test_calls_go_on_while_the_server_is_away(
    server: Valkey, machines: list[RedisLimiter], log: Log, fail: Callable[[Valkey], Callable[[], object]]
) -> None:
    """Each process spends its part of the limit by itself, logs that once, and recovers by itself."""
    buckets = [machine.bucket(key("user:a"), FAST) for machine in machines]
    for bucket in buckets * 2:
        # With the second reply, both know of each other.
        await take(bucket, [])
    mend = fail(server)
    times: list[float] = []
    await asyncio.gather(*(take(bucket, times) for bucket in buckets for _ in range(3)))

    assert most_within(times, FAST.seconds) <= 2
    assert ["WARNING"] * 2 == log.levels
    assert "the server is away" in repr(machines[0])

    mend()
    while log.levels.count("INFO") < 2:
        for bucket in buckets:
            await take(bucket, [])
    times.clear()
    await asyncio.gather(*(take(bucket, times) for bucket in buckets for _ in range(4)))

    assert most_within(times, FAST.seconds) <= 3
    assert max(times) - min(times) < 8 * FAST.seconds
    assert ["WARNING", "WARNING", "INFO", "INFO"] == log.levels


@pytest.mark.parametrize("fail", [fail_by_kill, fail_by_being_full])
@on_a_shared_clock
async def test_a_server_that_is_back_counts_what_was_sent_without_it(
    server: Valkey, log: Log, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Valkey], Callable[[], object]]
) -> None:
    """Processes that call all the while send no burst beside each other's calls."""
    # Each tries several times for every call that it sends by itself.
    monkeypatch.setattr(outage, "TRY_EVERY", FAST.seconds / 10)
    times: list[float] = []

    async def go_on(machine: RedisLimiter) -> None:
        while True:
            await take(machine.bucket(key("user:a"), FAST), times)

    async with contextlib.AsyncExitStack() as stack:
        machines = [
            await stack.enter_async_context(RedisLimiter.from_url(server.url, timeout=1, margin=0.3)) for _ in range(3)
        ]
        tasks = [asyncio.create_task(go_on(machine)) for machine in machines for _ in range(4)]
        await until(lambda: len(times) > 6)
        for outages in range(3, 21, 3):
            mend = fail(server)
            await until(lambda outages=outages: log.levels.count("WARNING") == outages)
            await asyncio.sleep(2 * FAST.seconds)
            times.clear()
            mend()
            await until(lambda outages=outages: log.levels.count("INFO") == outages and len(times) > 6)

            assert most_within(times, FAST.seconds) <= 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@on_a_shared_clock
async def test_calls_fail_while_the_server_is_away_if_they_are_to(server: Valkey, log: Log) -> None:
    """`on_failure="raise"` says what to do, to all who wait and at once, and finds back by itself."""
    async with RedisLimiter.from_url(server.url, on_failure="raise") as limiter:
        bucket = limiter.bucket(key("user:a"), THREE)
        await take(bucket, [])
        server.kill()
        outcomes = await asyncio.gather(*(bucket.acquire(None) for _ in range(20)), return_exceptions=True)

        assert all(type(outcome) is TransportError and "nothing was sent" in str(outcome) for outcome in outcomes)

        with pytest.raises(TransportError, match="on_failure"):
            await bucket.acquire(None)

        assert 0 == bucket.queue

        server.start()
        await asyncio.sleep(outage.TRY_EVERY)
        await take(bucket, [])

        assert ["WARNING", "INFO"] == log.levels


@on_a_shared_clock
async def test_history_that_was_lost_is_waited_for(server: Valkey, machines: list[RedisLimiter]) -> None:
    """After `FLUSHALL` no window holds more calls than the limit, because whoever sent in it knows."""
    times: list[float] = []
    buckets = [machine.bucket(key("user:a"), FAST) for machine in machines]
    tasks = [asyncio.create_task(take(bucket, times)) for bucket in buckets for _ in range(12)]
    with server.client as client:
        for count in (5, 8, 14):
            await until(lambda count=count: len(times) >= count)
            client.flushall()
    await asyncio.gather(*tasks)

    assert most_within(times, FAST.seconds) <= 3


@on_a_shared_clock
async def test_max_wait_holds_while_the_server_does_not_answer(server: Valkey) -> None:
    """A call gives up when its time is over, whatever it waits for."""
    async with RedisLimiter.from_url(server.url, timeout=5) as limiter:
        bucket = limiter.bucket(key("user:a"), THREE)
        await take(bucket, [])
        mend = fail_by_freezing(server)
        began = now()

        with pytest.raises(Timeout):
            await bucket.acquire(began + 0.2)

        assert 0.2 == pytest.approx(now() - began, abs=TICKS)
        mend()


async def test_a_password_is_never_told(valkey_server: Valkey, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a message, nor in the log, nor in a repr."""
    with pytest.raises(ConfigurationError) as refused:
        RedisLimiter.from_url("redis://user:hunter2@host:hunter2/0")
    async with RedisLimiter.from_url(valkey_server.url.replace("//", "//user:hunter2@"), on_failure="raise") as limiter:
        with pytest.raises(OKXError) as failed:
            await limiter.bucket(key("user:a"), THREE).acquire(None)
        told = [str(refused.value), str(failed.value), repr(limiter), caplog.text]

    assert ["WARNING"] == log.levels
    assert not any("hunter2" in text for text in told)


# Servers of other kinds.


async def test_a_cluster(caplog: pytest.LogCaptureFixture) -> None:
    """All of a bucket is on one node, so a cluster works as a single server does."""
    with valkey("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        with server.client as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await until(
                lambda: b"cluster_state:ok" in bytes(client.execute_command("CLUSTER", "INFO", NEVER_DECODE=True))
            )
        times: list[float] = []
        async with RedisLimiter.from_url(server.url, cluster=True, timeout=PATIENCE) as limiter:
            users = [limiter.bucket(key(f"user:{number}"), THREE) for number in range(20)]
            await asyncio.gather(*(take(bucket, times) for bucket in users))
            times.clear()
            await asyncio.gather(*(take(users[0], times) for _ in range(5)))

    assert most_within(times, THREE.seconds) <= 3
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_a_master_that_a_sentinel_names(log: Log) -> None:
    """After a failover calls go on at the new master."""
    with (
        valkey("--repl-diskless-sync-delay", "0") as one,
        valkey("--replicaof", "127.0.0.1", str(one.port)) as two,
        sentinel(one) as watcher,
    ):
        with two.client as client:
            await until(lambda: client.info("replication")["master_link_status"] == "up")
        sentinels = Sentinel([("127.0.0.1", watcher)], socket_timeout=PATIENCE)
        limiter = RedisLimiter(sentinels.master_for("desk", socket_timeout=PATIENCE), timeout=PATIENCE)
        async with contextlib.aclosing(limiter):
            bucket = limiter.bucket(key("user:a"), THREE)
            await take(bucket, [])
            one.kill()
            times: list[float] = []
            # On a machine that is busy, the Sentinel may have named the other one before.
            while log.levels[-1:] != ["INFO"]:
                await take(bucket, times)
        with two.client as client:
            assert "master" == client.info("replication")["role"]
            assert client.exists(bucket.state.source.name)  # type: ignore[union-attr]
        await limiter._client.aclose()
        for known in sentinels.sentinels:
            await known.aclose()

    assert most_within(times, THREE.seconds) <= 3


@contextlib.contextmanager
def sentinel(master: Valkey) -> Iterator[int]:
    """Run a Sentinel that is by itself, so that it decides quickly, and yield its port."""
    watcher = Valkey()
    settings = Path(watcher._folder.name, "sentinel.conf")
    settings.write_text(
        f"port {watcher.port}\n"
        f"sentinel monitor desk 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds desk 300\n"
        "sentinel failover-timeout desk 2000\n"
    )
    watcher.start(str(settings), "--sentinel")
    try:
        yield watcher.port
    finally:
        watcher.close()


# Clients and event loops.


async def test_a_borrowed_client_is_not_closed(valkey_server: Valkey) -> None:
    """It belongs to whoever made it."""
    async with redis.asyncio.Redis.from_url(valkey_server.url) as client:
        async with RedisLimiter(client) as limiter:
            await take(limiter.bucket(key("user:a"), THREE), [])

        assert await client.ping()


@on_a_shared_clock
async def test_a_closed_limiter_says_so(valkey_server: Valkey) -> None:
    """To those who wait, and to those who come later; closing again does nothing."""
    limiter = RedisLimiter.from_url(valkey_server.url)
    bucket = limiter.bucket(key("user:closing"), RateLimit(3, 60.0, Scope.USER))
    for _ in range(3):
        await take(bucket, [])
    waiting = [asyncio.create_task(bucket.acquire(None)) for _ in range(4)]
    await asyncio.sleep(0.1)
    closed_at = now()
    await limiter.aclose()
    await limiter.aclose()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    # They would have waited for a minute.
    assert now() - closed_at < TICKS
    assert all(type(outcome) is ConfigurationError and "closed" in str(outcome) for outcome in outcomes)

    with pytest.raises(ConfigurationError, match="closed"):
        await bucket.acquire(None)


def test_an_event_loop_that_ends_closes_the_connections(valkey_server: Valkey) -> None:
    """Also if nobody closed the limiter, and without a warning."""
    limiter = RedisLimiter.from_url(valkey_server.url, timeout=PATIENCE)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for _ in range(2):
            asyncio.run(take(limiter.bucket(key("user:a"), THREE), []))
        gc.collect()

    assert not warned
    with valkey_server.client as client:
        # The server sees their end when it comes to it.
        while 1 != len(client.client_list()):
            pass


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"margin": -0.1}, "margin"),
        ({"margin": "0"}, "margin"),
        ({"local_share": 0}, "local_share"),
        ({"local_share": 1.1}, "local_share"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"on_failure": "wait"}, "on_failure"),
    ],
)
def test_a_limiter_checks_what_it_is_given(arguments: dict[str, object], field: str) -> None:
    """A setting that means nothing is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"{field} must"):
        RedisLimiter.from_url("redis://localhost", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost"])
def test_a_url_is_checked(url: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="redis://"):
        RedisLimiter.from_url(url)


def test_a_client_is_checked() -> None:
    """A client of the blocking kind would stop the event loop."""
    with redis.Redis() as client, pytest.raises(ConfigurationError, match="client must"):
        RedisLimiter(client)  # type: ignore[arg-type]


def test_without_redis_it_says_what_to_install() -> None:
    """The module can be imported, and what needs the package names the extra."""
    script = """
import sys
sys.modules["redis"] = sys.modules["redis.asyncio"] = None
from okx_sol_async import ConfigurationError
from okx_sol_async.ratelimit.shared.limiter import RedisLimiter
try:
    RedisLimiter.from_url("redis://localhost")
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert "pip install 'okx-sol-async[redis]'" in done.stdout
