"""Whether tasks, sockets, timers and memory stay as they are over 100,000 calls, of which a third has a fault.

A server on the same loop responds, breaks off before the head, in it or in the body, sends pages that are not OKX's,
refuses, compresses badly, or hangs until the call is given up; and some calls are cancelled by their caller. The calls
go by one session, with retries and the limiter as they are. Whatever is counted after a warm-up of the same kind is
counted again at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import json
import logging
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async import BALANCE, Credentials, LocalLimiter, OKXError, RateLimit, Scope, Session
from okx_sol_async.transport import _resend as retries
from tests.benchmarks.report import Figure, Line, Note
from tests.support.serving import http_response, request_of, serving_raw

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS: Final = 100_000
AT_ONCE: Final = 20
TIMEOUT: Final = 0.5
#: How many blocks of memory each hundred calls may leave behind: any object is one at least.
GOAL_BLOCKS: Final = 1.0
READ: Final = attrs.evolve(BALANCE, limit=RateLimit(1000, 0.001, Scope.USER))
_ROW: Final = {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "0", "totalInterestAccrual": "0"}
_GOOD: Final = http_response(json.dumps({"code": "0", "msg": "", "data": [_ROW]}).encode())
#: What happens to a call, and how often in a thousand; `None` hangs, and what is cut ends its connection.
_FAULTS: Final = (
    (60, b""),
    (40, _GOOD[:30]),
    (40, _GOOD[:-30]),
    (40, http_response(b"<html>Just a moment...</html>")),
    (40, http_response(b"", 503)),
    (20, http_response(b'{"code":"50113","msg":"no","data":[]}', 401)),
    (20, http_response(gzip.compress(b"x" * 5000), 200, b"Content-Encoding: gzip")),
    (20, http_response(b"x", 200, b"Content-Encoding: gzip")),
    (5, b"HTTP/9.9 what\r\n\r\n"),
    (5, None),
)
_WEIGHTS: Final = [1000 - sum(weight for weight, _ in _FAULTS), *(weight for weight, _ in _FAULTS)]
_CUT: Final = {b"", _GOOD[:30], _GOOD[:-30], b"HTTP/9.9 what\r\n\r\n"}


@attrs.frozen
class Left:
    """What there is at one moment."""

    tasks: int
    files: int
    timers: int
    blocks: int


async def run_calls(calls: int, seed: int = 1) -> tuple[Left, Left, dict[str, int]]:
    """Make a tenth of the calls, count, make all of them, and count again; also return what became of them."""
    chance = random.Random(seed)
    outcomes: dict[str, int] = {}

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            data = chance.choices([_GOOD, *(fault for _, fault in _FAULTS)], _WEIGHTS)[0]
            if data is None:
                await asyncio.sleep(2 * TIMEOUT)
                return
            writer.write(data)
            await writer.drain()
            if data in _CUT:
                return

    async with (
        serving_raw(respond) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=TIMEOUT, attempts=2) as session,
    ):
        await _make(session, max(calls // 10, 500), chance, outcomes)
        before = await _count()
        outcomes.clear()
        await _make(session, calls, chance, outcomes)
        return before, await _count(), outcomes


async def _make(session: Session, calls: int, chance: random.Random, outcomes: dict[str, int]) -> None:
    left = iter(range(calls))
    keys = [Credentials(f"key-of-user-{number:04}", "secret-of-this-user", "passphrase-of-it") for number in range(50)]

    async def call_in_turn() -> None:
        for number in left:
            call = asyncio.ensure_future(session.call(READ, keys[number % len(keys)]))
            if chance.random() < 0.02:
                await asyncio.sleep(0)
                call.cancel()
            outcome = (await asyncio.gather(call, return_exceptions=True))[0]
            name = "answered" if not isinstance(outcome, BaseException) else type(outcome).__name__
            assert isinstance(outcome, OKXError | asyncio.CancelledError) or name == "answered", outcome
            outcomes[name] = outcomes.get(name, 0) + 1

    await asyncio.gather(*(call_in_turn() for _ in range(AT_ONCE)))


async def _count() -> Left:
    # What was given up or cancelled is closed by the loop within some steps, and slots are free after a while.
    await asyncio.sleep(2 * TIMEOUT)
    gc.collect()
    loop = asyncio.get_running_loop()
    timers = sum(not handle.cancelled() for handle in getattr(loop, "_scheduled", ()))
    return Left(
        sum("serve" not in repr(task.get_coro()) for task in asyncio.all_tasks()),
        _open_files(),
        timers,
        sys.getallocatedblocks(),
    )


def _open_files() -> int:
    """Return how many files and sockets are open, where the system says."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return sum(1 for _ in Path(folder).iterdir())
    return 0


def run() -> Iterator[Line]:
    """Make the calls, and print what they left behind."""
    logging.disable(logging.WARNING)
    waited, retries.FIRST_WAIT = retries.FIRST_WAIT, 0.001  # type: ignore[misc]
    try:
        before, after, outcomes = asyncio.run(run_calls(CALLS))
    finally:
        retries.FIRST_WAIT = waited  # type: ignore[misc]
        logging.disable(logging.NOTSET)
    yield Note(f"{CALLS} calls: " + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())))
    yield Figure("endure", after.tasks - before.tasks, "tasks left", 0, digits=0)
    yield Figure("endure", max(after.files - before.files - AT_ONCE, 0), "sockets left", 0, digits=0)
    yield Figure("endure", max(after.timers - before.timers - 1, 0), "timers left", 0, digits=0)
    yield Figure(
        "endure",
        (after.blocks - before.blocks) / CALLS * 100,
        "blocks of memory left by 100 calls",
        GOAL_BLOCKS,
        f"{after.blocks - before.blocks} in all, of {after.blocks}",
    )
