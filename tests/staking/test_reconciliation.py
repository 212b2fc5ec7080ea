"""Money moves once: a purchase is never sent twice, and whether it happened can be looked up."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_sol_async import (
    AuthenticationError,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    Order,
    OrderStatus,
    OrderType,
    OutcomeUnknown,
    Rejected,
    Session,
    SolStaking,
    Unavailable,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.staking import reconciliation as outcomes
from okx_sol_async.staking.reconciliation import Journal, Outcome, Write, WriteOwner, find, look_up
from tests.support.virtual_time import run

pytestmark = pytest.mark.virtual_clock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNER = WriteOwner("https://openapi.okx.com", demo=False, user="user:x")
PURCHASE = "POST /api/v5/finance/staking-defi/sol/purchase"


# Over a wire that is cut.


@attrs.define
class Cut:
    """How the writes of one user are cut, and what was sent and answered."""

    #: How many bytes of a write reach the exchange; `None` for all.
    request: int | None = None
    #: How many bytes of its answer come back, if all of it went out; `None` for all.
    answer: int | None = None
    #: What has come from the client, for each connection that carried a write.
    writes: list[bytes] = attrs.field(factory=list)
    #: What has come from the exchange for the last write.
    answered: bytes = b""


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
                cut.answered = await _read_message(from_exchange)
                writer.write(cut.answered[: cut.answer])
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
    async with server, Session(base_url=f"http://127.0.0.1:{port}", limiter=LocalLimiter()) as session:
        yield wire, session
        await session.aclose()
        await asyncio.gather(*filter(None, wire.carrying))


@asynccontextmanager
async def wired_user(exchange: Emulator) -> AsyncIterator[tuple[Cut, SolStaking]]:
    async with wired(exchange) as (wire, session):
        cut = wire.cuts[exchange.credentials.api_key] = Cut()
        yield cut, SolStaking(exchange.credentials, session)


@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_purchase_cut_at_every_byte_is_sent_once(exchange: Emulator, way: str) -> None:
    """And the history tells, each time, whether it happened."""
    happened: Counter[bool] = Counter()

    async def purchase(length: int) -> None:
        user = exchange.add_user()
        staking = SolStaking(user.credentials, session)
        cut = wire.cuts[user.credentials.api_key] = Cut(**{way: length})
        if way == "request":
            # All of the request may go out, and still no answer come back.
            cut.answer = 0
        if (way, length) == ("answer", whole):
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
        whole = len(first.writes[0] if way == "request" else first.answered)
        for start in range(0, whole + 1, 40):
            await asyncio.gather(*(purchase(length) for length in range(start, min(start + 40, whole + 1))))

    # Of a request that was cut, OKX does nothing; of an answer that was cut, it has done everything.
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
        cut.request, cut.answer = None, 0
        with pytest.raises(OutcomeUnknown) as second:
            await staking.purchase("1")
        found = await second.value.resolve()

    assert found is not None
    assert [order.request_time for order in user.orders][1:] == [found.request_time]


async def test_what_is_learnt_of_okxs_time_does_not_swap_two_purchases() -> None:
    """A `Date` tells it to half a second, and equal purchases may follow each other faster."""
    # OKX's second has just begun, so that its Date tells half a second too much.
    ahead = -time.time() % 1.0
    async with Emulator(now=lambda: time.time() + ahead) as exchange, wired_user(exchange) as (cut, staking):
        await staking.purchase("1")
        cut.answer = 0
        with pytest.raises(OutcomeUnknown) as caught:
            await staking.purchase("1")
        found = await caught.value.resolve()

    assert found is not None
    assert [order.request_time for order in exchange.user.orders][1:] == [found.request_time]


async def test_an_equal_purchase_at_another_exchange_explains_nothing(exchange: Emulator) -> None:
    """The history of one exchange does not show what was purchased at the other."""
    key = Credentials("the-same-key", "the-same-secret", "the-same-passphrase")
    exchange.user.add_key(key)
    async with Emulator() as other, wired(exchange) as (wire, session):
        other.user.add_key(key)
        async with Session(base_url=other.url) as elsewhere:
            await SolStaking(key, elsewhere).purchase("1")
        wire.cuts[key.api_key] = Cut(answer=0)
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
        cut.answer = 0
        with pytest.raises(OutcomeUnknown, match=r"await error\.resolve\(\)") as caught:
            await staking.purchase("1")

        assert await caught.value.resolve(wait=0) is not None


async def test_a_cancelled_purchase_is_cancelled_and_remembered(exchange: Emulator) -> None:
    """Its caller gets no error to resolve, but its order is not taken for that of another one for certain."""
    async with wired_user(exchange) as (cut, staking):
        call = asyncio.ensure_future(staking.purchase("1"))
        while not exchange.user.orders:  # noqa: ASYNC110 - the exchange tells nobody
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        cut.request = 0
        with pytest.raises(OutcomeUnknown) as caught:
            await staking.purchase("1")

        assert await caught.value.resolve(wait=0) is None


async def test_a_write_that_is_none_of_ours_cannot_be_looked_up() -> None:
    """The error says so."""
    with pytest.raises(ConfigurationError, match=r"SolStaking\.purchase"):
        await OutcomeUnknown("x").resolve()


@pytest.mark.parametrize("wait", [-1, float("inf"), "5", True])
async def test_how_long_to_wait_is_a_number_of_seconds(exchange: Emulator, wait: object) -> None:
    """Nothing else is taken."""
    async with wired_user(exchange) as (cut, staking):
        cut.request = 0
        with pytest.raises(OutcomeUnknown) as caught:
            await staking.purchase("1")
        with pytest.raises(ConfigurationError, match=r"^wait must "):
            await caught.value.resolve(wait=wait)  # type: ignore[arg-type]


# Which order is whose.


def order(at: float, amt: str = "1", kind: OrderType = OrderType.PURCHASE) -> Order:
    return Order(kind, OrderStatus.PENDING, Decimal(amt), NOW + timedelta(seconds=at))


def write(at: float, outcome: Outcome = Outcome.UNKNOWN, amt: str = "1") -> Write:
    return Write(OWNER, OrderType.PURCHASE, Decimal(amt), NOW + timedelta(seconds=at), outcome)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (order(0.1), True),
        (order(-34), True),
        (order(34), True),
        (order(36), False),
        (order(-36), False),
        (order(0.1, "1.00000001"), False),
        (order(0.1, "1.000000001"), True),
        (order(0.1, kind=OrderType.REDEEM), False),
    ],
)
def test_what_is_taken_for_the_order(other: Order, *, found: bool) -> None:
    """The same type, the same amount as far as OKX writes it, and a time at which OKX took the signature."""
    lost = write(0)
    with localcontext(Context(prec=2)):
        assert (find(lost, [lost], [other]) is other) == found


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.floats(0.01, 4), st.sampled_from([True, False, None])), min_size=1, max_size=9
    ),
    st.floats(-25, 25),
)
@settings(deadline=None)
def test_as_many_are_found_as_happened(sent: list[tuple[float, float, bool | None]], skew: float) -> None:
    """Equal writes do not take each other's orders, however wrong the clock is that OKX still accepts.

    `True` is a write that was answered; of the others, `False` never came to OKX, and `None` did.
    """
    writes, orders = [], []
    for at, delay, fate in sent:
        writes.append(write(at + delay, Outcome.TAKEN) if fate else write(at))
        if fate is not False:
            orders.append(order(at + delay / 2 + skew))
    writes.sort(key=lambda one: one.at)
    lost = [one for one in writes if one.outcome is Outcome.UNKNOWN]

    found = []
    for one in lost:
        found.append(find(one, writes, orders))
        one.outcome = Outcome.DENIED if found[-1] is None else Outcome.TAKEN

    taken = [id(one) for one in found if one is not None]
    assert len(taken) == len(set(taken)) == sum(fate is None for _, _, fate in sent)


def test_one_that_was_denied_has_its_order_last() -> None:
    """Its caller was told that nothing happened, and may have sent the very write again that is looked for now."""
    first, again, seen = write(0), write(1), order(0.2)

    assert find(again, [first, again], [seen]) is None
    assert find(first, [first, again], [seen]) is seen
    first.outcome = Outcome.DENIED
    assert find(again, [first, again], [seen]) is seen


def test_what_was_told_is_remembered() -> None:
    """Both of it."""
    for shown, outcome in (([], Outcome.DENIED), ([order(0.1)], Outcome.TAKEN)):
        lost = write(0)

        async def read(_since: datetime, _until: datetime, shown: list[Order] = shown) -> list[Order]:
            return shown

        run(look_up(read, lost, lambda: NOW, 0))
        assert lost.outcome is outcome


def test_the_journal_forgets() -> None:
    """Ten minutes are enough, so that memory stays flat."""
    journal = Journal()
    for second in range(0, 6000, 10):
        journal.begin(write(second))

    assert 61 == len(journal)


def test_the_journal_tells_equal_writes() -> None:
    """Of the same user at the same exchange, type and amount."""
    journal = Journal()
    lost, same, more = write(0), write(5), write(0, amt="2")
    theirs = [
        attrs.evolve(lost, owner=WriteOwner(origin, demo, user))
        for origin, demo, user in [
            ("https://elsewhere", OWNER.demo, OWNER.user),
            (OWNER.origin, True, OWNER.user),
            (OWNER.origin, OWNER.demo, "user:y"),
        ]
    ]
    redemption = attrs.evolve(lost, type=OrderType.REDEEM)
    for one in (same, lost, more, *theirs, redemption):
        journal.begin(one)

    assert [lost, same] == journal.equal_to(lost)
    journal.forget(same)
    assert [lost] == journal.equal_to(lost)


# For how long it is looked for.


def looking(
    history: Callable[[float], list[Order]], *, wait: float | None = None, late: float = 0.0
) -> tuple[Order | None, float, int]:
    """Look up a write that was signed ``late`` seconds ago, on a virtual clock.

    Return what was found, after how many seconds, and how often the history was read.
    """
    reads = 0

    async def scenario() -> tuple[Order | None, float, int]:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def read(since: datetime, until: datetime) -> list[Order]:
            nonlocal reads
            reads += 1
            return [one for one in history(loop.time() - began) if since <= one.request_time < until]

        found = await look_up(read, write(0), lambda: NOW + timedelta(seconds=loop.time() - began + late), wait)
        return found, loop.time() - began, reads

    return run(scenario())


def test_it_is_looked_for_until_the_signature_is_no_good_any_more() -> None:
    """Then `None` says that nothing is in sight."""
    found, took, reads = looking(lambda _: [])

    assert found is None
    assert took == pytest.approx(outcomes.SETTLED, abs=0.1)
    assert 10 <= reads <= 15


@pytest.mark.parametrize(
    ("wait", "late", "took", "reads"), [(0, 0, 0, 1), (3, 0, 3, 4), (None, 100, 0, 1), (None, 39.9, 0.1, 2)]
)
def test_for_as_long_as_it_is_asked_to(wait: float | None, late: float, took: float, reads: int) -> None:
    """Once is enough when all is settled; and the last look is at the very end."""
    found = looking(lambda _: [], wait=wait, late=late)

    assert (None, pytest.approx(took, abs=0.01), reads) == found


def test_a_history_that_lags() -> None:
    """The order is found as soon as it is shown."""
    found, took, _ = looking(lambda elapsed: [order(0.2)] if elapsed > 7 else [])

    assert order(0.2) == found
    assert 7 < took < 13


def test_what_passes_does_not_end_the_search() -> None:
    """The network that has swallowed the answer may need a while; what does not pass is told at once."""

    def failing(error: Exception, until: float) -> Callable[[float], list[Order]]:
        def history(elapsed: float) -> list[Order]:
            if elapsed < until:
                raise error
            return [order(0.2)]

        return history

    found, took, _ = looking(failing(Unavailable("no"), 20))

    assert order(0.2) == found
    assert 20 <= took <= 25
    with pytest.raises(Unavailable):
        looking(failing(Unavailable("no"), 100))
    with pytest.raises(AuthenticationError):
        looking(failing(AuthenticationError("no"), 20))
