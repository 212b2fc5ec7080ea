"""Closing a session ends its calls, and only what it opened."""

import asyncio
from decimal import Decimal

import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from okx_sol_async import (
    BALANCE,
    Balance,
    ConfigurationError,
    Session,
    SessionClosed,
    SolStaking,
)
from okx_sol_async.emulator import Emulator
from tests.support.limiters import InstantLimiter
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


async def test_nothing_is_sent_once_the_session_closes() -> None:
    """Not even by a middleware that takes the end of its call for a reason to send again."""

    async def stubborn(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except (asyncio.CancelledError, SessionClosed):
            return await handler(request)

    limiter = InstantLimiter()
    async with Emulator(latency=0.5) as exchange:
        session = Session(base_url=exchange.url, middlewares=[stubborn], limiter=limiter)
        task = asyncio.create_task(session.call(BALANCE, exchange.credentials))
        await asyncio.sleep(0.05)
        await session.aclose()
        with pytest.raises(SessionClosed, match="closed during"):
            await task

    assert ["acquire", "abandoned"] == limiter.events
    assert exchange.tally().received <= 1


async def test_closing_twice_at_once_waits_once() -> None:
    """Both wait for the same calls."""
    async with Emulator(latency=30) as exchange:
        session = Session(base_url=exchange.url)
        task = asyncio.create_task(session.call(BALANCE, exchange.credentials))
        await asyncio.sleep(0.05)
        began = now()
        await asyncio.gather(session.aclose(), session.aclose())

        assert now() - began < 0.9
        with pytest.raises(SessionClosed):
            await task


async def test_a_closed_session_refuses_calls(exchange: Emulator) -> None:
    """With a clear error, and closing again does nothing."""
    session = Session(base_url=exchange.url)
    await session.call(BALANCE, exchange.credentials)
    await session.aclose()
    await session.aclose()

    with pytest.raises(SessionClosed, match="this session is closed"):
        await session.call(BALANCE, exchange.credentials)

    assert "closed" in repr(session)


async def test_calls_in_flight_end_when_the_session_closes() -> None:
    """In the queue and on the wire, each with a clear error, and nothing is sent afterwards."""
    async with Emulator(latency=30) as exchange:
        session = Session(base_url=exchange.url)
        tasks = [asyncio.create_task(session.call(BALANCE, exchange.credentials)) for _ in range(9)]
        await asyncio.sleep(0.05)
        began = now()
        await session.aclose()
        ended = [task.done() for task in tasks]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert now() - began < 0.9
    assert [True] * 9 == ended
    assert [SessionClosed] * 9 == [type(outcome) for outcome in outcomes]
    assert "closed during the call" in str(outcomes[0])


async def test_a_session_closes_after_an_error(exchange: Emulator) -> None:
    """What it opened is closed, once."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it must be raised inside the session
        async with Session(base_url=exchange.url) as session:
            await session.call(BALANCE, exchange.credentials)
            http = session._connections._reads
            raise ZeroDivisionError

    assert http is not None
    assert http.closed


def test_a_session_belongs_to_one_event_loop(background_exchange: Emulator) -> None:
    """A second loop is refused by name, not by a crash inside aiohttp."""
    exchange = background_exchange
    session = Session(base_url=exchange.url)

    async def use() -> None:
        await session.call(BALANCE, exchange.credentials)

    with asyncio.Runner() as first:
        first.run(use())
        with asyncio.Runner() as second, pytest.raises(ConfigurationError, match="another event loop"):
            second.run(use())
        first.run(session.aclose())


async def test_staking_closes_only_a_session_of_its_own(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared session stays open; one that `SolStaking` made is closed with it."""
    async with Session(base_url=exchange.url) as session:
        async with SolStaking(exchange.credentials, session) as staking:
            await staking.balance()

        assert EXPECTED == await session.call(BALANCE, exchange.credentials)

    for name in ("api_key", "secret_key", "passphrase"):
        monkeypatch.setenv(f"OKX_{name.upper()}", getattr(exchange.credentials, name))
    monkeypatch.setenv("OKX_BASE_URL", exchange.url)
    async with SolStaking.from_env() as staking:
        assert EXPECTED == await staking.balance()

    with pytest.raises(SessionClosed, match="closed"):
        await staking.balance()
