"""A watch of the emulator, which closes and is cancelled in the middle of a call."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal

import pytest

import okx_sol_async.session
from okx_sol_async import Balance, Session, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import NoResponse

#: Seconds that nothing takes, however busy the machine is.
PATIENCE = 60.0


async def test_a_watch_over_the_network(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes come through; closing in the middle of a call ends it, and leaves nothing behind."""
    # It does not end because closing gives up on it.
    monkeypatch.setattr(okx_sol_async.session, "_CLOSING_TIMEOUT", None)
    async with Session(base_url=exchange.url, timeout=PATIENCE) as session:
        seen = []
        async for found in SolStaking(exchange.credentials, session).watch(every=0.01):
            seen.append(found.amt)
            if len(seen) == 3:
                break
            exchange.user.balance = Balance("OKSOL", Decimal(len(seen)), Decimal(0), Decimal(0))
        exchange.fail_next(NoResponse())
        watch: AsyncGenerator[Balance, None] = SolStaking(exchange.credentials, session).watch(every=0.01)
        reading = asyncio.create_task(_exhaust(watch))
        await _faulted(exchange)
        await session.aclose()
        await reading

    assert [Decimal("0.01100012"), 1, 2] == seen
    # It was not asked again, as it is after a timeout.
    assert [True] == [bool(call.faults) for call in exchange.calls[3:]]
    assert 0 == exchange.count(code="50011")


async def _faulted(exchange: Emulator) -> None:
    """Wait until a call has its fault."""
    while not exchange.tally().faulted:  # noqa: ASYNC110 - there is no notification
        await asyncio.sleep(0.01)


async def _exhaust(watch: AsyncGenerator[Balance, None]) -> None:
    async for _ in watch:
        pass


@pytest.mark.parametrize("moment", ["asleep", "asking"])
async def test_a_cancelled_watch_is_cancelled(exchange: Emulator, moment: str) -> None:
    """The cancellation is not swallowed."""
    asleep = asyncio.Event()

    async def read(session: Session) -> None:
        async for _ in SolStaking(exchange.credentials, session).watch(every=PATIENCE):
            asyncio.get_running_loop().call_soon(asleep.set)

    if moment == "asking":
        exchange.fail_next(NoResponse())
    async with Session(base_url=exchange.url, timeout=PATIENCE) as session:
        reading = asyncio.create_task(read(session))
        await (asleep.wait() if moment == "asleep" else _faulted(exchange))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
