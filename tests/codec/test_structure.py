import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import ACCOUNT_CONFIG, BALANCE, AccountConfig, APIError, Balance, DecodeError
from okx_sol_async.codec._envelope import MAX_BODY
from okx_sol_async.codec._structure import wire_name
from tests.support.responses import result_of

ROW = {"amt": "0.01100012", "ccy": "OKSOL", "latestInterestAccrual": "0.00000012", "totalInterestAccrual": "0.5"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20)


def decode(body: bytes, status: int = 200) -> Balance:
    return result_of(BALANCE, status, body)


def response_of(*rows: object) -> bytes:
    return json.dumps({"code": "0", "data": list(rows), "msg": ""}).encode()


def test_the_response_of_the_documentation() -> None:
    """OKX's own example becomes exact numbers."""
    expected = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.5"))

    assert expected == decode(response_of(ROW))


@given(st.text(), amounts, amounts, amounts)
def test_round_trip(ccy: str, amt: Decimal, latest: Decimal, total: Decimal) -> None:
    """Whatever OKX writes as plain decimals comes back digit by digit."""
    texts = [format(number, "f") for number in (amt, latest, total)]
    row = dict(zip(("amt", "latestInterestAccrual", "totalInterestAccrual"), texts, strict=True))

    found = decode(response_of({"ccy": ccy, **row}))

    assert Balance(ccy, amt, latest, total) == found
    assert texts == [
        format(number, "f") for number in (found.amt, found.latest_interest_accrual, found.total_interest_accrual)
    ]


def test_no_rows_are_the_sum_of_no_assets() -> None:
    """An account without OKSOL has a balance of zero."""
    assert Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0)) == decode(response_of())


@pytest.mark.parametrize("field", ["latestInterestAccrual", "totalInterestAccrual"])
def test_a_blank_accrual_is_zero(field: str) -> None:
    """OKX leaves blank what there is none of."""
    found = decode(response_of(ROW | {field: ""}))

    assert 0 in {found.latest_interest_accrual, found.total_interest_accrual}


def test_new_fields_are_tolerated() -> None:
    """OKX adds fields to rows and envelopes."""
    body = json.dumps({"code": 0, "data": [ROW | {"ts": "1", "new": {"deep": [1]}}], "msg": "", "inTime": "1"})

    assert "OKSOL" == decode(body.encode()).ccy


@pytest.mark.parametrize(
    ("row", "path"),
    [
        (ROW | {"amt": ""}, "$.data[0].amt"),
        (ROW | {"amt": 0.5}, "$.data[0].amt"),
        (ROW | {"amt": 5}, "$.data[0].amt"),
        (ROW | {"amt": None}, "$.data[0].amt"),
        (ROW | {"amt": True}, "$.data[0].amt"),
        (ROW | {"amt": ["1"]}, "$.data[0].amt"),
        (ROW | {"amt": "NaN"}, "$.data[0].amt"),
        (ROW | {"amt": "Infinity"}, "$.data[0].amt"),
        (ROW | {"amt": "1e5"}, "$.data[0].amt"),
        (ROW | {"amt": "1_000"}, "$.data[0].amt"),
        (ROW | {"amt": " 1"}, "$.data[0].amt"),
        (ROW | {"amt": "1\n"}, "$.data[0].amt"),
        (ROW | {"amt": "+1"}, "$.data[0].amt"),
        (ROW | {"amt": ".5"}, "$.data[0].amt"),
        (ROW | {"amt": "5."}, "$.data[0].amt"),
        (ROW | {"amt": "٣"}, "$.data[0].amt"),
        (ROW | {"amt": "1" * 10_000}, "$.data[0].amt"),
        (ROW | {"ccy": 5}, "$.data[0].ccy"),
        (ROW | {"ccy": "\ud800"}, "$.data[0].ccy"),
        (ROW | {"latestInterestAccrual": "x"}, "$.data[0].latestInterestAccrual"),
        (ROW | {"totalInterestAccrual": None}, "$.data[0].totalInterestAccrual"),
        ({name: value for name, value in ROW.items() if name != "amt"}, "$.data[0].amt"),
        ({name: value for name, value in ROW.items() if name != "ccy"}, "$.data[0].ccy"),
        ([], "$.data[0]"),
        ("row", "$.data[0]"),
        (None, "$.data[0]"),
    ],
)
def test_a_broken_row_names_the_place(row: object, path: str) -> None:
    """A value that is not what it should be is refused with its path."""
    with pytest.raises(DecodeError) as caught:
        decode(response_of(row))

    assert caught.value.message.startswith(f"{path} ")
    assert len(str(caught.value)) < 300


