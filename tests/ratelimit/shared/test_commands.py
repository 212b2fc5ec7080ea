"""The commands of a process to its store, also those that nothing waits for."""

import asyncio
import gc
import weakref

import pytest

from okx_sol_async.ratelimit.shared._commands import CommandRunner
from okx_sol_async.ratelimit.shared._outage import Outages, StoreUnavailable
from tests.support.fake_server import FakeServer

pytestmark = pytest.mark.virtual_clock


async def test_a_command_whose_reply_does_not_matter() -> None:
    """It goes on although nothing waits for it, and its failure is an outage but nothing more."""
    waiters: list[weakref.ref[asyncio.Future[None]]] = []

    class Server(FakeServer):
        async def run(self, bucket: str, command: tuple[float | str, ...]) -> object:
            waiter = asyncio.get_running_loop().create_future()
            waiters.append(weakref.ref(waiter))
            await waiter
            reason = "it is gone"
            raise StoreUnavailable(reason)

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    outages = Outages("Calls fail.")
    runner = CommandRunner(Server(), outages)
    runner.send("bucket", "settle")
    await asyncio.sleep(1)
    gc.collect()
    waiter = waiters[0]()
    assert waiter is not None
    waiter.set_result(None)
    await asyncio.sleep(1)
    del waiter
    gc.collect()

    assert "" in outages
    assert [] == reported
    assert set() == runner._tasks


async def test_a_command_whose_reply_does_not_matter_may_be_cancelled() -> None:
    """As at the end of a loop: nothing is raised."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    runner = CommandRunner(FakeServer(takes=5), Outages("Calls fail."))
    runner.send("bucket", "settle")
    (task,) = runner._tasks
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)

    assert ([], set()) == (reported, runner._tasks)
