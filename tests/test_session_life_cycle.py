"""However a call ends, nothing of it is left, and the next one works."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import pytest

from okx_sol_async import (
    BALANCE,
    PURCHASE,
    Credentials,
    LocalLimiter,
    OKXError,
    OutcomeUnknown,
    Session,
    SessionClosed,
    Timeout,
    TokenBucket,
    TransportError,
)
from okx_sol_async.transport import _recovery as recovery
from okx_sol_async.transport import _resend as resend
from okx_sol_async.transport._http import CONNECT_TIMEOUT
from tests.support.serving import http_response, request_of, serving_raw
from tests.support.virtual_time import VirtualSocketLoop, run_with_sockets

pytestmark = pytest.mark.virtual_clock

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")
ROW = {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "0", "totalInterestAccrual": "0"}
GOOD = http_response(json.dumps({"code": "0", "msg": "", "data": [ROW]}).encode())
TIME = http_response(b'{"code":"0","msg":"","data":[{"ts":"1597026383085"}]}')
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


def coded(code: str, status: int = 200) -> bytes:
    return http_response(json.dumps({"code": code, "msg": "no", "data": []}).encode(), status)


HANG = b"hang"
CUT = GOOD[: len(GOOD) // 2]


class Exchange:
    """A server that gives each response once, and then good ones; it notes what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.signed_at: list[str] = []
        self.came_at: list[float] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request_of(reader)
            self.asked += 1
            self.came_at.append(asyncio.get_running_loop().time())
            answer = GOOD
            if b"/public/time" in head:
                answer = TIME
            elif self.answers:
                answer = self.answers.pop(0)
            if answer is HANG:
                await asyncio.sleep(60)
            # In two pieces, so that there is a moment between head and body.
            writer.write(answer[:60])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(answer[60:])
            await writer.drain()
            if answer is CUT:
                return


@asynccontextmanager
async def session_of(
    exchange: Exchange,
    timeout: float = 10.0,  # noqa: ASYNC109 - the session's
    attempts: int = 3,
) -> AsyncIterator[Session]:
    async with (
        serving_raw(exchange) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=timeout, attempts=attempts) as session,
    ):
        yield session


def acquired(session: Session) -> int:
    assert session._connections._reads is not None
    assert session._connections._reads.connector is not None
    return len(session._connections._reads.connector._acquired)


def free(session: Session) -> int:
    bucket = session.bucket(BALANCE, CREDENTIALS)
    assert isinstance(bucket, TokenBucket)
    return bucket.free


async def nothing_is_left(session: Session, tasks: set[asyncio.Task[object]]) -> None:
    """See that no task, connection, lease, waiter or timer of a call is left, and that the next call works."""
    bucket = session.bucket(BALANCE, CREDENTIALS)
    assert isinstance(bucket, TokenBucket)
    assert (0, None) == (bucket.state.window.in_flight, bucket.state.queue)
    assert not len(session._state.in_flight)
    assert not session._options.timeouts._due
    assert not session._state.clock._asking.locked()
    if session._connections._reads is not None:
        assert 0 == acquired(session)
    await asyncio.sleep(0.05)
    mine = {task for task in asyncio.all_tasks() if "serve" not in repr(task.get_coro())}
    assert tasks == mine
    # By now every slot is free again, and no refusal asks for a pause.
    await asyncio.sleep(100)
    assert 6 == free(session)
    assert Decimal(1) == (await session.call(BALANCE, CREDENTIALS)).amt
    assert 5 == free(session)


STORIES: dict[str, tuple[tuple[bytes, ...], int]] = {
    "a plain call": ((), 0),
    "a wait in the queue": ((), 6),
    "a refusal": ((coded("50011", 429),), 4),
    "two retries": ((coded("50001", 503), CUT), 0),
    "a wrong clock": ((coded("50102", 401),), 0),
    "a long answer": ((HANG,), 0),
}


@pytest.fixture(autouse=True)
def _longest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.random, "uniform", lambda low, high: high)


