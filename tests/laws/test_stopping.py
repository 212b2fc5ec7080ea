"""A program that is stopped during a purchase: its write is in the log. `docs/money.md` has those that wait for the response."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from okx_sol_async import LocalLimiter, MemoryWriteLog, Session, SolStaking, SQLiteWriteLog
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay, NoResponse

pytestmark = pytest.mark.virtual_clock


async def stopped_by_a_signal(staking: SolStaking, session: Session) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.call_later(0.5, signal.raise_signal, signal.SIGTERM)
    try:
        async with session:
            await staking.purchase("1")
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def stopped_by_its_group(staking: SolStaking, session: Session) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.5)
        raise KeyError

    async with session, asyncio.TaskGroup() as tasks:
        tasks.create_task(staking.purchase("1"))
        tasks.create_task(fail())


async def stopped_by_a_timeout(staking: SolStaking, session: Session) -> None:
    async with session, asyncio.timeout(0.5):
        await staking.purchase("1")


async def stopped_with_its_service(staking: SolStaking, session: Session) -> None:
    purchases = []

    async def lifespan(_: web.Application) -> AsyncIterator[None]:
        async with session:
            purchases.append(asyncio.create_task(staking.purchase("1")))
            yield

    app = web.Application()
    app.cleanup_ctx.append(lifespan)
    runner = web.AppRunner(app)
    await runner.setup()
    await asyncio.sleep(0.5)
    await runner.cleanup()
    await purchases[0]


@pytest.mark.parametrize(
    "program", [stopped_by_a_signal, stopped_by_its_group, stopped_by_a_timeout, stopped_with_its_service]
)
async def test_a_purchase_in_flight_is_in_the_log(
    exchange: Emulator, program: Callable[[SolStaking, Session], Awaitable[None]]
) -> None:
    """However it is stopped without waiting, the next program finds it and what became of it."""
    limiter, log = LocalLimiter(), MemoryWriteLog()
    exchange.fail_next(Delay(back=2))
    session = Session(base_url=exchange.url, limiter=limiter, write_log=log)
    (ended,) = await asyncio.gather(
        asyncio.ensure_future(program(SolStaking(exchange.credentials, session), session)), return_exceptions=True
    )

    assert isinstance(ended, BaseException)
    async with Session(base_url=exchange.url, limiter=limiter, write_log=log) as later:
        staking = SolStaking(exchange.credentials, later)
        (write,) = [write async for write in staking.unresolved()]
        order = await staking.resolve(write)
    assert [order is not None and order.request_time] == [made.request_time for made in exchange.user.orders]


@pytest.mark.real_clock
async def test_a_cancelled_purchase_is_in_the_log_file(exchange: Emulator, tmp_path: Path) -> None:
    """Another log of the same file has it, as a later process has."""
    path, limiter = tmp_path / "writes.db", LocalLimiter()
    exchange.fail_next(NoResponse(processed=True))
    async with Session(base_url=exchange.url, limiter=limiter, write_log=SQLiteWriteLog(path)) as session:
        purchase = asyncio.create_task(SolStaking(exchange.credentials, session).purchase("1"))
        while not exchange.user.orders:  # noqa: ASYNC110 - the exchange reports nothing
            await asyncio.sleep(0.001)
        purchase.cancel()
        with pytest.raises(asyncio.CancelledError):
            await purchase

    async with Session(base_url=exchange.url, limiter=limiter, write_log=SQLiteWriteLog(path)) as later:
        staking = SolStaking(exchange.credentials, later)
        assert [True] == [await staking.resolve(write) is not None async for write in staking.unresolved()]
