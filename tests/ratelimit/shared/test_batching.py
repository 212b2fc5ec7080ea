"""Commands that are sent to the server together."""

import asyncio

import redis.asyncio

from okx_sol_async.ratelimit.shared._batching import BatchingClient
from tests.support.valkey import Valkey


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
