"""Writes over a wire that is cut at any byte: none is sent twice, and whether it happened can be looked up."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import attrs
import pytest

from okx_sol_async import (
    Credentials,
    LocalLimiter,
    MemoryWriteLog,
    OrderType,
    OutcomeUnknown,
    Rejected,
    Session,
    SolStaking,
)
from okx_sol_async.emulator import Emulator
from tests.support.skewed import wall

pytestmark = pytest.mark.virtual_clock


@attrs.define
class Cut:
    """How the writes of one user are cut, and what was sent."""

    #: How many bytes of a write reach the exchange; `None` for all.
    request: int | None = None
    #: How many bytes of its response come back, if all of it went out; `None` for all.
    response: int | None = None
    #: What has come from the client, for each connection that carried a write.
    writes: list[bytes] = attrs.field(factory=list)
    #: What has come from the exchange for the last write.
    responded: bytes = b""


class Wire:
    """Carries bytes to the exchange and back, one request on each connection, and cuts writes."""

    def __init__(self, target: str) -> None:
        self.target = target.removeprefix("http://").split(":")
        self.cuts: dict[str, Cut] = {}
        self.carrying: set[asyncio.Task[None] | None] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.carrying.add(asyncio.current_task())
        opened = [writer]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            sent = await _read_message(reader)
            cut = self._cut_of(sent)
            from_exchange, to_exchange = await asyncio.open_connection(*self.target)
            opened.append(to_exchange)
            to_exchange.write(sent[: cut.request])
            if cut.request is None or cut.request >= len(sent):
                cut.responded = await _read_message(from_exchange)
                writer.write(cut.responded[: cut.response])
        for end in opened:
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()

    def _cut_of(self, sent: bytes) -> Cut:
        if not sent.startswith(b"POST"):
            return Cut()
        key = next(line for line in sent.decode().split("\r\n") if line.startswith("OK-ACCESS-KEY:")).split()[1]
        cut = self.cuts.setdefault(key, Cut())
        cut.writes.append(sent)
        return cut


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


@asynccontextmanager
async def wired(exchange: Emulator) -> AsyncIterator[tuple[Wire, Session]]:
    wire = Wire(exchange.url)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        Session(base_url=f"http://127.0.0.1:{port}", limiter=LocalLimiter(), write_log=MemoryWriteLog()) as session,
    ):
        yield wire, session
        await session.aclose()
        await asyncio.gather(*filter(None, wire.carrying))


@asynccontextmanager
async def wired_user(exchange: Emulator) -> AsyncIterator[tuple[Cut, SolStaking]]:
    async with wired(exchange) as (wire, session):
        cut = wire.cuts[exchange.credentials.api_key] = Cut()
        yield cut, SolStaking(exchange.credentials, session)


@pytest.mark.parametrize("way", ["request", "response"])
async def test_a_purchase_cut_at_every_byte_is_sent_once(exchange: Emulator, way: str) -> None:
    """The history shows each time whether it happened."""
    happened: Counter[bool] = Counter()

    async def purchase(length: int) -> None:
        user = exchange.add_user()
        staking = SolStaking(user.credentials, session)
        cut = wire.cuts[user.credentials.api_key] = Cut(**{way: length})
        if way == "request":
            # All of the request may go out, and still no response come back.
            cut.response = 0
        if (way, length) == ("response", whole):
            await staking.purchase("1.5")
        else:
            with pytest.raises(OutcomeUnknown) as caught:
                await staking.purchase("1.5")
            found = await caught.value.resolve(wait=0)
            assert (OrderType.PURCHASE, Decimal("1.5")) == (caught.value.type, caught.value.amt)
            assert [Decimal("1.5")] * (found is not None) == [order.amt for order in user.orders]
        assert 1 == len(cut.writes)
        happened[bool(user.orders)] += 1

    async with wired(exchange) as (wire, session):
        await SolStaking(exchange.credentials, session).purchase("1.5")
        first = wire.cuts[exchange.credentials.api_key]
        whole = len(first.writes[0] if way == "request" else first.responded)
        for start in range(0, whole + 1, 40):
            await asyncio.gather(*(purchase(length) for length in range(start, min(start + 40, whole + 1))))

    # Of a request that was cut, OKX does nothing; of a response that was cut, it has done everything.
    assert ({False: whole, True: 1} if way == "request" else {True: whole + 1}) == happened


async def test_an_equal_purchase_before_is_not_taken_for_it(exchange: Emulator) -> None:
    """What this process made itself explains its own orders only."""
    user = exchange.user
    async with wired_user(exchange) as (cut, staking):
        await staking.purchase("1")
        cut.request = 0
        with pytest.raises(OutcomeUnknown) as first:
            await staking.purchase("1")
        assert await first.value.resolve(wait=0) is None
        cut.request, cut.response = None, 0
        with pytest.raises(OutcomeUnknown) as second:
            await staking.purchase("1")
        found = await second.value.resolve()

    assert found is not None
    assert [order.request_time for order in user.orders][1:] == [found.request_time]


@pytest.mark.usefixtures("clocks_of_the_loop")
async def test_the_error_of_okxs_time_does_not_swap_two_purchases() -> None:
    """A `Date` is exact to half a second, and equal purchases may follow each other faster."""
    # OKX's second has just begun, so that its Date says half a second too much.
    async with Emulator(now=wall) as exchange, wired_user(exchange) as (cut, staking):
        await staking.purchase("1")
        await asyncio.sleep(0.02)
        cut.response = 0
        with pytest.raises(OutcomeUnknown) as caught:
            await staking.purchase("1")
        found = await caught.value.resolve()

    assert found is not None
    assert 2 == len({order.request_time for order in exchange.user.orders})
    assert [order.request_time for order in exchange.user.orders][1:] == [found.request_time]


async def test_an_equal_purchase_at_another_exchange_explains_nothing(exchange: Emulator) -> None:
    """The history of one exchange does not show what was purchased at the other."""
    key = Credentials("the-same-key", "the-same-secret", "the-same-passphrase")
    exchange.user.add_key(key)
    async with Emulator() as other, wired(exchange) as (wire, session):
        other.user.add_key(key)
        async with Session(base_url=other.url) as elsewhere:
            await SolStaking(key, elsewhere).purchase("1")
        wire.cuts[key.api_key] = Cut(response=0)
        with pytest.raises(OutcomeUnknown) as caught:
            await SolStaking(key, session).purchase("1")

        assert await caught.value.resolve(wait=0) is not None
        assert 1 == len(exchange.user.orders)


async def test_a_purchase_that_was_refused_explains_nothing(exchange: Emulator) -> None:
    """It made no order."""
    async with wired_user(exchange) as (cut, staking):
        exchange.user.sol = Decimal(0)
        with pytest.raises(Rejected):
            await staking.purchase("1")
        exchange.user.sol = Decimal(5)
        cut.response = 0
        with pytest.raises(OutcomeUnknown, match=r"await error\.resolve\(\)") as caught:
            await staking.purchase("1")

        assert await caught.value.resolve(wait=0) is not None


async def test_a_cancelled_purchase_is_cancelled_and_remembered(exchange: Emulator) -> None:
    """Its caller gets no error to resolve, but its order is not taken for that of another one for certain."""
    async with wired_user(exchange) as (cut, staking):
        call = asyncio.ensure_future(staking.purchase("1"))
        while not exchange.user.orders:  # noqa: ASYNC110 - the exchange does not report it
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # The exchange cuts its times to milliseconds.
        time.sleep(0.005)  # noqa: ASYNC251
        cut.request = 0
        with pytest.raises(OutcomeUnknown) as caught:
            await staking.purchase("1")

        assert await caught.value.resolve(wait=0) is None
