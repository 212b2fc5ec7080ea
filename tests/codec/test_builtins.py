"""Results as plain types and as JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from okx_sol_async import (
    BALANCE,
    Balance,
    ConfigurationError,
    Credentials,
    OKXError,
    Order,
    OrderStatus,
    OrderType,
    Session,
    SolStaking,
    Timeout,
    to_builtins,
    to_json,
)
from okx_sol_async.emulator import Emulator

AT = datetime(2026, 1, 31, 18, 0, 0, 5000, tzinfo=timezone(timedelta(hours=2)))


def test_amounts_are_strings_with_all_their_digits() -> None:
    """A decimal keeps each digit, and is never written with an exponent."""
    balance = Balance("OKSOL", Decimal("0.000000001"), Decimal("1E+3"), Decimal("123456789012.123456789"))
    expected = {
        "ccy": "OKSOL",
        "amt": "0.000000001",
        "latest_interest_accrual": "1000",
        "total_interest_accrual": "123456789012.123456789",
    }
    assert expected == to_builtins(balance) == json.loads(to_json(balance))


def test_json_is_readable_in_any_language() -> None:
    """Letters outside ASCII are written as they are."""
    assert '"ccy": "Ölé"' in to_json(Balance("Ölé", Decimal(1), Decimal(0), Decimal(0)))


def test_times_are_rfc_3339_and_words_are_words() -> None:
    """Times are in UTC with their fraction, and a word of OKX's is a plain string, known or not."""
    order = Order(OrderType("swap"), OrderStatus.SUCCESS, Decimal("1.50"), AT, AT + timedelta(microseconds=1))
    plain = to_builtins(order)
    assert ("swap", "success", "1.50") == (plain["type"], plain["status"], plain["amt"])
    assert ("2026-01-31T16:00:00.005Z", "2026-01-31T16:00:00.005001Z") == (
        plain["request_time"],
        plain["completed_time"],
    )
    assert {str} == {type(plain["type"]), type(plain["status"])}
    assert plain["ord_id"] is None
    assert AT == datetime.fromisoformat(str(plain["request_time"]))
    assert [plain, plain] == to_builtins((order, order)) == json.loads(to_json([order, order]))


async def test_a_response_a_receipt_and_a_report_are_plain_too(exchange: Emulator) -> None:
    """What a call returns and reports is JSON, its errors and headers too, without private fields."""
    reports: list[object] = []
    async with Session(base_url=exchange.url, observe=reports.append) as session:
        response = await session.request(BALANCE, exchange.credentials)
        receipt = await SolStaking(exchange.credentials, session).purchase("1.5")
        stranger = Credentials("unknown", "secret-of-it", "words-of-it")
        with pytest.raises(OKXError) as caught:
            await session.call(BALANCE, stranger)
    plain = json.loads(to_json(response))
    assert "0.01100012" == plain["result"]["amt"]
    assert response.sent_at == datetime.fromisoformat(plain["sent_at"])
    assert "Content-Type" in plain["headers"]
    bought = to_builtins(receipt)
    assert {"type": "purchase", "amt": "1.5"}.items() <= bought.items()
    assert not [name for name in bought if name.startswith("_")]
    report = json.loads(to_json(reports[-1]))
    assert report["error"] == to_builtins(caught.value)
    assert ("AuthenticationError", "50119") == (report["error"]["type"], report["error"]["code"])
    assert "secret-of-it" not in to_json(reports[-1])


def test_a_write_that_is_unknown_can_be_stored() -> None:
    """An error is its fields, and its type is its name."""
    error = Timeout("no whole response", attempts=3, retry_after=1.5)
    assert {
        "type": "Timeout",
        "message": "no whole response",
        "attempts": 3,
        "retry_after": 1.5,
    }.items() <= to_builtins(error).items()


@pytest.mark.parametrize("result", [5, "x", None, datetime.now(UTC), Balance])
def test_other_things_are_refused(result: object) -> None:
    """What is no result has no plain form."""
    with pytest.raises(ConfigurationError) as caught:
        to_builtins(result)
    assert "result" == caught.value.argument
