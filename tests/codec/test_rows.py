"""Every model, read from a row of which each field is known."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from okx_sol_async import (
    AccountConfig,
    Apy,
    Balance,
    DecodeError,
    FundingBalance,
    Order,
    OrderStatus,
    OrderType,
    ProductInfo,
)
from okx_sol_async.codec._structure import read_row, read_rows
from okx_sol_async.models import SystemStatus, SystemTime

WIRE_TIME, TIME = "1597026383085", datetime(2020, 8, 10, 2, 26, 23, 85000, tzinfo=UTC)
ORDER = {"type": "redeem", "status": "pending", "amt": "1.50", "requestTime": WIRE_TIME, "completedTime": ""}
LATER = {"estCompletedTime": "", "redeemingAmt": "", "ordId": ""}

ROWS = [
    ({"uid": "12", "mainUid": "34"}, AccountConfig("12", "34")),
    (
        {"uid": "12", "mainUid": "34", "perm": "read_only,trade", "ip": ",1.2.3.4,", "type": ""},
        AccountConfig("12", "34", perm=("read_only", "trade"), ip=("1.2.3.4",), type=None),
    ),
    ({"uid": "12", "mainUid": "34", "type": "0"}, AccountConfig("12", "34", type="0")),
    ({"rate": "0.1128", "ts": WIRE_TIME}, Apy(Decimal("0.1128"), TIME)),
    (
        {"ccy": "OKSOL", "amt": "-1.0", "latestInterestAccrual": "", "totalInterestAccrual": "007"},
        Balance("OKSOL", Decimal("-1.0"), Decimal(0), Decimal(7)),
    ),
    (
        {"ccy": "SOL", "bal": "3", "availBal": "2", "frozenBal": ""},
        FundingBalance("SOL", Decimal(3), frozen_bal=Decimal(0), avail_bal=Decimal(2)),
    ),
    (ORDER | LATER, Order(OrderType.REDEEM, OrderStatus.PENDING, Decimal("1.50"), TIME)),
    (
        ORDER
        | {"type": "new", "status": "newer", "completedTime": WIRE_TIME}
        | {"estCompletedTime": "1", "redeemingAmt": "0.5", "ordId": "7"},
        Order(
            OrderType("new"),
            OrderStatus("newer"),
            Decimal("1.50"),
            TIME,
            TIME,
            est_completed_time=datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
            redeeming_amt=Decimal("0.5"),
            ord_id="7",
        ),
    ),
    ({"ts": WIRE_TIME}, SystemTime(TIME)),
]


@pytest.mark.parametrize(("row", "model"), ROWS, ids=lambda value: type(value).__name__)
def test_every_field_of_a_row_is_read(row: dict[str, str], model: object) -> None:
    """A row becomes its model field by field, with blank fields as absent, however many rows there are."""
    assert (model,) == read_rows([row], type(model))
    assert (model, model) == read_rows([row, row], type(model))
    assert () == read_rows([], type(model))
    assert model == read_row([row], type(model)) == read_row(row, type(model))


def test_a_maintenance_may_have_no_end() -> None:
    """A blank begin or end is absent, and the others are exact."""
    row = {"title": "Upgrade", "state": "ongoing", "begin": WIRE_TIME, "end": "", "serviceType": "5", "href": "x"}

    (found,) = read_rows([row], SystemStatus)

    assert (TIME, None) == (found.begin, found.end)


def product(**changed: object) -> dict[str, object]:
    limits = {"fastRedemptionAvail": "120", "fastRedemptionDailyLimit": "240", "minAmt": "0.01"}
    return {"rate": "11.28", "redemptDays": "2"} | limits | changed


def test_a_percentage_is_an_exact_fraction() -> None:
    """The rate of the product is in percent on the wire, and loses no digit."""
    digits = "12345678901234567890123456789012345.678"

    found = read_row(product(rate=digits), ProductInfo)

    assert "123456789012345678901234567890123.45678" == format(found.rate, "f")
    assert ("0.1128", 2) == (str(read_row(product(), ProductInfo).rate), found.redempt_days)


@pytest.mark.parametrize("days", ["2.5", "0.1", "x"])
def test_days_are_a_whole_number(days: str) -> None:
    """A part of a day is refused, with its place."""
    with pytest.raises(DecodeError, match=r"^\$\.data\.redemptDays must be a"):
        read_row(product(redemptDays=days), ProductInfo)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([{}, {}], r"\$\.data must hold one row, not 2"),
        ([], r"\$\.data must hold one row, not 0"),
        ("x", r"\$\.data must be an object, not 'x'"),
        (["x"], r"\$\.data\[0\] must be an object, not 'x'"),
        ([{"ts": ""}], r"\$\.data\[0\]\.ts must be a string with milliseconds"),
        ({"ts": 1}, r"\$\.data\.ts must be a string with milliseconds"),
        ({"ts": "1" * 15}, r"\$\.data\.ts must be a string with milliseconds"),
        ({}, r"\$\.data\.ts is missing"),
    ],
)
def test_one_row_is_wanted(data: object, problem: str) -> None:
    """What is not one row with its fields is refused with the place."""
    with pytest.raises(DecodeError, match=problem):
        read_row(data, SystemTime)


@pytest.mark.parametrize("word", ["type", "status"])
def test_a_word_is_not_empty(word: str) -> None:
    """An order without a type or a status is refused, in each row."""
    with pytest.raises(DecodeError, match=rf"\$\.data\[1\]\.{word} must be a word, not ''"):
        read_rows([ORDER | LATER, ORDER | LATER | {word: ""}], Order)


@pytest.mark.parametrize("digits", [1, 128])
def test_the_longest_numbers(digits: int) -> None:
    """128 digits are read on each side of the point, and not one more."""
    longest, fields = "7" * digits, {"ccy": "SOL", "availBal": "1", "frozenBal": "1"}

    (found,) = read_rows([fields | {"bal": f"{longest}.{longest}"}], FundingBalance)

    assert f"{longest}.{longest}" == format(found.bal, "f")
    for bad in (f"{'7' * 129}.1", f"1.{'7' * 129}"):
        with pytest.raises(DecodeError, match="decimal number"):
            read_rows([fields | {"bal": bad}], FundingBalance)
