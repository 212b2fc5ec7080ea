"""The endpoints: their rows become results, and how each may be called."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import (
    APY_HISTORY,
    PRODUCT_INFO,
    PURCHASE,
    PURCHASE_REDEEM_HISTORY,
    REDEEM,
    Apy,
    DecodeError,
    Order,
    OrderStatus,
    OrderType,
    ProductInfo,
    RateLimit,
    Scope,
)

pytestmark = pytest.mark.virtual_clock


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
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("data", [PRODUCT, [PRODUCT], [PRODUCT | {"new": [1]}]])
def test_product_info(data: object) -> None:
    """It is an object, or an array of one, and its percentage becomes a fraction."""
    expected = ProductInfo(Decimal(240), Decimal(240), Decimal("0.0557"), 2, Decimal("0.01"))

    assert expected == PRODUCT_INFO.decode(data)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30), st.integers(1, 5))
def test_a_percentage_becomes_exactly_that_fraction(percentage: Decimal, precision: int) -> None:
    """The fraction is exact, whatever precision the caller's decimal context has."""
    with localcontext(Context(prec=precision)):
        found = PRODUCT_INFO.decode(PRODUCT | {"rate": format(percentage, "f")}).rate

    with localcontext(Context(prec=500)):
        assert percentage == found * 100


def test_an_order_of_the_documentation() -> None:
    """Blank and missing fields are `None`."""
    expected = Order(OrderType.PURCHASE, OrderStatus.SUCCESS, Decimal("0.62666630"), THEN, completed_time=THEN)
    scarce = {name: text for name, text in ROW.items() if text}

    assert (expected, expected) == PURCHASE_REDEEM_HISTORY.decode([ROW, scarce])


def test_an_order_with_all_that_okx_has_ever_sent() -> None:
    """It has an id, an estimate and the amount that is being redeemed."""
    row = ROW | {"ordId": "12", "estCompletedTime": "1683413171000", "redeemingAmt": "0.1", "completedTime": ""}

    (order,) = PURCHASE_REDEEM_HISTORY.decode([row])

    assert ("12", THEN, Decimal("0.1"), None) == (
        order.ord_id,
        order.est_completed_time,
        order.redeeming_amt,
        order.completed_time,
    )


def test_unknown_types_and_statuses_are_kept() -> None:
    """A new type or status is a member like any other, and equal to OKX's string."""
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


def test_the_rows_of_a_write_are_not_read() -> None:
    """Whatever OKX puts into the rows of a purchase, a purchase that was made succeeds."""
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
def test_a_broken_row_names_the_place(decode: Callable[[object], object], data: object, path: str) -> None:
    """A value of the wrong type or form raises a `DecodeError` with its path."""
    with pytest.raises(DecodeError) as caught:
        decode(data)

    assert caught.value.message.startswith(f"{path} ")


@given(
    st.sampled_from([PRODUCT_INFO, PURCHASE_REDEEM_HISTORY, APY_HISTORY, PURCHASE]),
    json_values
    | st.fixed_dictionaries(dict.fromkeys(PRODUCT, json_values | st.just("1")))
    | st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, json_values | st.just("1"))), max_size=2),
)
def test_garbage_raises_no_other_error(endpoint: object, data: object) -> None:
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
def test_how_each_endpoint_may_be_called(
    endpoint: object, requests: int, scope: Scope, *, signed: bool, safe: bool
) -> None:
    """The limits are those of OKX's documentation, and what moves money is not resent."""
    assert (RateLimit(requests, 1.0, scope), signed, safe) == (
        endpoint.limit,  # type: ignore[attr-defined]
        endpoint.signed,  # type: ignore[attr-defined]
        endpoint.safe_to_resend,  # type: ignore[attr-defined]
    )
