"""Every endpoint, at the local exchange and at a server that answers as OKX's documentation does."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal, localcontext

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import (
    APY_HISTORY,
    PRODUCT_INFO,
    PURCHASE,
    PURCHASE_REDEEM_HISTORY,
    REDEEM,
    Apy,
    ConfigurationError,
    Credentials,
    DecodeError,
    LocalLimiter,
    Order,
    OrderStatus,
    OrderType,
    PermissionDenied,
    ProductInfo,
    RateLimit,
    Rejected,
    Scope,
    Session,
    SolStaking,
    apy_history,
)
from okx_sol_async.emulator import EmulatedOrder, Emulator, Product
from okx_sol_async.staking.arguments import checked_amount
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")
PRODUCT = {
    "fastRedemptionAvail": "240",
    "fastRedemptionDailyLimit": "240",
    "rate": "5.57",
    "redemptDays": "2",
    "minAmt": "0.01",
}
ROW = {
    "amt": "0.62666630",
    "completedTime": "1683413171000",
    "estCompletedTime": "",
    "redeemingAmt": "",
    "requestTime": "1683413171000",
    "status": "success",
    "type": "purchase",
}
THEN = datetime(2023, 5, 6, 22, 46, 11, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


# What OKX answers.


@pytest.mark.parametrize("data", [PRODUCT, [PRODUCT], [PRODUCT | {"new": [1]}]])
def test_product_info(data: object) -> None:
    """It is an object, or an array of one, and its percentage becomes a fraction."""
    expected = ProductInfo(Decimal(240), Decimal(240), Decimal("0.0557"), 2, Decimal("0.01"))

    assert expected == PRODUCT_INFO.decode(data)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30), st.integers(1, 5))
def test_a_percentage_becomes_exactly_that_fraction(percentage: Decimal, precision: int) -> None:
    """Whatever precision the caller's decimal context has."""
    with localcontext(Context(prec=precision)):
        found = PRODUCT_INFO.decode(PRODUCT | {"rate": format(percentage, "f")}).rate

    with localcontext(Context(prec=500)):
        assert percentage == found * 100


def test_an_order_of_the_documentation() -> None:
    """Blank fields stand for what is not there, and so do missing ones."""
    expected = Order(OrderType.PURCHASE, OrderStatus.SUCCESS, Decimal("0.62666630"), THEN, completed_time=THEN)
    scarce = {name: text for name, text in ROW.items() if text}

    assert (expected, expected) == PURCHASE_REDEEM_HISTORY.decode([ROW, scarce])


def test_an_order_with_all_that_okx_has_ever_sent() -> None:
    """An id, an estimate and what is being redeemed."""
    row = ROW | {"ordId": "12", "estCompletedTime": "1683413171000", "redeemingAmt": "0.1", "completedTime": ""}

    (order,) = PURCHASE_REDEEM_HISTORY.decode([row])

    assert ("12", THEN, Decimal("0.1"), None) == (
        order.ord_id,
        order.est_completed_time,
        order.redeeming_amt,
        order.completed_time,
    )


def test_words_that_nobody_knows_yet_are_kept() -> None:
    """A new type or status is a member like any other, and equal to OKX's word."""
    row = ROW | {"type": "swap", "status": "cooling"}

    (order,) = PURCHASE_REDEEM_HISTORY.decode([row])

    assert ("swap", "cooling") == (order.type, order.status)
    assert isinstance(order.status, OrderStatus)
    assert order.status not in list(OrderStatus)
    assert OrderStatus("cooling") == order.status
    assert hash("cooling") == hash(order.status)
    assert "cooling" in repr(order.status)
    assert {"pending", "success", "failed", "cancelled"} == set(OrderStatus)


def test_apy_history_of_the_documentation() -> None:
    """Its rate is a fraction already."""
    found = APY_HISTORY.decode([{"rate": "0.11280000", "ts": "1734192000000"}])

    assert (Apy(Decimal("0.1128"), datetime(2024, 12, 14, 16, tzinfo=UTC)),) == found


