"""Each send in flight has a timeout of its own, also where a middleware makes two at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, web

from okx_sol_async import LocalLimiter, Session, Timeout
from okx_sol_async.transport._in_flight import AttemptTimeouts, CallsInFlight, Shutdown, TimeoutRegistry
from tests.support.scripted import CREDENTIALS, GOOD, READ
from tests.support.serving import serving
from tests.support.virtual_time import now

TIMEOUT = 2.0
Reply = Callable[[int], Awaitable[None]]


class Send:
    """Notes when its timeout is over."""

    def __init__(self) -> None:
        self.expired_at: float | None = None

    def expire(self) -> None:
        self.expired_at = now()


@pytest.mark.virtual_clock
async def test_each_send_expires_after_its_own_time() -> None:
    """One that has ended does not, and what begins after another one expires after it."""
    loop, timeouts = asyncio.get_running_loop(), AttemptTimeouts(TIMEOUT)
    began = now()
    sends = [Send() for _ in range(4)]
    for send in sends:
        timeouts.begin(send, loop, now())
        await asyncio.sleep(0.5)
    timeouts.end(sends[1])
    await asyncio.sleep(5)

    assert sends[1].expired_at is None
    for index in (0, 2, 3):
        assert sends[index].expired_at == pytest.approx(began + 0.5 * index + TIMEOUT, abs=0.01)
    assert 0 == len(timeouts)


def test_a_send_expires_when_its_time_is_over() -> None:
    """To the very moment, and the timer is set for the next one; a session that closes stops it."""

    class Clock:
        def __init__(self) -> None:
            self.now = 0.0
            self.set_for: list[float] = []
            self.cancelled = 0

        def time(self) -> float:
            return self.now

        def call_at(self, at: float, *_: object) -> "Clock":
            self.set_for.append(at)
            return self

        def cancel(self) -> None:
            self.cancelled += 1

    class Expired:
        is_expired = False

        def expire(self) -> None:
            self.is_expired = True

    clock, timeouts = Clock(), AttemptTimeouts(TIMEOUT)
    loop = cast("asyncio.AbstractEventLoop", clock)
    sends = [Expired() for _ in range(3)]
    for number, send in enumerate(sends):
        timeouts.begin(send, loop, float(number))
    clock.now = 3.0
    timeouts._on_timer(loop)

    assert [True, True, False] == [send.is_expired for send in sends]
    assert [2.0, 4.0] == clock.set_for
    timeouts.close()
    timeouts.close()
    assert 1 == clock.cancelled
    timeouts.begin(sends[0], loop, 3.0)
    assert [2.0, 4.0, 5.0] == clock.set_for


@pytest.mark.virtual_clock
@pytest.mark.parametrize(("ends", "drained"), [([], 0), ([1], 1), ([1, 3], 3), ([9], 5)])
async def test_calls_are_waited_for(ends: list[float], drained: float) -> None:
    """Until the last one has ended, for the seconds that are given; what is then still in flight is stopped."""
    calls, began = CallsInFlight(), now()

    async def work(seconds: float) -> None:
        with calls.activity():
            assert len(calls) > 0
            await asyncio.sleep(seconds)

    tasks = [asyncio.create_task(work(seconds)) for seconds in ends]
    await asyncio.sleep(0)
    assert len(ends) == len(calls)
    await calls.drain(5)

    assert drained == pytest.approx(now() - began, abs=0.01)
    calls.stop_all()
    await asyncio.gather(*tasks)
    assert 0 == len(calls)


@pytest.mark.virtual_clock
async def test_a_call_that_follows_another_is_waited_for_too() -> None:
    """Such as one that looks up what the first has left open."""
    calls, began = CallsInFlight(), now()

    async def work() -> None:
        for _ in range(3):
            with calls.activity():
                await asyncio.sleep(1)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await calls.drain(5)

    assert 3 == pytest.approx(now() - began, abs=0.01)
    await task


def test_when_a_session_drains() -> None:
    """From the begin of its closing until its calls have ended."""
    shutdown = Shutdown()
    found = [shutdown.is_draining]
    shutdown.begun.set()
    found.append(shutdown.is_draining)
    shutdown.drained.set()
    found.append(shutdown.is_draining)
    shutdown.reset()
    found.append(shutdown.is_draining)

    assert [False, True, False, False] == found


@pytest.mark.virtual_clock
async def test_sends_of_one_timeout_share_a_timer() -> None:
    """It is forgotten with the last view that has this timeout, and stopped when the session closes."""
    registry, loop = TimeoutRegistry(), asyncio.get_running_loop()
    short, long = registry.of(1.0), registry.of(2.0)
    assert registry.of(1.0) is short
    assert 2 == len(registry)
    for timeouts in (short, long):
        timeouts.begin(send := Send(), loop, now())
    registry.close()
    await asyncio.sleep(5)
    assert send.expired_at is None
    del timeouts, short
    assert 1 == len(registry)
    assert registry.of(2.0) is long


async def call(hold: Callable[[int], float], *, first_wins: bool) -> float:
    """Make a call whose middleware sends twice at once; return how long it took.

    Args:
        hold: for how many seconds the server holds each response, by the number of its request.
        first_wins: whether the middleware takes the first response, or waits for both and takes the last.

    """
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.append(request.path)
        await asyncio.sleep(hold(len(seen)))
        return web.Response(body=GOOD, content_type="application/json")

    async def hedge(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        sends = [asyncio.ensure_future(handler(request)) for _ in range(2)]
        try:
            if not first_wins:
                return (await asyncio.gather(*sends))[1]
            done, _ = await asyncio.wait(sends, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for send in sends:
                send.cancel()

    async with (
        serving(handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), middlewares=[hedge], timeout=TIMEOUT, attempts=1) as session,
    ):
        began = now()
        try:
            await session.call(READ, CREDENTIALS)
        finally:
            took = now() - began
        assert 2 == len(seen)
        return took


@pytest.mark.virtual_clock
@pytest.mark.parametrize("answered", [1, 2])
async def test_a_send_whose_twin_was_answered_keeps_its_timeout(answered: int) -> None:
    """A middleware that waits for both of two sends is not left waiting for the other one."""
    began = now()
    with pytest.raises(Timeout, match="within 2 s"):
        await call(lambda number: 0.0 if number == answered else 60.0, first_wins=False)

    assert now() - began == pytest.approx(TIMEOUT, abs=0.5)


@pytest.mark.virtual_clock
async def test_two_sends_at_once_are_both_timed() -> None:
    """If neither is answered, the call ends with the timeout of the first."""
    began = now()
    with pytest.raises(Timeout, match="within 2 s"):
        await call(lambda _: 60.0, first_wins=True)

    assert now() - began == pytest.approx(TIMEOUT, abs=0.5)


@pytest.mark.virtual_clock
@pytest.mark.parametrize("answered", [1, 2])
async def test_the_first_response_of_two_sends_is_the_result(answered: int) -> None:
    """The send that lost is ended, and its timeout with it."""
    assert await call(lambda number: 0.0 if number == answered else 60.0, first_wins=True) < TIMEOUT / 2
