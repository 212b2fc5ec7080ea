"""Event loops in threads of their own, and bursts of calls from them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from okx_sol_async import (
    BALANCE,
    BucketKey,
    Credentials,
    LocalLimiter,
    Session,
    SolStaking,
    TokenBucket,
)
from tests.support.virtual_time import VirtualLoop

R = TypeVar("R")


KEY = BucketKey("https://openapi.okx.com", demo=False, owner="a", method="GET", path="/api/v5/x")


#: Seconds after which a test gives up on a thread or a process. Nothing takes so long, however busy the machine is.
PATIENCE = 60.0


async def burst(url: str, credentials: Credentials, calls: int, limiter: LocalLimiter | None = None) -> float:
    """Make a number of calls at once with a session of its own, and return the wait of their bucket, in seconds.

    The emulator refuses a call that comes too soon, so no clock is needed to see that they waited.
    """
    async with Session(base_url=url, limiter=limiter, timeout=PATIENCE) as session:
        staking = SolStaking(credentials, session)
        bucket = session.bucket(BALANCE, credentials)
        assert isinstance(bucket, TokenBucket)
        answers = asyncio.gather(*(staking.balance() for _ in range(calls)))
        waits = bucket.wait
        await answers
    return waits


def in_threads(*mains: Callable[[], Coroutine[object, object, R]]) -> list[R | BaseException]:
    """Run each in an event loop and thread of its own, all at once, and return what they return or raise."""
    outcomes: dict[int, R | BaseException] = {}

    def run(number: int, main: Callable[[], Coroutine[object, object, R]]) -> None:
        try:
            outcomes[number] = asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - it is looked at in the test
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number, main)) for number, main in enumerate(mains)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    return [outcomes[number] for number in range(len(mains))]


class LoopWithBarrier(VirtualLoop):
    """A closed loop; two threads that check whether it is do so at the same moment, if they can."""

    barrier: threading.Barrier | None = None

    def is_closed(self) -> bool:
        if self.barrier is not None:
            # It breaks if only one of them gets here.
            with suppress(threading.BrokenBarrierError):
                self.barrier.wait(0.3)
        return super().is_closed()