def test_the_answer_to_a_write_is_that_there_was_one() -> None:
    """What OKX will put into the rows of a purchase one day does no harm to one that was made."""
    assert PURCHASE.decode([{"ordId": 5}]) is None
    assert REDEEM.decode({}) is None


@pytest.mark.parametrize(
    ("decode", "data", "path"),
    [
        (PRODUCT_INFO.decode, PRODUCT | {"rate": ""}, "$.data.rate"),
        (PRODUCT_INFO.decode, PRODUCT | {"rate": "5.57%"}, "$.data.rate"),
        (PRODUCT_INFO.decode, PRODUCT | {"rate": 5.57}, "$.data.rate"),
        (PRODUCT_INFO.decode, PRODUCT | {"rate": "1e1"}, "$.data.rate"),
        (PRODUCT_INFO.decode, PRODUCT | {"redemptDays": "1.5"}, "$.data.redemptDays"),
        (PRODUCT_INFO.decode, [PRODUCT | {"minAmt": None}], "$.data[0].minAmt"),
        (PRODUCT_INFO.decode, {}, "$.data.fastRedemptionAvail"),
        (PRODUCT_INFO.decode, [], "$.data"),
        (PRODUCT_INFO.decode, [PRODUCT, PRODUCT], "$.data"),
        (PRODUCT_INFO.decode, "x", "$.data"),
        (PRODUCT_INFO.decode, None, "$.data"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW, ROW | {"amt": ""}], "$.data[1].amt"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW | {"status": ""}], "$.data[0].status"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW | {"type": 5}], "$.data[0].type"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW | {"requestTime": ""}], "$.data[0].requestTime"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW | {"completedTime": "yesterday"}], "$.data[0].completedTime"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW | {"redeemingAmt": None}], "$.data[0].redeemingAmt"),
        (PURCHASE_REDEEM_HISTORY.decode, [ROW | {"ordId": 12}], "$.data[0].ordId"),
        (PURCHASE_REDEEM_HISTORY.decode, ROW, "$.data"),
        (APY_HISTORY.decode, [{"rate": "0.1"}], "$.data[0].ts"),
        (APY_HISTORY.decode, [{"rate": "", "ts": "1"}], "$.data[0].rate"),
    ],
)
def test_a_broken_answer_names_the_place(decode: Callable[[object], object], data: object, path: str) -> None:
    """A value that is not what it should be is refused with its path."""
    with pytest.raises(DecodeError) as caught:
        decode(data)

    assert caught.value.message.startswith(f"{path} ")


@given(
    st.sampled_from([PRODUCT_INFO, PURCHASE_REDEEM_HISTORY, APY_HISTORY, PURCHASE]),
    json_values
    | st.fixed_dictionaries(dict.fromkeys(PRODUCT, json_values | st.just("1")))
    | st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, json_values | st.just("1"))), max_size=2),
)
def test_no_garbage_escapes(endpoint: object, data: object) -> None:
    """Whatever the JSON holds, there is a result or a `DecodeError`."""
    with contextlib.suppress(DecodeError):
        result = endpoint.decode(data)  # type: ignore[attr-defined]
        assert result is None or isinstance(result, ProductInfo | tuple)


@pytest.mark.parametrize(
    ("endpoint", "requests", "scope", "signed", "safe"),
    [
        (PRODUCT_INFO, 3, Scope.USER, True, True),
        (PURCHASE, 2, Scope.USER, True, False),
        (REDEEM, 2, Scope.USER, True, False),
        (PURCHASE_REDEEM_HISTORY, 6, Scope.USER, True, True),
        (APY_HISTORY, 6, Scope.IP, False, True),
    ],
)
def test_how_each_may_be_called(endpoint: object, requests: int, scope: Scope, *, signed: bool, safe: bool) -> None:
    """The limits of OKX's documentation; what moves money is not sent twice."""
    assert (RateLimit(requests, 1.0, scope), signed, safe) == (
        endpoint.limit,  # type: ignore[attr-defined]
        endpoint.signed,  # type: ignore[attr-defined]
        endpoint.safe_to_resend,  # type: ignore[attr-defined]
    )


