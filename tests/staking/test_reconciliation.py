"""Which order of the history a write became, and for how long it is looked for."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okx_sol_async import AuthenticationError, Order, OrderStatus, OrderType, Unavailable
from okx_sol_async._writes import Write, WriteOutcome
from okx_sol_async.staking._reconciliation import SETTLED, find, look_up, related
from tests.support.virtual_time import run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(at: float, amt: str = "1", kind: OrderType = OrderType.PURCHASE) -> Order:
    return Order(kind, OrderStatus.PENDING, Decimal(amt), NOW + timedelta(seconds=at))


def write(at: float, outcome: WriteOutcome = WriteOutcome.UNKNOWN, amt: str = "1") -> Write:
    sent_at = NOW + timedelta(seconds=at)
    return Write(OrderType.PURCHASE, Decimal(amt), sent_at, "user:x", "https://o", demo=False, outcome=outcome)


def settled(one: Write, found: Order | None) -> Write:
    """Return the write as the log has it after it was resolved."""
    if found is None:
        return attrs.evolve(one, outcome=WriteOutcome.NOT_FOUND)
    return attrs.evolve(one, outcome=WriteOutcome.TAKEN, ordered_at=found.request_time)


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (order(0.1), True),
        (order(-34), True),
        (order(34), True),
        (order(35), True),
        (order(-35), True),
        (order(35.001), False),
        (order(-35.001), False),
        (order(0.1, "1.00000001"), False),
        (order(0.1, "1.000000001"), True),
        (order(0.1, kind=OrderType.REDEEM), False),
    ],
)
def test_which_order_is_accepted(other: Order, *, found: bool) -> None:
    """The same type, the same amount as far as OKX writes it, and a time at which OKX accepts the signature."""
    lost = write(0)
    with localcontext(Context(prec=2)):
        assert (find(lost, [lost], [other]) is other) == found


@pytest.mark.parametrize("after", [0.005, 0.05, 0.5, 5])
def test_an_order_belongs_to_no_write_that_was_sent_after_it(after: float) -> None:
    """Also if it arrived late, shortly before an equal write was sent that never arrived."""
    late, lost = write(0), write(30 + after)
    arrived = order(30)

    assert find(late, [late, lost], [arrived]) is arrived
    assert find(lost, [late, lost], [arrived]) is None


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.floats(0.01, 4), st.sampled_from([True, False, None])), min_size=1, max_size=9
    ),
    st.floats(-25, 25),
)
@settings(deadline=None)
def test_as_many_orders_are_found_as_there_were_writes(
    sent: list[tuple[float, float, bool | None]], skew: float
) -> None:
    """Equal writes do not take each other's orders, however wrong the clock is that OKX still accepts.

    `True` is a write that got its response; of the others, `False` never came to OKX, and `None` did.
    """
    log, orders, happened = {}, [], 0
    for at, delay, fate in sent:
        one = write(at, WriteOutcome.TAKEN if fate else WriteOutcome.UNKNOWN)
        log[one.id] = one
        happened += fate is None
        if fate is not False:
            orders.append(order(at + delay / 2 + skew))

    found = []
    for one in [one for one in log.values() if one.outcome is WriteOutcome.UNKNOWN]:
        found.append(find(one, related(one, log.values()), orders))
        log[one.id] = settled(one, found[-1])

    times = Counter(one.request_time for one in found if one is not None)
    assert times <= Counter(one.request_time for one in orders)
    assert happened == times.total()


@pytest.mark.parametrize("seed", range(200))
def test_writes_that_can_be_distinguished_get_their_own_orders(seed: int) -> None:
    """With clocks that agree, each write gets its own order if no equal write was sent between the two.

    Model-based: the model knows which write made which order. Writes take part from their first byte on; the process may
    have ended during any of them, and any of them may not have happened.
    """
    choose = random.Random(seed)
    truth: dict[str, Order | None] = {}
    writes, orders, at = [], [], 0.0
    for _ in range(choose.randint(1, 12)):
        at += choose.uniform(0.02, 8)
        amt = choose.choice("12")
        happened = choose.random() < 0.6
        # Before the next write is sent.
        made = order(at + choose.uniform(0.001, 0.019), amt) if happened else None
        outcomes = [WriteOutcome.UNKNOWN, WriteOutcome.SENT] + [WriteOutcome.TAKEN] * happened
        one = write(at, choose.choice(outcomes), amt)
        writes.append(one)
        truth[one.id] = made
        orders += [made] if made else []

    choose.shuffle(writes)
    for number, one in enumerate(writes):
        if one.outcome is not WriteOutcome.TAKEN:
            found = find(one, related(one, writes), orders)
            assert found is truth[one.id]
            # In any order, and some of them never.
            if choose.random() < 0.7:
                writes[number] = settled(one, found)


def test_an_order_before_a_write_is_probably_of_an_earlier_one() -> None:
    """An earlier write is a better match than a later one that is nearer in time."""
    first, second, seen = write(0), write(5), order(3)

    assert find(first, [first, second], [seen]) is seen
    assert find(second, [first, second], [seen]) is None


@pytest.mark.parametrize("outcome", [WriteOutcome.NOT_SEEN, WriteOutcome.NOT_FOUND])
def test_a_write_that_was_resolved_as_none_is_matched_last(outcome: WriteOutcome) -> None:
    """Its caller takes it as one that did not happen, and may have sent an equal write that is resolved now."""
    first, again, seen = write(0), write(1), order(0.2)

    assert find(again, [first, again], [seen]) is None
    assert find(first, [first, again], [seen]) is seen
    first = attrs.evolve(first, outcome=outcome)
    assert find(again, [first, again], [seen]) is seen
    assert find(first, [first], [seen]) is seen


def test_a_resolved_write_keeps_its_order() -> None:
    """It keeps it when a further order appears, and when the two seem to cross."""
    first, second = write(0), write(1)
    early, late = order(0.1), order(1.1)
    given_late = settled(first, late)

    assert find(first, [given_late, second], [early, late]) is late
    assert find(second, [given_late, second], [early, late]) is early


def test_related_writes_are_equal_ones_of_the_same_account() -> None:
    """The same type, amount, host and mode, near in time; and the log's version is the newer one."""
    lost, same, other_amount = write(0), write(5), write(0, amt="2")
    others = [
        attrs.evolve(lost, id=name, **{name: value})  # type: ignore[arg-type]
        for name, value in [("origin", "https://elsewhere"), ("demo", True), ("type", OrderType.REDEEM)]
    ]
    newer = attrs.evolve(lost, outcome=WriteOutcome.TAKEN)

    first, last = write(-105), write(105)
    assert [lost, same] == related(lost, [same, other_amount, *others, write(105.001), write(-105.001)])
    assert [first, lost, last] == related(lost, [last, first])
    assert [newer, same] == related(lost, [newer, same])


