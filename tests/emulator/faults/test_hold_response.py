"""Responses that are held, so that connections are busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from okx_sol_async import LocalLimiter, Session, SolStaking, Timeout, TransportError
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import (
    Delay,
    Fault,
    HoldResponse,
    TruncateResponse,
)
from okx_sol_async.transport._http import CONNECT_TIMEOUT
from tests.support.signed_calls import (
    BALANCE_PATH,
)
from tests.support.virtual_time import run_with_sockets

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


async def until(happens: Callable[[], object]) -> None:
    while not happens():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


@asynccontextmanager
async def small_pool(exchange: Emulator) -> AsyncIterator[Session]:
    """Open a session with two connections, none of which is kept."""
    connector = aiohttp.TCPConnector(limit=2, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        Session(base_url=exchange.url, http=http, limiter=LocalLimiter()) as session,
    ):
        yield session


@pytest.mark.parametrize(
    ("fault", "reported"),
    [
        (TruncateResponse(20), "Response payload is not completed: Not enough data to satisfy content length header"),
        (TruncateResponse(30, of="head"), "Server disconnected"),
    ],
)
async def test_half_a_response_is_reported_without_objects_of_aiohttp(
    exchange: Emulator, fault: Fault, reported: str
) -> None:
    """The error leaves out what aiohttp had read, and the status that it makes up."""
    exchange.fail_next(fault)
    async with Session(base_url=exchange.url, attempts=1) as session:
        with pytest.raises(TransportError) as caught:
            await SolStaking(exchange.credentials, session).balance()

    assert caught.value.message.startswith(f"no whole response: {reported}")
    assert not set("<>=") & set(caught.value.message)


class TestHoldResponse:
    def test_a_full_pool(self) -> None:
        """A call that gets no connection within five seconds is not sent, neither then nor later."""

        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            async with Emulator() as exchange, small_pool(exchange) as session:
                staking = SolStaking(exchange.credentials, session)
                with exchange.fail_next(HoldResponse(), times=2) as held:
                    busy = [asyncio.ensure_future(staking.balance()) for _ in range(2)]
                    await until(lambda: held.hits == 2)
                    began = loop.time()
                    with pytest.raises(Timeout, match="all connections are busy"):
                        await staking.purchase("1")
                    assert loop.time() - began == pytest.approx(CONNECT_TIMEOUT, abs=0.1)
                    assert 2 == exchange.tally().received
                await asyncio.gather(*busy)
                await staking.purchase("1")
                assert 1 == len(exchange.user.orders)

        run_with_sockets(scenario())

    @pytest.mark.parametrize("way", ["stop", "with", "stop_failing"])
    async def test_each_way_to_release(self, exchange: Emulator, session: Session, way: str) -> None:
        """The response is sent when it is released, and not before; nothing is held after that."""
        held = exchange.fail_next(HoldResponse(), times=None, endpoint=BALANCE)
        call = asyncio.ensure_future(SolStaking(exchange.credentials, session).balance())
        await until(lambda: held.hits)
        # Calls that come meanwhile and are not meant are answered.
        await session.synchronize_clock(1)
        assert not call.done()
        if way == "stop":
            held.stop()
        elif way == "with":
            with held:
                pass
        else:
            exchange.stop_failing()
        await call
        await SolStaking(exchange.credentials, session).balance()

    async def test_a_stop_before_there_is_a_response(self, exchange: Emulator, session: Session) -> None:
        """It is not held at all."""
        held = exchange.fail_next(HoldResponse(), Delay(there=1.0))
        call = asyncio.ensure_future(SolStaking(exchange.credentials, session).balance())
        await until(lambda: held.hits)
        held.stop()
        assert await call

    @pytest.mark.real_clock
    async def test_an_exchange_in_another_thread(self, background_exchange: Emulator) -> None:
        """It is released from the thread of the test."""
        async with Session(base_url=background_exchange.url) as session:
            with background_exchange.fail_next(HoldResponse(), Delay(back=0.01)) as held:
                call = asyncio.ensure_future(SolStaking(background_exchange.credentials, session).balance())
                await until(lambda: held.hits)
            await call

    @pytest.mark.parametrize("who", ["the client", "the exchange"])
    async def test_leaving_while_it_is_held(self, who: str) -> None:
        """No task is left when the client or the exchange closes meanwhile."""
        async with Emulator() as exchange, Session(base_url=exchange.url) as session:
            exchange.fail_next(HoldResponse(), times=None)
            call = asyncio.ensure_future(SolStaking(exchange.credentials, session).balance())
            await until(lambda: exchange.calls)
            if who == "the client":
                call.cancel()
                await asyncio.wait([call])
                await until(lambda: len(asyncio.all_tasks()) == 1)
        await asyncio.wait([call])
        await until(lambda: len(asyncio.all_tasks()) == 1)
        exchange.stop_failing()
