"""The whole history comes out of pages, each order once, wherever the pages end."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_sol_async import ConfigurationError, DecodeError, Order, OrderStatus, OrderType, Session, SolStaking
from okx_sol_async.emulator import EmulatedOrder, Emulator
from okx_sol_async.staking import _pagination as history
from okx_sol_async.staking._pagination import read_history

pytestmark = pytest.mark.virtual_clock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HISTORY = "GET /api/v5/finance/staking-defi/sol/purchase-redeem-history"
#: Pages of the model hold so few rows, so that small histories have many pages.
SMALL = 5


def order(at: int, amt: int = 1, status: OrderStatus = OrderStatus.SUCCESS) -> Order:
    return Order(OrderType.PURCHASE, status, Decimal(amt), EPOCH + timedelta(milliseconds=at))


def at_of(row: Order) -> int:
    return round((row.request_time - EPOCH).total_seconds() * 1000)


@attrs.define
class Exchange:
    """What the history would be at OKX: its rows, newest first, and whether a bound is part of its page."""

    rows: list[Order]
    inclusive: bool
    #: Called before each page.
    before_page: Callable[["Exchange"], None] = lambda _: None
    pages: int = 0

    async def fetch(self, after: int | None, size: int) -> tuple[Order, ...]:
        self.pages += 1
        assert self.pages < 500
        self.before_page(self)
        bound = None if after is None else after + self.inclusive
        newest_first = sorted(self.rows, key=at_of, reverse=True)
        return tuple([row for row in newest_first if bound is None or at_of(row) < bound][:size])


async def collect(rows: AsyncGenerator[Order, None]) -> list[Order]:
    return [row async for row in rows]


#: Times so near to each other that many are the same.
times = st.integers(1000, 1012)
rows_of_an_exchange = st.lists(st.builds(order, times, st.integers(1, 3)), max_size=40).filter(
    lambda rows: not rows or max(Counter(map(at_of, rows)).values()) < SMALL
)


@given(rows_of_an_exchange, st.booleans(), st.none() | times, st.none() | times, st.none() | st.integers(1, 45))
@settings(deadline=None, max_examples=200)
def test_every_order_is_given_once(
    rows: list[Order],
    inclusive: bool,  # noqa: FBT001
    since: int | None,
    until: int | None,
    limit: int | None,
) -> None:
    """Newest first, in the time range, up to the limit; whether or not a bound is part of its page."""
    exchange = Exchange(rows, inclusive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "PAGE", SMALL)
        found = asyncio.run(collect(read_history(exchange.fetch, since=since, until=until, limit=limit)))

    wanted = [row for row in rows if (since or 0) <= at_of(row) < (until or 5000)]
    if limit is None or limit >= len(wanted):
        assert Counter(wanted) == Counter(found)
    else:
        assert limit == len(found)
        assert not Counter(found) - Counter(wanted)
        assert sorted(map(at_of, wanted), reverse=True)[:limit] == list(map(at_of, found))
    assert sorted(map(at_of, found), reverse=True) == list(map(at_of, found))


@given(rows_of_an_exchange, st.booleans(), st.lists(st.tuples(times, st.integers(1, 3)), max_size=30), st.randoms())
@settings(deadline=None, max_examples=200)
def test_new_orders_displace_none(
    rows: list[Order],
    inclusive: bool,  # noqa: FBT001
    coming: list[tuple[int, int]],
    random: object,
) -> None:
    """Each order of the beginning is given once, whatever is added, completed or reordered within a millisecond."""
    latest = max(map(at_of, rows), default=1000)

    def go_on(exchange: Exchange) -> None:
        for offset, amt in coming[:2]:
            new = latest + offset - 1000
            if exchange.pages > 1 and Counter(map(at_of, exchange.rows))[new] < SMALL - 1:
                exchange.rows.append(order(new, amt + 10))
        del coming[:2]
        random.shuffle(exchange.rows)  # type: ignore[attr-defined]
        exchange.rows = [attrs.evolve(row, status=OrderStatus(f"seen {exchange.pages} times")) for row in exchange.rows]

    exchange = Exchange(list(rows), inclusive, go_on)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "PAGE", SMALL)
        found = asyncio.run(collect(read_history(exchange.fetch)))

    def identities(of: list[Order]) -> Counter[tuple[int, Decimal]]:
        return Counter((at_of(row), row.amt) for row in of)

    assert identities(rows) == identities([row for row in found if row.amt < 10])
    assert not identities(found) - identities(exchange.rows)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("in_one", [SMALL, SMALL + 3])
def test_a_millisecond_that_fills_a_page_is_an_error(
    monkeypatch: pytest.MonkeyPatch, in_one: int, *, inclusive: bool
) -> None:
    """What follows it is unknown, so it raises an error instead of losing orders."""
    monkeypatch.setattr(history, "PAGE", SMALL)
    exchange = Exchange([order(1000), *[order(1005)] * in_one, order(1010)], inclusive)
    found: list[Order] = []

    async def read() -> None:
        async for row in read_history(exchange.fetch):
            found.append(row)  # noqa: PERF401 - what comes before the failure is kept

    with pytest.raises(DecodeError, match=r"have the requestTime 1005 \(1970-01-01T00:00:01\.005"):
        asyncio.run(read())

    assert 1010 == at_of(found[0])


def test_pages_may_be_shorter_than_requested() -> None:
    """A short page is not taken for the last one."""

    class Scarce(Exchange):
        async def fetch(self, after: int | None, size: int) -> tuple[Order, ...]:
            return await super().fetch(after, min(size, 3))

    rows = [order(at // 2) for at in range(2000, 2100)]

    assert Counter(rows) == Counter(asyncio.run(collect(read_history(Scarce(rows, inclusive=False).fetch))))


def test_an_exchange_that_gives_the_oldest_first_is_an_error() -> None:
    """Its first page would hide all newer orders."""

    async def fetch(after: int | None, size: int) -> tuple[Order, ...]:
        return tuple(order(at) for at in range(1000, 1000 + size))

    with pytest.raises(DecodeError, match="not in order"):
        asyncio.run(collect(read_history(fetch)))


@pytest.mark.parametrize(
    ("rows", "limit", "pages"), [(0, None, 1), (3, None, 2), (3, 3, 1), (250, None, 4), (250, 150, 2)]
)
def test_how_many_pages_it_takes(rows: int, limit: int | None, pages: int) -> None:
    """One call more than there are pages, to see the end; none more where the limit is reached."""
    exchange = Exchange([order(1000 + at) for at in range(rows)], inclusive=False)
    asyncio.run(collect(read_history(exchange.fetch, limit=limit)))

    assert pages == exchange.pages


async def test_two_hundred_and_fifty_orders_over_the_network(exchange: Emulator, session: Session) -> None:
    """Orders share milliseconds at the end of each page, and one is made meanwhile."""
    base = datetime(2026, 3, 1, tzinfo=UTC)
    exchange.user.add_orders(
        EmulatedOrder(
            type="purchase", amt=Decimal(1 + number % 3), request_time=base + timedelta(milliseconds=number // 7)
        )
        for number in range(250)
    )
    staking = SolStaking(exchange.credentials, session)
    found: list[Order] = []
    async for row in staking.history(type="purchase"):
        if not found:
            await staking.purchase("1")
        found.append(row)
    part = [
        row
        async for row in staking.history(
            since=base + timedelta(milliseconds=9, microseconds=1),
            until=base + timedelta(milliseconds=12, microseconds=1),
        )
    ]

    assert Counter((o.request_time, o.amt) for o in exchange.user.orders[:250]) == Counter(
        (row.request_time, row.amt) for row in found
    )
    assert [12] * 7 + [11] * 7 + [10] * 7 == [(row.request_time - base) // timedelta(milliseconds=1) for row in part]
    assert 5 <= exchange.count(endpoint=HISTORY) <= 6


@pytest.mark.parametrize(
    "arguments",
    [{"limit": 0}, {"limit": 1.5}, {"since": datetime(2026, 1, 1)}, {"until": "2026"}, {"type": "x"}, {"status": 5}],  # noqa: DTZ001 - that is the mistake
)
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, object], exchange: Emulator) -> None:
    """The error is raised before anything is awaited."""
    with pytest.raises(ConfigurationError, match=rf"^{next(iter(arguments))} must "):
        SolStaking(exchange.credentials).history(**arguments)  # type: ignore[arg-type]