# For how long it is looked for.


def looking(
    history: Callable[[float], list[Order]],
    *,
    wait: float | None = None,
    late: float = 0.0,
    outcome: WriteOutcome = WriteOutcome.UNKNOWN,
    log: Callable[[float], list[Write]] = lambda _: [],
) -> tuple[Write, Order | None, float, int]:
    """Look up a write that was signed ``late`` seconds ago, on a virtual clock.

    Return what is known of it then, its order, after how many seconds, and how often the history was read.
    """
    reads = 0
    # The orders of all writes that cannot be distinguished from it.
    farthest = timedelta(seconds=3 * 35 + 35)

    async def scenario() -> tuple[Write, Order | None, float, int]:
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def read_orders(since: datetime, until: datetime) -> list[Order]:
            nonlocal reads
            reads += 1
            assert (NOW - farthest, NOW + farthest) == (since, until)
            return [one for one in history(loop.time() - began) if since <= one.request_time < until]

        async def read_log() -> list[Write]:
            return log(loop.time() - began)

        known, found = await look_up(
            write(0, outcome),
            read_orders=read_orders,
            read_log=read_log,
            okx_now=lambda: NOW + timedelta(seconds=loop.time() - began + late),
            pause=asyncio.sleep,
            wait=wait,
        )
        return known, found, loop.time() - began, reads

    return run(scenario())


