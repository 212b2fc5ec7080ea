"""Whatever the server replies, a call ends within `timeout` and `max_wait`: with a lease, or with an error."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from okx_sol_async import BucketKey, Lease, OKXError, QueueTimeout, RateLimit, Scope, TransportError
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter

pytestmark = pytest.mark.virtual_clock

SIX = RateLimit(6, 1.0, Scope.USER)
KEY = BucketKey("https://openapi.okx.com", demo=False, owner="user:a", method="GET", path="/api/v5/x")
TIMEOUT = 0.2
MAX_WAIT = 0.5
#: Makes a reply to a reservation of the script from its ticket; `None` closes the connection.
Reply = Callable[[int], bytes | None]


def good(ticket: int) -> bytes:
    """Return what the script replies to a reservation."""
    return b"*6\r\n" + b"".join(b":%d\r\n" % number for number in (ticket, 0, 1, 1, 0, 1_800_000_000_000_000))


def numbers(*values: int) -> Reply:
    return lambda ticket: b"*%d\r\n" % (len(values) + 1) + b"".join(b":%d\r\n" % value for value in (ticket, *values))


def error(text: str) -> Reply:
    return lambda _: b"-" + text.encode() + b"\r\n"


REPLIES: dict[str, Reply] = {
    "nothing": lambda _: b"",
    "a closed connection": lambda _: None,
    "half a reply": lambda ticket: good(ticket)[:-9],
    "half a number": lambda ticket: good(ticket)[:7],
    "nil": lambda _: b"$-1\r\n",
    "nil array": lambda _: b"*-1\r\n",
    "an empty array": lambda _: b"*0\r\n",
    "text": lambda _: b"+OK\r\n",
    "a number": lambda _: b":1\r\n",
    "too short": numbers(0, 1),
    "too long": numbers(0, 1, 1, 0, 1_800_000_000_000_000, 7),
    "text in it": lambda ticket: good(ticket).replace(b":0\r\n", b"$1\r\n0\r\n"),
    "nil in it": lambda ticket: good(ticket).replace(b":0\r\n", b"$-1\r\n"),
    "an array in it": lambda ticket: good(ticket).replace(b":0\r\n", b"*1\r\n:0\r\n"),
    "an absurd wait": numbers(10**15, 1, 1, 0, 1_800_000_000_000_000),
    "an endless number": numbers(10**60, 1, 1, 0, 1_800_000_000_000_000),
    "a wait below 0": numbers(-1, 1, 1, 0, 1_800_000_000_000_000),
    "no processes": numbers(0, 1, 0, 0, 1_800_000_000_000_000),
    "a rank beyond the processes": numbers(0, 1, 1, 5, 1_800_000_000_000_000),
    "a reply to another command": lambda ticket: good(ticket + 1),
    "a subscription": lambda _: b"*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n",
    "not Redis": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "not text": lambda _: b"\xff\0\x01\r\n",
    "a megabyte": lambda _: b"x" * 2**20 + b"\r\n",
} | {
    name: error(name)
    for name in (
        "ERR Error running script user_script:1: bad",
        "NOSCRIPT No matching script",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script",
        "READONLY You can't write against a read only replica",
        "OOM command not allowed",
        "NOAUTH Authentication required",
        "WRONGPASS invalid username-password pair",
        "NOPERM this user has no permissions",
        "MOVED 1 127.0.0.1:1",
        "ASK 1 127.0.0.1:1",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys",
        "MASTERDOWN Link with MASTER is down",
        "MISCONF Redis is configured to save",
        "WRONGTYPE Operation against a key",
        "EXECABORT Transaction discarded",
        "",
    )
}


@asynccontextmanager
async def server_that_replies(reply: Reply) -> AsyncIterator[str]:
    """Run a server that accepts each command, and gives ``reply`` to each run of the script."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while header := await reader.readline():
                words = []
                for _ in range(int(header[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                if not words[0].upper().startswith(b"EVAL"):
                    # An unknown command, such as HELLO, is no reason to give up.
                    writer.write(b"-ERR unknown command\r\n")
                    continue
                answer = reply(int(words[5]))
                if answer is None:
                    writer.close()
                    return
                writer.write(answer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"
    finally:
        server.close()


async def outcomes_with(reply: Reply, on_failure: str) -> list[Lease | BaseException]:
    """Make three calls, two of them at once, and return what became of them, each within its time."""
    loop = asyncio.get_running_loop()
    async with (
        server_that_replies(reply) as url,
        RedisLimiter.from_url(url, timeout=TIMEOUT, on_failure=on_failure) as limiter,  # type: ignore[arg-type]
    ):
        outcomes: list[Lease | BaseException] = []
        for calls in (2, 1):
            async with asyncio.timeout(MAX_WAIT + TIMEOUT):
                found = await asyncio.gather(
                    *(limiter.bucket(KEY, SIX).acquire(loop.time() + MAX_WAIT) for _ in range(calls)),
                    return_exceptions=True,
                )
            outcomes += found
            for lease in found:
                if not isinstance(lease, BaseException):
                    lease.answered()
        return outcomes


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_every_reply_ends_in_the_fallback(caplog: pytest.LogCaptureFixture) -> None:
    """Calls go on with a part of the limit, or find that it is spent, and each server is logged once."""
    all_of_them = await asyncio.gather(*(outcomes_with(reply, "local") for reply in REPLIES.values()))

    for name, outcomes in zip(REPLIES, all_of_them, strict=True):
        assert any(not isinstance(outcome, BaseException) for outcome in outcomes), name
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(error, QueueTimeout) for error in errors), (name, errors)
    assert len(REPLIES) == len(warnings_in(caplog))


async def test_every_reply_ends_in_an_error(caplog: pytest.LogCaptureFixture) -> None:
    """With `on_failure="raise"` nothing is sent, and each server is logged once."""
    all_of_them = await asyncio.gather(*(outcomes_with(reply, "raise") for reply in REPLIES.values()))

    for name, outcomes in zip(REPLIES, all_of_them, strict=True):
        assert all(isinstance(outcome, TransportError | QueueTimeout) for outcome in outcomes), (name, outcomes)
    assert len(REPLIES) == len(warnings_in(caplog))


@pytest.mark.parametrize("on_failure", ["local", "raise"])
async def test_a_reply_in_which_bytes_were_changed(on_failure: str) -> None:
    """Bytes cut out, doubled or replaced anywhere end a call in time too; what it is given is a lease or our error."""

    def mutated(seed: int) -> Reply:
        def reply(ticket: int) -> bytes:
            rng, answer = random.Random(seed), good(ticket)
            for _ in range(rng.randint(1, 3)):
                start, end = sorted((rng.randrange(len(answer) + 1), rng.randrange(len(answer) + 1)))
                piece = rng.choice([b"", answer[start:end] * 2, b"-", b":", b"*", b"$9", b"\r\n", b"\xff"])
                answer = answer[:start] + piece + answer[rng.choice([start, end]) :]
            return answer

        return reply

    all_of_them = await asyncio.gather(*(outcomes_with(mutated(seed), on_failure) for seed in range(60)))

    for outcomes in all_of_them:
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert all(isinstance(error, OKXError) for error in errors), errors


async def test_a_good_reply_gives_a_lease(caplog: pytest.LogCaptureFixture) -> None:
    """The server of these tests is not hostile by itself."""
    outcomes = await outcomes_with(good, "raise")

    assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [] == warnings_in(caplog)