# What is sent.


class Recorder:
    """Keeps what was asked, and answers with no rows."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.targets.append(request.raw_path)
        self.bodies.append(await request.read())
        self.keys.append(request.headers.get("OK-ACCESS-KEY"))
        return web.json_response({"code": "0", "msg": "", "data": []})


@contextlib.asynccontextmanager
async def _recording() -> AsyncIterator[tuple[Recorder, SolStaking]]:
    recorder = Recorder()
    async with serving(recorder.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        yield recorder, SolStaking(CREDENTIALS, session)


@pytest.mark.parametrize(
    ("amt", "text"),
    [
        ("1.5", "1.5"),
        ("100", "100"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-9"), "0.000000001"),
        (Decimal("123456789012.123456789"), "123456789012.123456789"),
        (Decimal("1.500000000"), "1.500000000"),
        ("007", "7"),
    ],
)
async def test_an_amount_goes_out_in_plain_digits(amt: Decimal | str, text: str) -> None:
    """Without an exponent, digit by digit, whatever the caller's decimal context rounds to."""
    async with _recording() as (recorder, staking):
        with localcontext(Context(prec=2)):
            await staking.purchase(amt)
            await staking.redeem(amt)

    assert [f'{{"amt":"{text}"}}'.encode()] * 2 == recorder.bodies
    assert ["/purchase", "/redeem"] == [
        target.removeprefix("/api/v5/finance/staking-defi/sol") for target in recorder.targets
    ]


@pytest.mark.parametrize(
    "amt",
    [
        1.5, 1, 0, True, None, b"1", [1],
        "", " 1", "1 ", "+1", "-1", "1e3", ".5", "5.", "1,5", "1_000", "٣", "NaN", "inf", "0x1", "1" * 5000,
        "0", "0.0", "0.0000000001", "1.0000000000", "1000000000000",
        Decimal(0), Decimal("-0"), Decimal(-1), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
        Decimal("1E-10"), Decimal("1E+12"), Decimal("1E+999999"), Decimal("1E-999999"),
    ],
)  # fmt: skip
async def test_what_is_no_amount_never_leaves(amt: object) -> None:
    """It is told before anything is sent, in one line that says what is taken."""
    async with _recording() as (recorder, staking):
        for write in (staking.purchase, staking.redeem):
            with pytest.raises(ConfigurationError, match=r"^amt must ") as caught:
                await write(amt)  # type: ignore[arg-type]
            assert len(str(caught.value)) < 300

    assert [] == recorder.bodies


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.text() | st.from_regex(r"[0-9]{1,14}(\.[0-9]{1,11})?"))
def test_an_amount_is_exact_or_refused(amt: Decimal | str) -> None:
    """What is taken is the number that was passed, positive, with nine decimals at most."""
    try:
        found = checked_amount(amt)
    except ConfigurationError:
        return
    text = format(found, "f")
    assert Decimal(amt) == Decimal(text) > 0
    assert set(text) <= set("0123456789.")
    assert len(text.partition(".")[2]) <= 9


async def test_a_page_is_asked_for_in_okx_words() -> None:
    """Times go out in milliseconds, rounded so that the bounds mean the same."""
    at = datetime(2023, 5, 6, 22, 46, 11, 1, tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=8)))
    async with _recording() as (recorder, staking):
        await staking.purchase_redeem_history()
        await staking.purchase_redeem_history(
            type="redeem", status=OrderStatus.PENDING, after=at, before=elsewhere, limit=7
        )
        await staking.purchase_redeem_history(status=OrderStatus("cooling"))
        await staking.purchase_redeem_history(after=1683413171001, before="1683413171000")

    assert [
        "",
        "type=redeem&status=pending&after=1683413171001&before=1683413171000&limit=7",
        "status=cooling",
        "after=1683413171001&before=1683413171000",
    ] == [target.partition("?")[2] for target in recorder.targets]


