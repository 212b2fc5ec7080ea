"""One send: its place in the queue, its timeout, its cancellation, its lease."""

import asyncio
import contextlib
import copy
import gc
from decimal import Decimal

import pytest
from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse, web

from okx_sol_async import (
    BALANCE,
    Balance,
    Bucket,
    BucketKey,
    CallReport,
    Lease,
    OKXError,
    QueueTimeout,
    RateLimit,
    Session,
    Timeout,
    TransportError,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport import _budget as retries
from okx_sol_async.transport._attempt import Attempt
from okx_sol_async.transport._call import Call
from tests.support.limiters import InstantLimiter, SlowLimiter
from tests.support.scripted import CREDENTIALS, READ, Script, coded, good, reset, session_of
from tests.support.serving import serving
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


async def test_max_wait_counts_the_queue_only() -> None:
    """A call that would wait too long fails at once; those on the wire have all their time."""
    async with (
        Emulator(latency=0.2) as exchange,
        Session(base_url=exchange.url, max_wait=0.1) as session,
    ):
        calls = [session.call(BALANCE, exchange.credentials) for _ in range(8)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [EXPECTED] * 6 == outcomes[:6]
    assert [QueueTimeout, QueueTimeout] == [type(outcome) for outcome in outcomes[6:]]
    assert "max_wait" in str(outcomes[6])
    assert 6 == exchange.tally().received


async def test_who_gives_up_in_the_queue_has_waited_too() -> None:
    """The error, the report and the counters have the time that a call waited in vain."""
    reports: list[CallReport] = []
    async with Session(limiter=SlowLimiter(), max_wait=0.05, observe=reports.append) as session:
        with pytest.raises(Timeout) as caught:
            await session.call(BALANCE, CREDENTIALS)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.call(BALANCE, CREDENTIALS), 0.03)
        counters = session.counters

    assert 0.04 < (caught.value.waited or 0.0)
    assert [True, True] == [report.waited > 0.02 for report in reports]
    assert 2 == counters.waits


class Queue:
    """A limiter, bucket and lease whose calls wait for 0.3 s, which keeps for how long each might have waited."""

    def __init__(self) -> None:
        self.patience: list[float] = []
        self.again: Queue | None = None

    def bucket(self, key: BucketKey, limit: RateLimit) -> Bucket:
        return self

    async def acquire(self, deadline: float | None) -> Lease:
        assert deadline is not None
        self.patience.append(round(deadline - now(), 3))
        await asyncio.sleep(0.3)
        return self

    def answered(self) -> Bucket | None:
        return self.again

    abandoned = refused = answered


@pytest.mark.parametrize("code", ["50011", "50001"])
async def test_max_wait_is_for_all_sends_of_a_call(code: str) -> None:
    """What it has waited already is gone, and the next lease comes from where the last one said."""
    first, again = Queue(), Queue()
    first.again = again
    script = Script(coded(code), coded(code), good)
    async with serving(script.handle) as url, Session(base_url=url, limiter=first, max_wait=0.5) as session:
        response = await session.request(READ, CREDENTIALS)

    assert ([0.5], [0.2, 0.0]) == (first.patience, again.patience)
    assert 0.9 == pytest.approx(response.waited, abs=0.01)


async def test_the_time_on_the_network_is_that_of_all_sends() -> None:
    """And no more: the wait of a middleware between two of them is none of it, and ends in no timeout."""

    async def later(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except ClientError:
            await asyncio.sleep(3)
            return await handler(request)

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return await (reset if len(script.timestamps) == 1 else good)(request)

    script = Script(slowly)
    async with session_of(script, middlewares=[later]) as session:
        response = await session.request(READ, CREDENTIALS)

    assert 0.4 == pytest.approx(response.took, abs=0.05)


async def test_timeout_counts_the_wire_only() -> None:
    """A call may stand in the queue for longer than it may be on the wire."""
    async with Emulator() as exchange, Session(base_url=exchange.url, timeout=0.5) as session:
        outcomes = await asyncio.gather(*(session.call(BALANCE, exchange.credentials) for _ in range(13)))

    assert [EXPECTED] * 13 == outcomes


async def test_a_server_that_never_responds() -> None:
    """The attempt ends after ``timeout``, with the time in the error, and its task is not left cancelled."""
    async with Emulator(latency=30) as exchange, Session(base_url=exchange.url, timeout=0.1, attempts=1) as session:
        began = now()
        outcomes = await asyncio.gather(
            *(session.call(BALANCE, exchange.credentials) for _ in range(3)), return_exceptions=True
        )

        assert 0.09 < now() - began < 2
        assert [Timeout] * 3 == [type(outcome) for outcome in outcomes]
        assert "0.1 s" in str(outcomes[0])
        task = asyncio.current_task()
        assert task is not None
        assert 0 == task.cancelling()


async def test_a_timeout_of_the_callers_own_passes_through() -> None:
    """`asyncio.timeout` around a call ends it as it ends anything."""
    async with Emulator(latency=30) as exchange, Session(base_url=exchange.url) as session:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await session.call(BALANCE, exchange.credentials)

    assert not isinstance(caught.value, OKXError)


async def test_cancellation_passes_through_untouched() -> None:
    """A cancelled call is cancelled, in the queue and in flight."""
    async with Emulator(latency=30) as exchange, Session(base_url=exchange.url) as session:
        tasks = [asyncio.create_task(session.call(BALANCE, exchange.credentials)) for _ in range(8)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

        assert [True] * 8 == [task.cancelled() for task in tasks]
        assert "0 calls in flight" in repr(session)


@pytest.mark.usefixtures("clocks_of_the_loop")
async def test_aiohttps_hidden_resend_takes_a_lease_and_a_fresh_signature() -> None:
    """A GET on a dead keep-alive connection is sent twice, so it is limited and signed twice."""
    seen: list[str] = []
    answered = b'{"code":"0","data":[],"msg":""}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        # Each connection answers once, and dies when it is used again.
        for number in range(2):
            with contextlib.suppress(asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(head.decode().split("OK-ACCESS-SIGN: ")[1].split("\r\n")[0])
                if number == 0:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answered), answered))
                await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()

    connections: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    limiter = InstantLimiter()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Session(base_url=url, limiter=limiter) as session:
        await session.call(BALANCE, CREDENTIALS)
        await asyncio.sleep(0.02)
        await session.call(BALANCE, CREDENTIALS)
        # A connection that had carried a response was dead, which is no outage.
        assert retries.RESERVE == session._state.budget.left
    await asyncio.gather(*filter(None, connections))

    assert ["acquire", "answered", "acquire", "abandoned", "acquire", "answered"] == limiter.events
    assert 3 == len(seen) == len(set(seen))


async def test_a_response_that_is_cut_off_is_a_transport_error() -> None:
    """Half a response is a `TransportError`, and its slot is counted from its head."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"code":"0"')
        assert request.transport is not None
        request.transport.abort()
        return response

    limiter = InstantLimiter()
    async with serving(cut) as url, Session(base_url=url, limiter=limiter) as session:
        with pytest.raises(TransportError):
            await session.call(BALANCE, CREDENTIALS)

    assert "answered" == limiter.events[-1]


async def test_a_call_is_freed_when_it_has_ended() -> None:
    """It is part of no cycle, which only the garbage collector could free."""
    async with Emulator() as exchange, Session(base_url=exchange.url) as session:
        gc.collect()
        # Errors that other tests have kept may hold calls.
        there = [each for each in gc.get_objects() if isinstance(each, Call | Attempt)]
        gc.disable()
        try:
            await session.call(BALANCE, exchange.credentials)
            left = [each for each in gc.get_objects() if isinstance(each, Call | Attempt)]
        finally:
            gc.enable()

    assert len(there) == len(left)


async def test_a_call_is_not_copied() -> None:
    """Mocks of aiohttp keep a deep copy of each request, which has the call as its context."""
    async with Session() as session:
        call = session.new_call(BALANCE, CREDENTIALS, None)

        assert copy.deepcopy({"trace_request_ctx": call})["trace_request_ctx"] is call