async def steps(number: int) -> None:
    """Let the loop go on by a number of steps."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualSocketLoop)
    await loop.step(number)


async def end_at_step(story: str, end: Callable[[Session, asyncio.Task[object]], Awaitable[None]], step: int) -> bool:
    """Begin a call, end it after a number of steps, see that nothing is left, and return whether it was still in flight."""
    answers, before = STORIES[story]
    exchange = Exchange(*[GOOD] * before, *answers)
    async with session_of(exchange, timeout=2.0) as session:
        for _ in range(before):
            await session.call(BALANCE, CREDENTIALS)
        tasks = {task for task in asyncio.all_tasks() if "serve" not in repr(task.get_coro())}
        call: asyncio.Task[object] = asyncio.ensure_future(session.call(BALANCE, CREDENTIALS))
        await steps(step)
        under_way = not call.done()
        await end(session, call)
        exchange.answers.clear()
        if not session.closed:
            await nothing_is_left(session, tasks)
        else:
            await asyncio.sleep(0.05)
            assert tasks == {task for task in asyncio.all_tasks() if "serve" not in repr(task.get_coro())}
    return under_way


async def cancel(session: Session, call: asyncio.Task[object]) -> None:
    done = call.done()
    call.cancel()
    await asyncio.wait([call])
    assert done is not call.cancelled()


async def close(session: Session, call: asyncio.Task[object]) -> None:
    done = call.done()
    await session.aclose()
    assert call.done()
    if not done:
        with pytest.raises(SessionClosed, match="closed during"):
            await call


async def cancel_and_close(session: Session, call: asyncio.Task[object]) -> None:
    done = call.done()
    closing = asyncio.ensure_future(session.aclose())
    await steps(1)
    call.cancel()
    await asyncio.wait([closing, call])
    assert done or call.cancelled() or isinstance(call.exception(), SessionClosed)
    assert closing.exception() is None


async def close_and_give_up(session: Session, call: asyncio.Task[object]) -> None:
    """Cancel the closing itself, too."""
    closing = asyncio.ensure_future(session.aclose())
    await steps(1)
    closing.cancel()
    await asyncio.wait([closing, call])
    assert call.exception() is None or isinstance(call.exception(), SessionClosed)
    assert session._connections._reads is None


async def run_out_of_time(session: Session, call: asyncio.Task[object]) -> None:
    for due in list(session._options.timeouts._due):
        due.expire()
    with suppress(OKXError):
        await call


ENDS = {
    function.__name__: function for function in (cancel, close, cancel_and_close, close_and_give_up, run_out_of_time)
}


@pytest.mark.parametrize(
    ("story", "end"),
    [
        *((story, "cancel") for story in STORIES),
        *((story, "close") for story in STORIES if story != "a refusal"),
        ("two retries", "cancel_and_close"),
        ("a wrong clock", "close_and_give_up"),
        ("a plain call", "run_out_of_time"),
        ("two retries", "run_out_of_time"),
    ],
)
def test_a_call_can_end_at_any_step(story: str, end: str) -> None:
    """It is ended at the first step of its loop, at the second, and so on until it has ended by itself."""

    async def scenario() -> int:
        complaints: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        # The pace after a refusal takes many steps.
        step, stride = 0, 5 if story == "a refusal" else 1
        while await end_at_step(story, ENDS[end], step):
            step += stride
        assert [] == complaints
        return step

    assert run_with_sockets(scenario()) >= 10


# What the network does.


async def test_our_own_timeout_and_the_callers_fire_in_each_phase() -> None:
    """In the queue, before the head, and in the body; each ends the call by its own name."""
    for answers, before in (((HANG,), 0), ((), 6), ((coded("50001", 503),), 0)):
        exchange = Exchange(*[GOOD] * before, *answers)
        async with session_of(exchange, timeout=0.1 if HANG in answers else 10, attempts=2) as session:
            for _ in range(before):
                await session.call(BALANCE, CREDENTIALS)
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await session.call(BALANCE, CREDENTIALS)
            assert not isinstance(caught.value, OKXError)
            assert 0 == acquired(session)
            assert "0 calls in flight" in repr(session)


def test_nothing_older_than_five_seconds_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all connections busy, a call that was signed does not wait for one for longer, and is not sent then."""
    monkeypatch.setattr("okx_sol_async.transport._http.MAX_CONNECTIONS", 2)
    exchange = Exchange(HANG, HANG)
    other = Credentials("another-key", "another-secret", "another-passphrase")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with session_of(exchange, timeout=100.0, attempts=1) as session:
            busy = [asyncio.ensure_future(session.call(BALANCE, CREDENTIALS)) for _ in range(2)]
            await asyncio.sleep(0.1)
            began = loop.time()
            with pytest.raises(Timeout, match="all connections are busy"):
                await session.call(BALANCE, other)
            assert loop.time() - began == pytest.approx(CONNECT_TIMEOUT, abs=0.1)
            asked = exchange.asked
            await asyncio.gather(*busy, return_exceptions=True)
            assert asked == exchange.asked == 2

    run_with_sockets(scenario())


