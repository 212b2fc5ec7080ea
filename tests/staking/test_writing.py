"""A purchase or redemption is in the log before its first byte leaves, and what is said of it is true."""

import asyncio
import copy
import gc
import json
import pickle
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from okx_sol_async import (
    ConfigurationError,
    Credentials,
    LocalLimiter,
    MemoryWriteLog,
    OrderType,
    OutcomeUnknown,
    QueueTimeout,
    Rejected,
    Session,
    SessionClosed,
    SolStaking,
    SQLiteWriteLog,
    Write,
    WriteLog,
    WriteOutcome,
    to_json,
)
from okx_sol_async.emulator import EmulatedUser, Emulator
from okx_sol_async.emulator.faults import Delay, NoResponse, Refusal, Reset
from okx_sol_async.staking._writing import AccountLog, _unfinished

pytestmark = pytest.mark.virtual_clock

PURCHASE = "POST /api/v5/finance/staking-defi/sol/purchase"


@pytest.fixture(name="log")
def _log() -> MemoryWriteLog:
    return MemoryWriteLog()


def session_of(exchange: Emulator, log: WriteLog, **settings: object) -> Session:
    return Session(base_url=exchange.url, limiter=LocalLimiter(), write_log=log, **settings)  # type: ignore[arg-type]


async def logged(log: WriteLog, user: EmulatedUser, exchange: Emulator) -> Sequence[Write]:
    return await log.read(user.credentials.owner, exchange.url, demo=False)


async def opened(staking: SolStaking) -> list[Write]:
    return [write async for write in staking.unresolved()]


async def lost(staking: SolStaking, exchange: Emulator, *, processed: bool, amt: str = "1") -> OutcomeUnknown:
    """Make a purchase whose response is lost."""
    exchange.fail_next(Reset(processed=processed), endpoint=PURCHASE)
    with pytest.raises(OutcomeUnknown) as caught:
        await staking.purchase(amt)
    return caught.value


async def test_a_receipt_says_what_was_accepted_and_finds_its_order(exchange: Emulator, log: MemoryWriteLog) -> None:
    """With its trace id and the time of its signature; of two equal ones each finds its own."""
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        began = datetime.now(UTC)
        receipts = [await staking.purchase("1"), await staking.purchase("1"), await staking.redeem("0.01")]
        found = [await receipt.order() for receipt in receipts]

    assert [(OrderType.PURCHASE, Decimal(1))] * 2 == [(receipt.type, receipt.amt) for receipt in receipts[:2]]
    assert [call.trace_id for call in exchange.calls][:3] == [receipt.trace_id for receipt in receipts]
    assert began - timedelta(seconds=1) <= receipts[0].sent_at <= receipts[1].sent_at
    assert [order.request_time for order in exchange.user.orders] == [one.request_time for one in found if one]
    writes = await logged(log, exchange.user, exchange)
    assert {WriteOutcome.TAKEN} == {write.outcome for write in writes}
    assert {receipt.trace_id for receipt in receipts} == {write.trace_id for write in writes}