def test_every_broken_field_is_named_at_once() -> None:
    """One error names all that is wrong with a row."""
    with pytest.raises(DecodeError, match=r"amt.*latestInterestAccrual.*totalInterestAccrual"):
        decode(response_of({"ccy": "OKSOL"}))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (response_of(ROW, ROW), r"\$\.data must hold one row"),
        (b'{"code":"0","msg":""}', r"\$\.data"),
        (b'{"code":"0","data":{},"msg":""}', r"\$\.data"),
        (b'{"data":[]}', r"\$\.code"),
        (b'{"code":null,"data":[]}', r"\$\.code"),
        (b'{"code":true,"data":[]}', r"\$\.code"),
        (b'{"code":0.0,"data":[]}', r"\$\.code"),
        (b"[]", r"\$ must be an object"),
        (b"null", r"\$ must be an object"),
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"code":"0","data":[', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"code":"0","data":NaN}', "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'{"code":' + b"1" * 10_000 + b"}", "not JSON"),
        (b" " * (MAX_BODY + 1), "longer than"),
    ],
)
def test_what_is_no_response_of_okx_is_refused(body: bytes, problem: str) -> None:
    """A status of success needs the envelope and the rows that OKX documents."""
    with pytest.raises(DecodeError, match=problem) as caught:
        decode(body)

    assert len(str(caught.value)) < 300


def test_the_excerpt_is_short_and_cannot_write_to_a_terminal() -> None:
    """What the response began with is shown, in ASCII."""
    with pytest.raises(DecodeError, match="begins with '<html> <b>hi</b>") as caught:
        decode(b"<html>\n<b>hi</b>\x1b[2J\xff" + b"x" * 5000)

    assert "\x1b" not in str(caught.value)
    assert str(caught.value).isprintable()


@given(json_values)
def test_no_garbage_escapes_the_rows(data: object) -> None:
    """Decoding any JSON gives a balance or a `DecodeError`, and nothing else."""
    with contextlib.suppress(DecodeError):
        assert isinstance(BALANCE.decode(data), Balance)


@given(st.fixed_dictionaries(dict.fromkeys(ROW, json_values | st.just("1"))))
def test_no_garbage_escapes_a_row(row: object) -> None:
    """The same for whatever may stand in the fields."""
    with contextlib.suppress(DecodeError):
        assert isinstance(BALANCE.decode([row]), Balance)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.integers(100, 599))
def test_no_garbage_escapes_the_envelope(body: bytes, status: int) -> None:
    """Any bytes with any status are data, a refusal or a `DecodeError`."""
    expected = (DecodeError, APIError) if 200 <= status < 300 else APIError
    with contextlib.suppress(expected):
        assert isinstance(result_of(BALANCE, status, body), Balance)
        assert 200 <= status < 300


@pytest.mark.parametrize("code", [50011, "50011"])
def test_a_code_may_be_a_number(code: object) -> None:
    """OKX has sent both."""
    with pytest.raises(APIError) as caught:
        result_of(BALANCE, 429, json.dumps({"code": code, "msg": "Too Many Requests"}).encode())

    assert "50011" == caught.value.code


def test_a_code_cannot_write_to_a_terminal() -> None:
    """Whatever stands there is reported on one short line."""
    with pytest.raises(APIError) as caught:
        result_of(BALANCE, 200, json.dumps({"code": "x\n\x1b[31m" + "y" * 5000}).encode())

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_success_needs_both_the_code_and_the_status() -> None:
    """``code`` 0 with a status of failure is a failure."""
    with pytest.raises(APIError) as caught:
        result_of(BALANCE, 503, response_of(ROW))

    assert caught.value.code is None
    assert 503 == caught.value.status


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "one row"),
        ([{"uid": "1", "mainUid": "2"}] * 2, "one row"),
        ([{"uid": "", "mainUid": "2"}], r"\$\.data\[0\]\.uid is empty"),
        ([{"uid": 44705892343619584, "mainUid": "2"}], r"\$\.data\[0\]\.uid"),
        ([{"uid": "1"}], r"\$\.data\[0\]\.mainUid is missing"),
    ],
)
def test_an_account_without_a_user_id_is_no_account(rows: list[object], problem: str) -> None:
    """An empty or doubtful User ID would put strangers in one bucket."""
    with pytest.raises(DecodeError, match=problem):
        ACCOUNT_CONFIG.decode(rows)


def test_an_account_of_okx() -> None:
    """Booleans and arrays that stand beside the two ids do no harm."""
    row = {"uid": "44705892343619584", "mainUid": "44705892343619584", "autoLoan": False, "opAuth": "1", "x": []}

    assert AccountConfig("44705892343619584", "44705892343619584") == ACCOUNT_CONFIG.decode([row])


def test_names_on_the_wire() -> None:
    """A field is spelt in OKX's way."""
    assert ["ccy", "latestInterestAccrual"] == [wire_name("ccy"), wire_name("latest_interest_accrual")]