def test_a_write_that_is_ended_says_whether_it_left() -> None:
    """Closed after each number of steps: only a write that left, or was about to, is one whose outcome is unknown."""
    seen = set()

    async def scenario(step: int) -> bool:
        exchange = Exchange(HANG)
        async with session_of(exchange) as session:
            call = asyncio.ensure_future(session.call(PURCHASE, CREDENTIALS, {"amt": "1"}))
            await steps(step)
            await session.aclose()
            with pytest.raises(OKXError) as caught:
                await call
            # What has left arrives.
            await asyncio.sleep(1)
            seen.add((type(caught.value), exchange.asked))
            return exchange.asked == 0

    step = 0
    while run_with_sockets(scenario(step)):
        step += 1

    assert {(SessionClosed, 0), (OutcomeUnknown, 1)} == seen


@pytest.mark.parametrize("end", ["close", "timeout"])
async def test_a_write_that_is_ended_while_it_looks_for_the_host(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was no connection yet, so nothing has left, and the error says so."""
    looking = asyncio.Event()

    async def look(*_: object, **__: object) -> None:
        looking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look)
    async with Session(
        base_url="https://okx.invalid", limiter=LocalLimiter(), timeout=0.1 if end == "timeout" else 10
    ) as session:
        call = asyncio.ensure_future(session.call(PURCHASE, CREDENTIALS, {"amt": "1"}))
        await looking.wait()
        if end == "close":
            await session.aclose()
        with pytest.raises(SessionClosed if end == "close" else Timeout):
            await call


async def test_a_server_that_accepts_and_never_responds() -> None:
    """Neither does one whose queue of connections is never served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Session(base_url=url, limiter=LocalLimiter(), timeout=0.1, attempts=1) as session:
            with pytest.raises(Timeout):
                await session.call(BALANCE, CREDENTIALS)
            assert 0 == acquired(session)


async def test_a_host_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the host."""

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.0)
    async with Session(base_url="https://okx.invalid", limiter=LocalLimiter(), attempts=2) as session:
        with pytest.raises(TransportError, match=r"okx\.invalid") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert 2 == caught.value.attempts


async def test_closing_ends_many_calls_in_every_phase() -> None:
    """In the queue, on the wire, in the body and between two attempts: each ends, and closing waits for all."""
    exchange = Exchange(GOOD, HANG, CUT, coded("50001", 503), coded("50011", 429))
    async with session_of(exchange) as session:
        calls = [asyncio.ensure_future(session.call(BALANCE, CREDENTIALS)) for _ in range(12)]
        await asyncio.sleep(0.1)
        await session.aclose()
        assert all(call.done() for call in calls)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [] == [
        outcome for outcome in outcomes if isinstance(outcome, Exception) and not isinstance(outcome, OKXError)
    ]
    assert sum(isinstance(outcome, SessionClosed) for outcome in outcomes) >= 7


async def test_an_address_of_ip_version_6() -> None:
    """It works as any other."""
    async with (
        serving_raw(Exchange(), host="::1") as url,
        Session(base_url=url, limiter=LocalLimiter()) as session,
    ):
        assert Decimal(1) == (await session.call(BALANCE, CREDENTIALS)).amt
