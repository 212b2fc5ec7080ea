"""A process that forks one child for each line of its input, which makes one purchase and is killed on the way."""

import asyncio
import os
import signal
import sys
from typing import Final

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from okx_sol_async import Credentials, LocalLimiter, Session, SolStaking, SQLiteWriteLog, Write, WriteOutcome

#: Where a child kills itself. At ``"sent"`` and ``"never"`` it does not.
STAGES: Final = ("before the log", "before the first byte", "sent", "after the response", "before settling", "settled")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FatalLog(SQLiteWriteLog):
    """Kills the process before or after it keeps a write."""

    def __init__(self, path: str, stage: str) -> None:
        super().__init__(path)
        self.stage = stage

    async def put(self, write: Write) -> None:
        before, after = {
            WriteOutcome.SENT: ("before the log", "before the first byte"),
            WriteOutcome.TAKEN: ("before settling", "settled"),
        }[write.outcome]
        if self.stage == before:
            die()
        await super().put(write)
        if self.stage == after:
            die()


async def purchase(url: str, path: str, stage: str, *key: str) -> None:
    async def fatal_middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        if stage == "after the response":
            die()
        return response

    session = Session(
        base_url=url, middlewares=[fatal_middleware], limiter=LocalLimiter(), write_log=FatalLog(path, stage)
    )
    async with session:
        await SolStaking(Credentials(*key), session).purchase("1.5")


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            asyncio.run(purchase(*line.strip().split("\t")))
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the reader kills it
        os.waitpid(child, 0)
        print("ended", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
