"""A real server that shares limits, and event loops with a virtual clock that it goes by.

The clock stands still while a command is on its way to the server, however busy the machine is, and else jumps from
timer to timer. So what is waited for is what the limiter and the server have said, to the microsecond.
"""

import asyncio
import hashlib
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any, Final, ParamSpec, TypeVar

import pytest

from okx_sol_async.ratelimit.shared import _batching as batching
from okx_sol_async.ratelimit.shared import _outage as outage
from tests.support.virtual_time import VirtualLoop, _PollingSelector

R = TypeVar("R")
P = ParamSpec("P")

#: What the server's clock says when that of the loop says 0, in seconds.
SERVER_AHEAD: Final = 1_800_000_000.0
#: How long the clock waits for a notification before it jumps, in real seconds.
NOTIFIED_WITHIN: Final = 0.001
#: How the script asks for the time, and how it has a bucket go by itself.
_TIME: Final = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]"
_EXPIRY: Final = ", 'PX', string.format('%.0f', math.ceil((matters_until - now) / 1000))"
assert _TIME in batching.SCRIPT
assert _EXPIRY in batching.SCRIPT
#: The script, with the clock in its last argument. A bucket goes by itself all the same, by the server's own clock.
SET_BUT_FOR_EXPIRY: Final = batching.SCRIPT.replace(_TIME, "local now = tonumber(ARGV[#ARGV])\nARGV[#ARGV] = nil")
#: The same, and nothing goes by the server's own clock.
ON_A_SET_CLOCK: Final = SET_BUT_FOR_EXPIRY.replace(_EXPIRY, "")


class _AskingSelector(_PollingSelector):
    """Waits for as long as it takes while something was asked of another process, and the clock stands still."""

    asked = 0
    #: Whether the other process can answer at all. If not, the clock goes on, and what is asked runs into its timeout.
    answers = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.asked or not self.answers or timeout == 0:
            # A notification is on its way together with the answer to another command.
            if timeout != 0 and (ready := selectors.DefaultSelector.select(self, NOTIFIED_WITHIN)):
                self.clock += 1e-6
                return ready
            return super().select(timeout)
        # The least step is that of any pass.
        self.clock += 1e-6
        return selectors.DefaultSelector.select(self, None)


class SharedLoop(VirtualLoop):
    """A loop whose clock is the server's too."""

    selector = _AskingSelector
    _polling: _AskingSelector

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let the clock stand still until a response comes."""
        self._polling.asked += 1
        try:
            yield
        finally:
            self._polling.asked -= 1

    def is_answered(self, *, answers: bool) -> None:
        """Say whether the server can respond: one that is frozen cannot, one that is killed refuses and so does."""
        self._polling.answers = answers

    def hold_up(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._polling.clock += seconds


def this_loop() -> SharedLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SharedLoop)
    return loop


def run_shared(main: Coroutine[Any, Any, R], *, start: float = 1000.0) -> R:
    """Run a coroutine, and let all limiters and the server go by its loop's clock."""
    ask = batching.BatchingClient.run

    async def ask_at(link: batching.BatchingClient, bucket: str, command: tuple[float | str, ...]) -> object:
        loop = this_loop()
        with loop.asking():
            return await ask(link, bucket, (*command, round((SERVER_AHEAD + loop.time()) * 1e6)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "SCRIPT", ON_A_SET_CLOCK)
        patch.setattr(batching, "_SHA", hashlib.sha1(ON_A_SET_CLOCK.encode(), usedforsecurity=False).hexdigest())
        patch.setattr(batching.BatchingClient, "run", ask_at)
        patch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: this_loop().time()))
        with asyncio.Runner(loop_factory=lambda: SharedLoop(start)) as runner:
            return runner.run(main)


def on_a_shared_clock(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on the virtual clock of a server."""

    @wraps(test)
    def on_virtual_clock(*arguments: P.args, **settings: P.kwargs) -> None:
        run_shared(test(*arguments, **settings))

    return on_virtual_clock
