"""One limit over many processes and machines, through Redis or Valkey.

It needs the extra ``redis``: ``pip install 'okx-sol-async[redis]'``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit.limit import is_bucket_key
from okx_sol_async.ratelimit.local import LocalLimiter
from okx_sol_async.ratelimit.pacing import DEFAULT, PushBack
from okx_sol_async.ratelimit.shared.reservations import Ledger, SharedBucket, Unreachable, is_closed

try:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError, ResponseError
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable, Sequence

    import redis.asyncio

    from okx_sol_async.ratelimit.bucket import TokenBucket
    from okx_sol_async.ratelimit.limit import BucketKey, RateLimit

    Client = redis.asyncio.Redis | redis.asyncio.RedisCluster
    Command = tuple[str, tuple[float | str, ...]]

SCRIPT: Final = Path(__file__).with_name("reserve.lua").read_text(encoding="utf-8")
_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
#: So many commands are on their way to the server at once, each of them a batch.
LANES: Final = 4
#: So many commands go in one batch.
BATCH: Final = 64


class RedisLimiter(LocalLimiter):
    """One limit for each user over all processes and machines that use the same Redis or Valkey.

    Give each process one of these, and it to its sessions::

        async with RedisLimiter.from_url("redis://localhost") as limiter, Session(limiter=limiter) as session:
            ...

    Use it as an async context manager, or call `aclose`. `docs/machines.md` tells what is promised.

    Args:
        client: a `redis.asyncio.Redis`, also one of a Sentinel, or a `redis.asyncio.RedisCluster`. It is never closed,
            and belongs to one event loop.
        prefix: what the names of all keys on the server begin with. Processes with the same prefix share their limits.
        margin: seconds by which a slot is in use for longer than the period, from the time for which it was reserved.
            It covers what the times of two calls on their way differ by, and how late a process is. From 0 on.
        push_back: what a refusal (50011) does, in all processes.
        on_failure: what becomes of calls while the server does not answer. ``"local"``: each process goes on by
            itself with a part of the limit. ``"raise"``: they fail with `TransportError`.
        local_share: that part of each limit, above 0 and up to 1. Each bucket has at least one request.
        timeout: seconds after which the server is taken to be away. Above 0.
        egress: a name for the IP address from which this process calls OKX. Limits that OKX counts by IP address are
            shared by the processes with the same name.

    Raises:
        ConfigurationError: an argument is not of the kind above, or redis-py is not installed.

    """

    def __init__(
        self,
        client: Client,
        *,
        prefix: str = "okx-sol-async",
        margin: float = 0.05,
        push_back: PushBack = DEFAULT,
        on_failure: Literal["local", "raise"] = "local",
        local_share: float = 1 / 6,
        timeout: float = 0.5,
        egress: str = "",
    ) -> None:
        _check_installed()
        if not isinstance(client, Redis | RedisCluster):
            message = f"client must be a redis.asyncio.Redis or RedisCluster, not {type(client).__name__}"
            raise ConfigurationError(message, hint="Or use RedisLimiter.from_url.")
        for name, value, least, most in (
            ("margin", margin, -math.ulp(0.0), math.inf),
            ("local_share", local_share, 0, 1 + 1e-9),
            ("timeout", timeout, 0, math.inf),
        ):
            if type(value) not in {int, float} or not least < value < most:
                message = f"{name} must be a number {'from 0 on' if least else 'above 0'}"
                message += f"{' and up to 1' if most < math.inf else ''}, not {value!r}"
                raise ConfigurationError(message)
        if on_failure not in {"local", "raise"}:
            message = f"on_failure must be 'local' or 'raise', not {on_failure!r}"
            raise ConfigurationError(message)
        super().__init__(push_back=push_back)
        self._prefix = str(prefix)
        self._egress = str(egress)
        self._timeout = timeout
        # Makes a client for an event loop; None if the client is the caller's.
        self._make_client: Callable[[], Client] | None = None
        self._client = client
        self._links: dict[asyncio.AbstractEventLoop, _Link] = {}
        self._ledger = Ledger(
            self._run, margin=margin, push_back=push_back, on_failure=on_failure, local_share=local_share
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        cluster: bool = False,
        prefix: str = "okx-sol-async",
        margin: float = 0.05,
        push_back: PushBack = DEFAULT,
        on_failure: Literal["local", "raise"] = "local",
        local_share: float = 1 / 6,
        timeout: float = 0.5,
        egress: str = "",
    ) -> Self:
        """Make a limiter with connections of its own, which `aclose` closes.

        Args:
            url: ``redis://[user:password@]host[:port][/database]``, ``rediss://`` for TLS, or ``unix://path``. What
                redis-py takes besides may follow as a query, such as ``?ssl_ca_certs=ca.pem``.
            cluster: whether it is one node of a cluster, which tells where the others are.
            prefix: as for the class, and so are the others.
            margin: as for the class.
            push_back: as for the class.
            on_failure: as for the class.
            local_share: as for the class.
            timeout: as for the class.
            egress: as for the class.

        Raises:
            ConfigurationError: an argument is not of the kind above, or redis-py is not installed.

        """
        _check_installed()

        def make_client() -> Client:
            kind = RedisCluster if cluster else Redis
            # A connection that turns out to be dead is made anew once; whatever takes longer is an outage.
            client: Client = kind.from_url(
                url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1)
            )
            return client

        try:
            client = make_client()
        except (ValueError, TypeError, RedisError):
            # What is wrong may be in the password, so it is not quoted.
            message = "url must be one that redis-py takes: redis://host:6379/0, rediss://… or unix://…"
            raise ConfigurationError(message) from None
        limiter = cls(
            client,
            prefix=prefix,
            margin=margin,
            push_back=push_back,
            on_failure=on_failure,
            local_share=local_share,
            timeout=timeout,
            egress=egress,
        )
        limiter._make_client = make_client
        return limiter

    def __repr__(self) -> str:
        away = ", the server is away" if self._ledger.outage.lasts else ""
        return f"<RedisLimiter of {len(self)} buckets{away}>"

    async def __aenter__(self) -> Self:
        """Return the limiter itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of this event loop that the limiter has opened. Closing again does nothing.

        Calls that wait for their turn fail with `ConfigurationError`, and so do later ones.
        """
        self._ledger.closed = True
        loop = asyncio.get_running_loop()
        for bucket in tuple(self._buckets.values()):
            if isinstance(bucket, SharedBucket):
                bucket.close(loop)
        link = self._links.pop(loop, None)
        if link is not None:
            await link.aclose()

    def _new_bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:
        return SharedBucket(limit, self._ledger, self._name(key), push_back=self._push_back, longest=self._longest)

    def _merge_bucket(self, key: BucketKey, into: BucketKey) -> None:
        super()._merge_bucket(key, into)
        bucket = self._buckets[into]
        if isinstance(bucket, SharedBucket):
            bucket.rename(self._name(into))

    def _name(self, key: Hashable) -> str:
        """Return the name of a bucket on the server, which tells nothing about the user."""
        parts = [*key] if is_bucket_key(key) else [repr(key)]
        if is_bucket_key(key) and key[2] is None:
            parts.append(self._egress)
        digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
        return f"{self._prefix}:{{{digest}}}"

    async def _run(self, bucket: str, command: tuple[float | str, ...]) -> list[int]:
        if self._ledger.closed:
            raise is_closed()
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            if self._links and self._make_client is None:
                raise _of_another_loop()
            # A loop that was closed has taken its connections with it.
            for other in tuple(self._links):
                # One at a time, because another thread may connect meanwhile.
                if other.is_closed():
                    self._links.pop(other, None)
            link = self._links[loop] = _Link(self._client, self._make_client, self._timeout)
        return await link.run(bucket, command)


class _Link:
    """The connections of one event loop. Commands that are given at the same time go together."""

    def __init__(self, client: Client, make_client: Callable[[], Client] | None, timeout: float) -> None:
        self._make_client = make_client
        self._client = client if make_client is None else make_client()
        self._timeout = timeout
        self._waiting: deque[tuple[Command, asyncio.Future[list[int]]]] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        # Whether a lane has begun that takes what waits.
        self._begins = False
        self._at_the_end: AsyncGenerator[None, None] | None = None

    async def run(self, bucket: str, command: tuple[float | str, ...]) -> list[int]:
        """Run the script on a bucket.

        Raises:
            Unreachable: the server did not answer in time, or could not run it.

        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[int]] = loop.create_future()
        self._waiting.append(((bucket, command), done))
        self._see_to_lanes(loop)
        return await done

    async def aclose(self) -> None:
        """Fail what is on its way, and close what was opened here."""
        lanes = tuple(self._lanes)
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
        self._fail_waiting(is_closed())
        if self._at_the_end is not None:
            await self._at_the_end.aclose()

    def _see_to_lanes(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._begins and len(self._lanes) < LANES:
            self._begins = True
            lane = loop.create_task(self._drive(loop))
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)

    async def _drive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send batches until nothing waits."""
        if self._make_client is not None and self._at_the_end is None:
            # An event loop that ends closes what it has begun to iterate over, and the connections with it.
            self._at_the_end = self._close_at_the_end()
            await anext(self._at_the_end)
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._begins = False
            self._see_to_lanes(loop)
            try:
                async with asyncio.timeout(self._timeout):
                    answers = await self._send([command for command, _ in batch])
            except asyncio.CancelledError:
                self._waiting.extendleft(reversed(batch))
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, calls wait for it
                reason = _reason(error)
                _settle(batch, [reason] * len(batch))
                self._fail_waiting(reason)
                await self._reconnect()
            else:
                _settle(batch, answers)
                if any(isinstance(answer, Exception) for answer in answers):
                    await self._reconnect()
        self._begins = False

    async def _send(self, commands: Sequence[Command]) -> list[list[int] | Exception]:
        answers = await self._ask(commands, "evalsha", _SHA)
        unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            again = await self._ask([commands[index] for index in unknown], "eval", SCRIPT)
            for index, answer in zip(unknown, again, strict=True):
                answers[index] = answer
        return [_reason(answer) if isinstance(answer, Exception) else answer for answer in answers]

    async def _ask(self, commands: Sequence[Command], how: str, script: str) -> list[list[int] | Exception]:
        client = self._client
        if isinstance(client, RedisCluster):
            # Before it has asked who keeps what, it sends a command anywhere, and closes connections at the answers.
            await client.initialize()
        if len(commands) == 1 or isinstance(client, RedisCluster):
            # The pipeline of a cluster knows no scripts.
            asked = (getattr(client, how)(script, 1, bucket, *command) for bucket, command in commands)
            answers: list[list[int] | Exception] = await asyncio.gather(*asked, return_exceptions=True)
        else:
            async with client.pipeline(transaction=False) as pipeline:
                for bucket, command in commands:
                    getattr(pipeline, how)(script, 1, bucket, *command)
                answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
                raise answer
        return answers

    async def _reconnect(self) -> None:
        """Begin anew: another server may have the name of this one by now."""
        # A cluster finds out by itself, and so does what a caller has lent.
        if self._make_client is not None and isinstance(self._client, Redis):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _close_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await _close(self._client)

    def _fail_waiting(self, reason: Exception) -> None:
        waiting, self._waiting = self._waiting, deque()
        _settle(waiting, [reason] * len(waiting))


def _settle(
    batch: Sequence[tuple[Command, asyncio.Future[list[int]]]], answers: Sequence[list[int] | Exception]
) -> None:
    for (_, done), answer in zip(batch, answers, strict=True):
        if done.done():
            continue
        if isinstance(answer, Exception):
            done.set_exception(answer)
        else:
            done.set_result(answer)


async def _close(client: Client) -> None:
    # It is closed even if that fails.
    with contextlib.suppress(OSError, RuntimeError, RedisError):
        await client.aclose()


def _reason(error: Exception) -> Exception:
    """Return what is said of a failure: no more than its kind, because a message may hold what was sent."""
    kind = type(error).__name__
    if isinstance(error, ResponseError):
        word = str(error).partition(" ")[0]
        return Unreachable(f"the server refused a command ({word if word.isupper() else kind})")
    if isinstance(error, TimeoutError) or kind == "TimeoutError":
        return Unreachable("the server does not answer in time")
    return Unreachable(f"the server cannot be reached ({kind})")


def _of_another_loop() -> ConfigurationError:
    message = "the client of this limiter was used on another event loop, to which it belongs"
    return ConfigurationError(
        message, hint="Use RedisLimiter.from_url, which connects for each loop, or give each loop a client and limiter."
    )


def _check_installed() -> None:
    if not _INSTALLED:
        message = "the package redis is not installed"
        raise ConfigurationError(message, hint="Install it: pip install 'okx-sol-async[redis]'")
