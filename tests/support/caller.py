"""A process that calls without pause, for the tests of several machines."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import redis

from okx_sol_async import Credentials, OKXError, Session, SolStaking
from okx_sol_async.ratelimit.shared import _limiter as limiter_module
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from okx_sol_async.ratelimit.shared._slots import SharedSlots
from okx_sol_async.ratelimit.shared._store import Reservation

#: The list on the server of the slots that were used: ticket, time, and when it was used, by the server's clock in microseconds.
USED: Final = "used"
_NOTE: Final = """
local time = redis.call('TIME')
redis.call('RPUSH', KEYS[1], string.format('%s %.0f', ARGV[1], time[1] * 1000000 + time[2]))
"""
#: Nothing is given up before, however busy the machine is.
PATIENCE: Final = 60.0


class ReportingSlots(SharedSlots):
    """Reports each slot that it uses, in the moment in which it does."""

    def take(self, now: float) -> Reservation | None:
        reservation = super().take(now)
        if reservation is not None:
            report([USED], [f"{reservation.ticket} {round(reservation.server_at * 1e6)}"])
        return reservation


report: Callable[[list[str], list[str]], object]


async def main(exchange: str, server: str, api_key: str, secret_key: str, passphrase: str) -> None:
    """Call with five tasks until somebody ends the process."""
    staking_key = Credentials(api_key, secret_key, passphrase, "one user")
    global report  # noqa: PLW0603 - of the whole process
    limiter_module.SharedSlots = ReportingSlots  # type: ignore[misc]
    with redis.Redis.from_url(server) as client:
        report = client.register_script(_NOTE)
        async with (
            RedisLimiter.from_url(server, timeout=PATIENCE) as limiter,
            Session(base_url=exchange, limiter=limiter, timeout=PATIENCE) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(5):
                group.create_task(go_on(SolStaking(staking_key, session)))


async def go_on(staking: SolStaking) -> None:
    while True:
        # The exchange refuses a call that arrives in the window of another, as on a busy machine it may.
        with contextlib.suppress(OKXError):
            await staking.balance()


class SkewedLoop(asyncio.SelectorEventLoop):
    """A loop of a machine whose clock is wrong."""

    def __init__(self, skew: float) -> None:
        self.skew = skew
        super().__init__()

    def time(self) -> float:
        return super().time() + self.skew


def call_without_pause(skew: float, *where: str) -> None:
    """Call from a machine whose clocks are ``skew`` seconds ahead."""
    real = time.time
    time.time = lambda: real() + skew
    with asyncio.Runner(loop_factory=lambda: SkewedLoop(skew)) as runner:
        runner.run(main(*where))