async def test_a_receipt_can_be_kept(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Pickled or copied it says the same, and where its order can be found."""
    async with session_of(exchange, log) as session:
        receipt = await SolStaking(exchange.credentials, session).purchase("1")
        for kept in (pickle.loads(pickle.dumps(receipt)), copy.copy(receipt)):  # noqa: S301 - it is our own
            assert (receipt, to_json(receipt), repr(receipt)) == (kept, to_json(kept), repr(kept))
            with pytest.raises(ConfigurationError, match=r"Look for it in staking\.history"):
                await kept.order()
        assert await receipt.order(wait=0) is not None


async def test_the_log_has_a_write_before_its_first_byte_leaves(exchange: Emulator) -> None:
    """What is durable by then names it, and nothing of it has arrived."""
    seen = []

    class Log(MemoryWriteLog):
        async def put(self, write: Write) -> None:
            await super().put(write)
            seen.append((write.outcome, len(exchange.calls)))

    async with session_of(exchange, Log()) as session:
        await SolStaking(exchange.credentials, session).purchase("1")

    assert [(WriteOutcome.SENT, 0), (WriteOutcome.TAKEN, 1)] == seen


@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("?"), ConfigurationError("the disk is full")])
@pytest.mark.parametrize("method", ["put", "merge"])
async def test_a_write_that_cannot_be_logged_is_not_sent(exchange: Emulator, error: Exception, method: str) -> None:
    """The error says so."""
    log = MemoryWriteLog()

    async def fail(*_: object) -> None:
        raise error

    setattr(log, method, fail)
    async with session_of(exchange, log) as session:
        with pytest.raises(ConfigurationError, match=str(error).replace("?", r"\?")):
            await SolStaking(exchange.credentials, session).purchase("1")

    assert () == exchange.calls


async def test_a_log_that_fails_afterwards_does_not_hide_the_outcome(
    exchange: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets the receipt; what the log has is open, and can be resolved later."""

    class Log(MemoryWriteLog):
        is_full = False

        async def put(self, write: Write) -> None:
            if self.is_full:
                raise OSError
            await super().put(write)
            self.is_full = True

    log = Log()
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        receipt = await staking.purchase("1")
        log.is_full = False
        (write,) = await opened(staking)
        order = await staking.resolve(write)

    assert "the write log failed" in caplog.text
    assert receipt.sent_at == write.sent_at
    assert order is not None


@pytest.mark.parametrize("processed", [True, False])
async def test_a_write_with_a_lost_response_is_resolved(
    exchange: Emulator, log: MemoryWriteLog, *, processed: bool
) -> None:
    """It is resolved through the error or from the log, and then no longer open."""
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        error = await lost(staking, exchange, processed=processed)
        assert [error.write] == await opened(staking)
        assert (error.type, error.amt) == (OrderType.PURCHASE, Decimal(1))
        found = await error.resolve(wait=0)
        assert processed == (found is not None)
        # A look that was too early is not final.
        assert (not processed) == bool(await opened(staking))
        log._writes = {
            name: attrs.evolve(write, sent_at=write.sent_at - timedelta(minutes=1))
            for name, write in log._writes.items()
        }
        assert [None] * (not processed) == [await staking.resolve(write, wait=0) for write in await opened(staking)]
        assert [] == await opened(staking)


async def test_a_cancelled_write_is_open_if_it_may_have_left(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Cancelled at any step, it happened and is open, or it did not happen."""
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        steps, ended = 0, False
        while not ended:
            user = exchange.add_user()
            staking = SolStaking(user.credentials, session)
            task = asyncio.create_task(staking.purchase("1"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            ended = not task.cancelled()
            await asyncio.sleep(1)
            writes = await opened(staking)
            if ended:
                assert [] == writes
            else:
                found = [await staking.resolve(write, wait=0) for write in writes]
                assert len(user.orders) == sum(order is not None for order in found)
            steps += 1

    assert steps > 10


async def test_a_write_that_certainly_did_not_happen_is_not_in_the_log(exchange: Emulator, log: MemoryWriteLog) -> None:
    """It was refused, or never sent."""
    exchange.user.sol = Decimal(0)
    async with session_of(exchange, log, max_wait=0) as session:
        staking = SolStaking(exchange.credentials, session)
        for error in (Rejected, Rejected, QueueTimeout):
            with pytest.raises(error):
                await staking.purchase("1")
    with pytest.raises(SessionClosed):
        await staking.purchase("1")

    assert 0 == len(log)


async def test_a_write_in_the_queue_takes_no_order(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Whether it waits for its turn or was cancelled there: the order is the one of the write that was sent."""
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        exchange.fail_next(Delay(), endpoint=PURCHASE)
        exchange.fail_next(Reset(processed=True), endpoint=PURCHASE)
        tasks = [asyncio.create_task(staking.purchase("1")) for _ in range(4)]
        ended, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        errors = [error for task in ended if isinstance(error := task.exception(), OutcomeUnknown)]
        waiting.pop().cancel()
        found = [await error.resolve(wait=0) for error in errors]
        await asyncio.wait(tasks)

    assert [True] == [order is not None for order in found]
    assert 3 == len(exchange.user.orders)


async def test_a_write_that_was_refused_and_sent_again_has_the_time_of_its_last_signature(
    exchange: Emulator, log: MemoryWriteLog
) -> None:
    """Its order is looked for around that."""
    exchange.fail_next(Refusal("50011"), endpoint=PURCHASE, times=2)
    async with session_of(exchange, log) as session:
        receipt = await SolStaking(exchange.credentials, session).purchase("1")

    (write,) = await logged(log, exchange.user, exchange)
    assert receipt.sent_at == write.sent_at
    (order,) = exchange.user.orders
    assert abs(order.request_time - write.sent_at) < timedelta(seconds=1)


async def test_a_write_takes_no_part_while_it_waits_after_a_refusal(exchange: Emulator, log: MemoryWriteLog) -> None:
    """OKX has not done it, so it explains no order; and one that is cancelled there leaves no entry."""
    exchange.fail_next(Refusal("50011"), endpoint=PURCHASE, times=2)
    async with session_of(exchange, log) as session:
        account = AccountLog(session, exchange.credentials)
        task = asyncio.create_task(SolStaking(exchange.credentials, session).purchase("1"))
        while len(exchange.calls) < 2:  # noqa: ASYNC110 - the exchange reports nothing
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert 1 == len(log)
        assert [] == await account.writes()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert 0 == len(log)


async def test_what_a_cancelled_write_has_left_to_be_logged_is_logged(exchange: Emulator) -> None:
    """Also if nothing but the log itself remembers it."""
    waiters: list[weakref.ref[asyncio.Future[None]]] = []

    class Slow(MemoryWriteLog):
        async def put(self, write: Write) -> None:
            if write.outcome is not WriteOutcome.SENT:
                waiter = asyncio.get_running_loop().create_future()
                waiters.append(weakref.ref(waiter))
                await waiter
            await super().put(write)

    async with session_of(exchange, Slow()) as session:
        task = asyncio.create_task(SolStaking(exchange.credentials, session).purchase("1"))
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        del task
        gc.collect()
        assert 2 == len(waiters)
        for waiter in waiters:
            found = waiter()
            assert found is not None
            found.set_result(None)
        await asyncio.sleep(1)
        assert set() == _unfinished


async def test_a_write_in_flight_is_not_open(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Its caller waits for it."""
    exchange.fail_next(Delay(back=1), endpoint=PURCHASE)
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        task = asyncio.create_task(staking.purchase("1"))
        await asyncio.sleep(0.5)
        assert 1 == len(exchange.user.orders)
        assert [WriteOutcome.SENT] == [write.outcome for write in await logged(log, exchange.user, exchange)]
        assert [] == await opened(staking)
        await task


async def test_the_error_can_be_kept(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Pickled or copied it has its write, which another session resolves; by itself it says so."""
    async with session_of(exchange, log) as session:
        error = await lost(SolStaking(exchange.credentials, session), exchange, processed=True)
    for kept in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - it is our own
        assert (str(error), error.write, error.sent_at) == (str(kept), kept.write, kept.sent_at)
        with pytest.raises(ConfigurationError, match=r"staking\.resolve\(error\.write\)"):
            await kept.resolve()
    with pytest.raises(SessionClosed):
        await error.resolve()
    assert error.write == Write(**json.loads(to_json(error.write)))
    # In another process the log may be another one.
    async with session_of(exchange, MemoryWriteLog()) as other:
        staking = SolStaking(exchange.credentials, other)
        assert error.write is not None
        assert await staking.resolve(error.write) is not None


async def test_a_key_finds_what_it_wrote_under_another_label(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Before and after it was identified, and with its user's other keys."""
    first, second = (
        Credentials(key.api_key, key.secret_key, key.passphrase)
        for key in (exchange.credentials, exchange.user.add_key())
    )
    async with session_of(exchange, log) as session:
        bare, other = SolStaking(first, session), SolStaking(second, session)
        error = await lost(bare, exchange, processed=True)
        assert [] == await opened(other)
        identified = [await session.identify(key) for key in (first, second)]
        for staking in (bare, other, *(SolStaking(key, session) for key in identified)):
            assert [error.write] == await opened(staking)
        assert error.write is not None
        assert await other.resolve(error.write) is not None
        assert [] == await opened(bare)


async def test_a_write_is_resolved_where_it_was_made(exchange: Emulator, log: MemoryWriteLog) -> None:
    """Another user's history, or another exchange's, says nothing of it."""
    async with session_of(exchange, log) as session, Emulator() as elsewhere:
        error = await lost(SolStaking(exchange.credentials, session), exchange, processed=True)
        assert error.write is not None
        with pytest.raises(ConfigurationError, match="another user"):
            await SolStaking(exchange.add_user().credentials, session).resolve(error.write)
        async with session_of(elsewhere, log) as other:
            for write, where in ((error.write, ""), (attrs.evolve(error.write, demo=True), " in demo trading")):
                with pytest.raises(ConfigurationError, match=f"sent to {exchange.url}{where}, .* another exchange"):
                    await SolStaking(exchange.credentials, other).resolve(write)
        with pytest.raises(ConfigurationError, match=r"^write must ") as caught:
            await SolStaking(exchange.credentials, session).resolve("it")  # type: ignore[arg-type]
        assert "write" == caught.value.argument


@pytest.mark.parametrize("wait", [-1, float("inf"), "5", True])
async def test_wait_is_a_number_of_seconds(exchange: Emulator, log: MemoryWriteLog, wait: object) -> None:
    """Nothing else is accepted."""
    async with session_of(exchange, log) as session:
        error = await lost(SolStaking(exchange.credentials, session), exchange, processed=False)
        with pytest.raises(ConfigurationError, match=r"^wait must "):
            await error.resolve(wait=wait)  # type: ignore[arg-type]


async def test_a_foreign_object_cannot_be_resolved() -> None:
    """The error says so."""
    with pytest.raises(ConfigurationError, match=r"SolStaking\.purchase"):
        await OutcomeUnknown("x").resolve()


async def test_a_middleware_that_fails_after_it_has_sent_a_write_leaves_it_open(
    exchange: Emulator, log: MemoryWriteLog
) -> None:
    """Whatever it raises."""

    async def careless(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        await handler(request)
        raise KeyError("gone")

    async with session_of(exchange, log, middlewares=[careless]) as session:
        staking = SolStaking(exchange.credentials, session)
        with pytest.raises(OutcomeUnknown):
            await staking.purchase("1")
        writes = await opened(staking)
    async with session_of(exchange, log) as session:
        assert [True] == [await SolStaking(exchange.credentials, session).resolve(one) is not None for one in writes]


async def test_an_unusable_log_is_refused_at_once() -> None:
    """A write log has the methods of the protocol."""
    with pytest.raises(ConfigurationError, match=r"^write_log must ") as caught:
        Session(write_log=[])  # type: ignore[arg-type]

    assert "write_log" == caught.value.argument


@pytest.mark.real_clock
async def test_a_log_file_does_not_block_the_loop(exchange: Emulator, tmp_path: Path) -> None:
    """With a real file, and a purchase that is cancelled while it is being logged."""
    log = SQLiteWriteLog(tmp_path / "writes.db")
    async with session_of(exchange, log) as session:
        staking = SolStaking(exchange.credentials, session)
        await staking.purchase("1")
        exchange.fail_next(NoResponse(processed=True), endpoint=PURCHASE)
        for delay in (0.001, 0.002, 0.005, 1):
            task = asyncio.create_task(staking.purchase("1"))
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        writes = await opened(staking)
        found = [await staking.resolve(write, wait=0) for write in writes]

    assert len(exchange.user.orders) - 1 == sum(order is not None for order in found)
