"""A process that calls without pause, for the tests of several machines."""

import asyncio
import time

from okx_sol_async import Credentials, Session, SolStaking
from okx_sol_async.redis import RedisLimiter


async def main(exchange: str, redis: str, api_key: str, secret_key: str, passphrase: str) -> None:
    """Call with five tasks until somebody ends the process."""
    staking_key = Credentials(api_key, secret_key, passphrase, "one user")
    async with (
        RedisLimiter.from_url(redis, timeout=5) as limiter,
        Session(base_url=exchange, limiter=limiter) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(5):
            group.create_task(go_on(SolStaking(staking_key, session)))


async def go_on(staking: SolStaking) -> None:
    while True:
        await staking.balance()


class SkewedLoop(asyncio.SelectorEventLoop):
    """A loop of a machine whose clock is wrong."""

    def __init__(self, skew: float) -> None:
        self.skew = skew
        super().__init__()

    def time(self) -> float:
        return super().time() + self.skew


def call_without_pause(skew: float, *where: str) -> None:
    """Call from a machine whose clocks are so many seconds ahead."""
    real = time.time
    time.time = lambda: real() + skew
    with asyncio.Runner(loop_factory=lambda: SkewedLoop(skew)) as runner:
        runner.run(main(*where))
