"""The commands of a process to its store, also those that nothing waits for, and what is known of its outages."""

import asyncio
import gc
import weakref
from types import SimpleNamespace

import pytest

from okx_sol_async.ratelimit.shared import _outage as outage
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


def test_a_server_that_is_reached_ends_its_outage() -> None:
    """Also the one from before the cluster said which servers it has; that of another server goes on."""

    class Cluster(FakeServer):
        def node_of(self, bucket: str) -> str:
            return "one:1"

    outages = Outages("Calls fail.")
    for part in ("", "one:1", "two:1"):
        outages.begin(StoreUnavailable("it is gone", part))
    CommandRunner(Cluster(), outages).reached_node("bucket")

    assert [False, False, True] == [part in outages for part in ("", "one:1", "two:1")]


def test_when_a_part_that_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all callers that ask, by one in each second."""
    clock = SimpleNamespace(at=100.0)
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: clock.at))
    outages = Outages("Calls fail.")
    outages.begin(StoreUnavailable("it is gone", "node"))
    tried = []
    for clock.at in (100.0, 100.999, 101.0, 101.0, 101.999, 102.0):
        tried.append(outages.may_try("node"))

    assert [False, False, True, False, False, True] == tried


@pytest.mark.parametrize(("part", "where"), [("", ""), ("node:1", " at node:1")])
def test_what_is_logged_of_the_beginning_and_the_end(
    part: str, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each once, with the server of a cluster and how long it took."""
    caplog.set_level("INFO", logger="okx_sol_async")
    clock = SimpleNamespace(at=100.0)
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: clock.at))
    outages = Outages("Calls fail.")
    for clock.at in (100.0, 101.0):
        outages.begin(StoreUnavailable("it is gone", part))
    for clock.at in (103.5, 104.0):
        outages.end(part)

    assert [
        f"Shared rate limiter unreachable{where}: it is gone. Calls fail.",
        f"Shared rate limiter reachable again{where} after 3.5 s",
    ] == caplog.messages
