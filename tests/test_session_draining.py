"""`Session.aclose(drain=...)`: calls in flight may end, writes can be resolved, and everything is closed once."""

import asyncio
from pathlib import Path

import pytest

from okx_sol_async import (
    ConfigurationError,
    LocalLimiter,
    MemoryWriteLog,
    OutcomeUnknown,
    Session,
    SessionClosed,
    SolStaking,
    SQLiteWriteLog,
    WriteOutcome,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay, Reset
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

PURCHASE = "POST /api/v5/finance/staking-defi/sol/purchase"


@pytest.fixture(name="log")
def _log() -> MemoryWriteLog:
    """Return the log of `open_session`, and of what comes after it."""
    return MemoryWriteLog()


@pytest.fixture(name="open_session")
def _open_session(exchange: Emulator, log: MemoryWriteLog) -> Session:
    """Make a session that the test closes."""
    return Session(base_url=exchange.url, limiter=LocalLimiter(), write_log=log)


async def test_calls_in_flight_may_end(exchange: Emulator, open_session: Session) -> None:
    """And new ones are refused meanwhile."""
    staking = SolStaking(exchange.credentials, open_session)
    exchange.fail_next(Delay(back=2), times=2)
    calls = [asyncio.create_task(call) for call in (staking.balance(), staking.purchase("1"))]
    await asyncio.sleep(0.5)
    began = now()
    closing = asyncio.create_task(open_session.aclose(drain=5))
    await asyncio.sleep(0.1)
    assert open_session.closed
    with pytest.raises(SessionClosed):
        await staking.balance()
    await closing

    assert 1 < now() - began < 2.5
    assert all(call.done() and call.exception() is None for call in calls)


async def test_the_rest_end_when_the_time_is_over(
    exchange: Emulator, open_session: Session, log: MemoryWriteLog
) -> None:
    """A read with `SessionClosed`, which says whether it had left; a write with `OutcomeUnknown`, which is in the log."""
    staking = SolStaking(exchange.credentials, open_session)
    exchange.fail_next(Delay(back=9), times=2)
    read, write = asyncio.create_task(staking.balance()), asyncio.create_task(staking.purchase("1"))
    await asyncio.sleep(0.5)
    queued = [asyncio.create_task(staking.redeem("0.001")) for _ in range(1)]
    began = now()
    await open_session.aclose(drain=2)

    assert now() - began == pytest.approx(2, abs=0.2)
    with pytest.raises(SessionClosed) as closed:
        await read
    assert closed.value.sent
    with pytest.raises(OutcomeUnknown) as unknown:
        await write
    await asyncio.gather(*queued, return_exceptions=True)
    assert unknown.value.write is not None
    assert WriteOutcome.UNKNOWN in {one.outcome for one in log._writes.values()}
    async with Session(base_url=exchange.url, write_log=log) as later:
        assert await SolStaking(exchange.credentials, later).resolve(unknown.value.write) is not None


async def test_a_write_is_resolved_while_the_session_drains(exchange: Emulator, open_session: Session) -> None:
    """The drain waits for it, from the end of the write on."""
    staking = SolStaking(exchange.credentials, open_session)
    exchange.fail_next(Delay(there=1), Reset(processed=True), endpoint=PURCHASE)

    async def purchase() -> bool:
        try:
            await staking.purchase("1")
        except OutcomeUnknown as error:
            return await error.resolve() is not None
        return False

    task = asyncio.create_task(purchase())
    await asyncio.sleep(0.5)
    await open_session.aclose(drain=30)

    assert task.done()
    assert await task


async def test_a_write_that_is_still_looked_up_when_the_time_is_over_ends(
    exchange: Emulator, open_session: Session
) -> None:
    """At once, also between two reads."""
    staking = SolStaking(exchange.credentials, open_session)
    exchange.fail_next(Reset(processed=False), endpoint=PURCHASE)
    with pytest.raises(OutcomeUnknown) as caught:
        await staking.purchase("1")
    task = asyncio.create_task(caught.value.resolve())
    await asyncio.sleep(9)
    began = now()
    await open_session.aclose(drain=1)

    assert now() - began < 1.2
    with pytest.raises(SessionClosed):
        await task


async def test_closing_again_waits_for_the_first_time(exchange: Emulator, open_session: Session) -> None:
    """At the same time, and with another drain; afterwards it does nothing."""
    exchange.fail_next(Delay(back=2))
    call = asyncio.create_task(SolStaking(exchange.credentials, open_session).balance())
    await asyncio.sleep(0.5)
    first = asyncio.create_task(open_session.aclose(drain=5))
    await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        group.create_task(open_session.aclose())
        group.create_task(open_session.aclose(drain=1))

    assert call.done()
    await asyncio.sleep(0)
    assert first.done()
    await open_session.aclose()


async def test_a_drain_that_is_cancelled_closes_at_once(exchange: Emulator, open_session: Session) -> None:
    """What is in flight ends, and nothing is left open."""
    exchange.fail_next(Delay(back=9))
    call = asyncio.create_task(SolStaking(exchange.credentials, open_session).balance())
    await asyncio.sleep(0.5)
    closing = asyncio.create_task(open_session.aclose(drain=30))
    await asyncio.sleep(0.5)
    closing.cancel()
    began = now()
    await asyncio.gather(closing, return_exceptions=True)
    await asyncio.gather(call, return_exceptions=True)

    assert now() - began < 1.5
    assert closing.cancelled()
    assert isinstance(call.exception(), SessionClosed)
    await open_session.aclose()


@pytest.mark.parametrize("drain", [-1, float("inf"), "5", None])
async def test_the_drain_is_a_number_of_seconds(open_session: Session, drain: object) -> None:
    """Anything else is reported, and closes nothing."""
    with pytest.raises(ConfigurationError) as caught:
        await open_session.aclose(drain)  # type: ignore[arg-type]

    assert "drain" == caught.value.argument
    assert not open_session.closed


@pytest.mark.real_clock
async def test_the_outcome_is_in_the_file_when_the_session_is_closed(exchange: Emulator, tmp_path: Path) -> None:
    """The drain waits for the log too."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    session = Session(base_url=exchange.url, limiter=LocalLimiter(), write_log=log)
    exchange.fail_next(Delay(back=0.2))
    task = asyncio.create_task(SolStaking(exchange.credentials, session).purchase("1"))
    await asyncio.sleep(0.1)
    await session.aclose(drain=5)

    writes = await log.read(exchange.credentials.owner, exchange.url, demo=False)
    assert [WriteOutcome.TAKEN] == [write.outcome for write in writes]
    await task