def test_an_order_is_looked_for_until_the_signature_expires() -> None:
    """Then `None` says that there is none."""
    known, found, took, reads = looking(lambda _: [])

    assert found is None
    assert known.outcome is WriteOutcome.NOT_FOUND
    assert took == pytest.approx(SETTLED, abs=0.1)
    assert 10 <= reads <= 15


@pytest.mark.parametrize(
    ("wait", "late", "took", "reads", "outcome"),
    [
        (0, 0, 0, 1, WriteOutcome.NOT_SEEN),
        (3, 0, 3, 4, WriteOutcome.NOT_SEEN),
        (None, 100, 0, 1, WriteOutcome.NOT_FOUND),
        (0, 100, 0, 1, WriteOutcome.NOT_FOUND),
        (0, 39.5, 0, 1, WriteOutcome.NOT_SEEN),
        (None, 39.9, 0.1, 2, WriteOutcome.NOT_FOUND),
    ],
)
def test_the_search_lasts_for_the_seconds_it_is_given(
    wait: float | None, late: float, took: float, reads: int, outcome: WriteOutcome
) -> None:
    """One read is enough when all is settled; the last one is at the very end; an early `None` is not final."""
    known, found, *rest = looking(lambda _: [], wait=wait, late=late)

    assert (None, outcome) == (found, known.outcome)
    assert [pytest.approx(took, abs=0.01), reads] == rest


def test_a_history_that_lags_is_waited_for() -> None:
    """The order is found as soon as it is shown."""
    known, found, took, _ = looking(lambda elapsed: [order(0.2)] if elapsed > 7 else [])

    assert order(0.2) == found
    assert (WriteOutcome.TAKEN, found.request_time) == (known.outcome, known.ordered_at)
    assert 7 < took < 13


def test_an_equal_write_in_flight_is_waited_for() -> None:
    """Of two equal writes and one order, the one whose response comes has made it; without a response, the nearer one."""

    def log(outcome: WriteOutcome) -> Callable[[float], list[Write]]:
        other = write(1)
        return lambda elapsed: [attrs.evolve(other, outcome=outcome if elapsed > 8 else WriteOutcome.SENT)]

    for outcome, expected in ((WriteOutcome.TAKEN, None), (WriteOutcome.UNKNOWN, order(0.2))):
        _, found, took, _ = looking(lambda _: [order(0.2)], log=log(outcome))
        assert expected == found
        assert 8 <= took
    assert order(0.2) == looking(lambda _: [order(0.2)], log=lambda _: [write(1, WriteOutcome.SENT)], wait=0)[1]
    assert order(0.2) == looking(lambda _: [order(0.2), order(1.1)], log=log(WriteOutcome.TAKEN), wait=0)[1]


@pytest.mark.parametrize(
    ("history", "wait", "late", "took"),
    [([order(0.2)], None, 40.5, 0.5), ([order(0.2)], 0, 0, 0), ([order(0.2)], 3, 0, 3), ([], None, 40.5, 0)],
)
def test_how_long_an_equal_write_in_flight_is_waited_for(
    history: list[Order], wait: float | None, late: float, took: float
) -> None:
    """To its last second, but for no longer than it was asked for; and not where there is no order to be shared."""
    _, found, *rest = looking(lambda _: history, wait=wait, late=late, log=lambda _: [write(1, WriteOutcome.SENT)])

    assert (history or [None])[0] == found
    assert pytest.approx(took, abs=0.01) == rest[0]


@pytest.mark.parametrize("other", [WriteOutcome.SENT, WriteOutcome.TAKEN])
@pytest.mark.parametrize(("shown_after", "took"), [(-1, 0), (1, 1.5)])
def test_an_order_that_the_history_does_not_show_yet_is_waited_for(
    other: WriteOutcome, shown_after: float, took: float
) -> None:
    """Where it is not there yet, those that are would be given to other writes."""
    log = [write(-3.5), write(0.1, other)]
    shown = [order(-3.4), order(0.02)]
    known, found, *rest = looking(
        lambda elapsed: [*shown, order(0.12)] if elapsed > shown_after else shown,
        outcome=WriteOutcome.TAKEN,
        log=lambda _: log,
    )

    assert (order(0.02), order(0.02).request_time) == (found, known.ordered_at)
    assert pytest.approx(took, abs=0.01) == rest[0]


