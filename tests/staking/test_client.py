"""SolStaking against the emulator: the life of a stake, permissions and filters."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from okx_sol_async import (
    APY_HISTORY,
    OrderStatus,
    OrderType,
    PermissionDenied,
    Rejected,
    Session,
    SessionClosed,
    SolStaking,
    Write,
    apy_history,
)
from okx_sol_async.emulator import EmulatedOrder, Emulator, Product
from okx_sol_async.emulator.faults import Delay
from tests.support.recorder import CREDENTIALS, recording

pytestmark = pytest.mark.virtual_clock

THEN = datetime(2023, 5, 6, 22, 46, 11, tzinfo=UTC)


async def test_the_apy_history_takes_no_key() -> None:
    """Nothing of a key is sent, and all users of a process share one limit."""
    async with recording() as (recorder, staking):
        await staking.apy_history(365)
        await apy_history(1, staking._session)
        await staking._session.call(APY_HISTORY, CREDENTIALS, {"days": "7"})
        bucket = staking._session.bucket(APY_HISTORY)

        assert bucket is staking._session.bucket(APY_HISTORY, CREDENTIALS)
        assert 3 == bucket.free  # type: ignore[attr-defined]

    assert [None, None, None] == recorder.keys
    assert ["days=365", "days=1", "days=7"] == [target.partition("?")[2] for target in recorder.targets]


async def test_the_apy_history_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is made, used and closed."""
    made: list[Session] = []

    class Recorded(Session):
        def __init__(self) -> None:
            super().__init__(base_url=exchange.url)
            made.append(self)

    monkeypatch.setattr("okx_sol_async.staking._client.Session", Recorded)
    async with Emulator() as exchange:
        assert 3 == len(await apy_history(3))

    assert made[0].closed


async def test_the_life_of_a_stake(exchange: Emulator, session: Session) -> None:
    """SOL becomes OKSOL, earns, and becomes SOL again; the history has all of it."""
    staking = SolStaking(exchange.credentials, session)
    product = await staking.product_info()
    before = await staking.balance()
    await staking.purchase(product.min_amt + 1)
    bought = await staking.balance()
    await staking.redeem("0.5")
    pending, _ = await staking.purchase_redeem_history()
    exchange.advance(timedelta(days=product.redempt_days + 1))
    orders = await staking.purchase_redeem_history()

    assert Decimal("0.0557") == product.rate
    assert Decimal("1.01") == bought.amt - before.amt
    assert (OrderType.REDEEM, OrderStatus.PENDING) == (pending.type, pending.status)
    assert pending.est_completed_time is not None
    assert [("redeem", Decimal("0.5"), "success"), ("purchase", Decimal("1.01"), "success")] == [
        (order.type, order.amt, order.status) for order in orders
    ]
    assert (await staking.balance()).latest_interest_accrual > 0


async def test_the_minimum_purchase_is_named(exchange: Emulator, session: Session) -> None:
    """OKX refuses less, and its message has the minimum."""
    exchange.product = Product(min_amt=Decimal("0.25"))
    with pytest.raises(Rejected, match=r"0\.25") as caught:
        await SolStaking(exchange.credentials, session).purchase("0.2")

    assert "51727" == caught.value.code
    assert "product info" in str(caught.value)


async def test_a_key_that_may_only_read(exchange: Emulator, session: Session) -> None:
    """A purchase with it raises an error that names the missing permission."""
    key = exchange.user.add_key(permissions=["read_only"])
    with pytest.raises(PermissionDenied, match="Trade"):
        await SolStaking(key, session).purchase("1")


async def test_demo_trading_has_no_staking_writes() -> None:
    """The error says so."""
    async with Emulator(demo=True) as exchange, Session(base_url=exchange.url, demo=True) as session:
        with pytest.raises(Rejected, match="live key"):
            await SolStaking(exchange.credentials, session).redeem("1")


async def test_a_read_is_made_each_time() -> None:
    """Without `max_age` no earlier response is shared."""
    async with Emulator() as exchange, Session(base_url=exchange.url) as session:
        staking = SolStaking(exchange.credentials, session)
        for read in (staking.balance, staking.product_info):
            await read()
            await read()

        assert 4 == exchange.count()


async def test_a_page_is_not_read_while_the_session_drains(exchange: Emulator, session: Session) -> None:
    """Only what looks up a write goes on."""
    staking = SolStaking(exchange.credentials, session)
    exchange.fail_next(Delay(back=2))
    call = asyncio.create_task(staking.balance())
    await asyncio.sleep(0.5)
    closing = asyncio.create_task(session.aclose(drain=5))
    await asyncio.sleep(0.1)
    with pytest.raises(SessionClosed):
        await staking.purchase_redeem_history()
    await asyncio.gather(call, closing)


async def test_what_is_read_to_look_up_a_write() -> None:
    """All that may be its order, or that of a write that cannot be distinguished from it: also the last millisecond."""
    sent_at = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    async with recording() as (recorder, staking):
        write = Write("redeem", "1", sent_at, CREDENTIALS.owner, staking._session.origin, demo=False)  # type: ignore[arg-type]

        assert await staking.resolve(write, wait=0) is None

    (target,) = recorder.targets
    last = sent_at + timedelta(seconds=140)
    assert f"type=redeem&after={int(last.timestamp()) * 1000 + 1}&limit=100" == target.partition("?")[2]


async def test_filters(exchange: Emulator, session: Session) -> None:
    """Type, status, both bounds and the length of the page filter the history."""
    exchange.user.add_orders(
        EmulatedOrder(
            type="redeem" if number % 2 else "purchase",
            amt=Decimal(number + 1),
            request_time=THEN + timedelta(milliseconds=number),
            status="failed" if number < 5 else "success",
        )
        for number in range(10)
    )
    staking = SolStaking(exchange.credentials, session)

    async def amounts(**arguments: object) -> list[int]:
        return [int(order.amt) for order in await staking.purchase_redeem_history(**arguments)]  # type: ignore[arg-type]

    assert [10, 8, 6, 4, 2] == await amounts(type=OrderType.REDEEM)
    assert [5, 4, 3, 2, 1] == await amounts(status="failed")
    assert [3, 2, 1] == await amounts(after=THEN + timedelta(milliseconds=3))
    assert [10, 9] == await amounts(before=THEN + timedelta(milliseconds=7))
    assert [10, 9, 8] == await amounts(limit=3)