@pytest.mark.parametrize(
    "arguments",
    [
        {"type": "buy"},
        {"type": OrderStatus.PENDING},
        {"status": "sucess"},
        {"status": 1},
        {"after": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is the mistake
        {"before": -1},
        {"before": True},
        {"after": 1683413171.5},
        {"after": "yesterday"},
        {"after": datetime(1969, 1, 1, tzinfo=UTC)},
        {"limit": 0},
        {"limit": 101},
        {"limit": True},
        {"limit": "5"},
    ],
)
async def test_a_wrong_argument_never_leaves(arguments: dict[str, object]) -> None:
    """It is named, and nothing is sent."""
    async with _recording() as (recorder, staking):
        (name,) = arguments
        with pytest.raises(ConfigurationError, match=rf"^{name} must "):
            await staking.purchase_redeem_history(**arguments)  # type: ignore[arg-type]

    assert [] == recorder.targets


@pytest.mark.parametrize("days", [0, 366, -1, 1.0, True, "7", None])
async def test_days_of_the_apy_history(days: object) -> None:
    """From 1 to 365."""
    async with _recording() as (recorder, staking):
        with pytest.raises(ConfigurationError, match=r"^days must be a whole number from 1 to 365"):
            await staking.apy_history(days)  # type: ignore[arg-type]

    assert [] == recorder.targets


async def test_the_apy_history_takes_no_key() -> None:
    """Nothing of a key is sent, and all users of a process share one limit."""
    async with _recording() as (recorder, staking):
        await staking.apy_history(365)
        await apy_history(1, staking._session)
        await staking._session.call(APY_HISTORY, None, {"days": "7"})
        bucket = staking._session.bucket(APY_HISTORY)

        assert bucket is staking._session.bucket(APY_HISTORY, CREDENTIALS)
        assert 3 == bucket.free  # type: ignore[attr-defined]

    assert [None, None, None] == recorder.keys
    assert ["days=365", "days=1", "days=7"] == [target.partition("?")[2] for target in recorder.targets]


async def test_the_apy_history_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is made, used and closed."""
    made: list[Session] = []

    class Recorded(Session):
        def __init__(self) -> None:
            super().__init__(base_url=exchange.url)
            made.append(self)

    monkeypatch.setattr("okx_sol_async.staking.client.Session", Recorded)
    async with Emulator() as exchange:
        assert 3 == len(await apy_history(3))

    assert made[0].closed


# At the exchange.


async def test_the_life_of_a_stake(exchange: Emulator, session: Session) -> None:
    """SOL becomes OKSOL, earns, and becomes SOL again; the history tells all of it."""
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


async def test_the_least_purchase_is_named(exchange: Emulator, session: Session) -> None:
    """OKX refuses less, and its message says how much is the least."""
    exchange.product = Product(min_amt=Decimal("0.25"))
    with pytest.raises(Rejected, match=r"0\.25") as caught:
        await SolStaking(exchange.credentials, session).purchase("0.2")

    assert "51727" == caught.value.code
    assert "product info" in str(caught.value)


async def test_a_key_that_may_only_read(exchange: Emulator, session: Session) -> None:
    """It is told which permission is missing."""
    key = exchange.user.add_key(permissions=["read_only"])
    with pytest.raises(PermissionDenied, match="Trade"):
        await SolStaking(key, session).purchase("1")


async def test_demo_trading_has_no_staking_writes() -> None:
    """The refusal says so."""
    async with Emulator(demo=True) as exchange, Session(base_url=exchange.url, demo=True) as session:
        with pytest.raises(Rejected, match="live key"):
            await SolStaking(exchange.credentials, session).redeem("1")


async def test_filters(exchange: Emulator, session: Session) -> None:
    """Type, status, both bounds and the length of the page."""
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