@pytest.mark.parametrize(("shown_after", "expected"), [(1, order(0.02)), (99, order(-0.9))])
def test_an_accepted_write_waits_for_an_order_of_its_own(shown_after: float, expected: Order) -> None:
    """An earlier equal write explains the one that is shown; after ten seconds it is that of the accepted one all the same."""
    _, found, took, _ = looking(
        lambda elapsed: [order(-0.9), *[order(0.02)] * (elapsed > shown_after)],
        outcome=WriteOutcome.TAKEN,
        log=lambda _: [write(-1)],
    )

    assert expected == found
    assert min(shown_after, 10) <= took < 15
    assert None is looking(lambda _: [order(-0.9)], outcome=WriteOutcome.TAKEN, log=lambda _: [write(-1)], wait=0)[1]


@pytest.mark.parametrize(
    ("earlier", "shown", "waits"),
    [
        (write(-1), order(-0.002), False),
        (write(-1), order(-0.003), True),
        (write(-0.998), order(-1), True),
        (write(-0.997), order(-1), False),
        (settled(write(-1), order(-0.9)), order(-0.5), False),
    ],
)
def test_whose_an_order_before_an_accepted_write_may_be(earlier: Write, shown: Order, *, waits: bool) -> None:
    """That of an earlier one whose order is not known, unless it is so near that the clocks may differ by that."""
    _, found, took, _ = looking(
        lambda _: [order(-0.9), shown] if earlier.ordered_at else [shown],
        outcome=WriteOutcome.TAKEN,
        log=lambda _: [earlier],
    )

    assert shown == found
    assert waits == (took > 9)


def test_an_accepted_write_without_an_order_stays_accepted() -> None:
    """OKX said so, whatever the history shows."""
    known, found, *_ = looking(lambda _: [], outcome=WriteOutcome.TAKEN)

    assert (WriteOutcome.TAKEN, None) == (known.outcome, found)


def test_the_order_of_a_later_accepted_write_is_waited_for() -> None:
    """For its own ten seconds: until then the orders that are shown could be given to the wrong writes."""
    _, found, took, _ = looking(
        lambda elapsed: [order(-3.4), order(0.02), *[order(5.02)] * (elapsed > 1)],
        outcome=WriteOutcome.TAKEN,
        late=12,
        log=lambda _: [write(-3.5), write(5, WriteOutcome.TAKEN)],
    )

    assert (order(0.02), 1.5) == (found, pytest.approx(took, abs=0.01))


def test_an_accepted_write_waits_for_ten_seconds() -> None:
    """From its signature on."""
    found = [
        looking(lambda _: [order(-0.9)], outcome=WriteOutcome.TAKEN, log=lambda _: [write(-1)], late=late)[1:3]
        for late in (9.9, 10)
    ]

    assert [(order(-0.9), 0.5), (order(-0.9), 0.0)] == [(one, round(took, 2)) for one, took in found]


def test_temporary_failures_do_not_end_the_search() -> None:
    """The network that has lost the response may need a while; permanent failures are raised at once."""

    def failing(error: Exception, until: float) -> Callable[[float], list[Order]]:
        def history(elapsed: float) -> list[Order]:
            if elapsed < until:
                raise error
            return [order(0.2)]

        return history

    _, found, took, _ = looking(failing(Unavailable("no"), 20))

    assert order(0.2) == found
    assert 20 <= took <= 25
    assert order(0.2) == looking(failing(Unavailable("no"), 2), wait=2.4)[1]
    with pytest.raises(Unavailable):
        looking(failing(Unavailable("no"), 100))
    with pytest.raises(Unavailable):
        looking(failing(Unavailable("no"), 1e-9), wait=0)
    with pytest.raises(AuthenticationError):
        looking(failing(AuthenticationError("no"), 20))
