"""What the methods take, and what they send for it."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import (
    ConfigurationError,
    OrderStatus,
    OrderType,
    Write,
)
from okx_sol_async.staking._arguments import checked_amount
from tests.support.recorder import recording

pytestmark = pytest.mark.virtual_clock


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
async def test_an_amount_is_sent_in_plain_digits(amt: Decimal | str, text: str) -> None:
    """It has no exponent and each of its digits, whatever the caller's decimal context rounds to."""
    async with recording() as (recorder, staking):
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
async def test_an_invalid_amount_is_not_sent(amt: object) -> None:
    """The error is raised before anything is sent, and says in one line what is accepted."""
    async with recording() as (recorder, staking):
        for write in (staking.purchase, staking.redeem):
            with pytest.raises(ConfigurationError, match=r"^amt must ") as caught:
                await write(amt)  # type: ignore[arg-type]
            assert len(str(caught.value)) < 300

    assert [] == recorder.bodies


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.text() | st.from_regex(r"[0-9]{1,14}(\.[0-9]{1,11})?"))
def test_an_amount_is_exact_or_refused(amt: Decimal | str) -> None:
    """An accepted amount is the number that was passed, positive, with nine decimals at most."""
    try:
        found = checked_amount(amt)
    except ConfigurationError:
        return
    text = format(found, "f")
    assert Decimal(amt) == Decimal(text) > 0
    assert set(text) <= set("0123456789.")
    assert len(text.partition(".")[2]) <= 9


async def test_the_bounds_of_a_page_are_sent_in_milliseconds() -> None:
    """They are rounded so that the bounds mean the same."""
    at = datetime(2023, 5, 6, 22, 46, 11, 1, tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=8)))
    async with recording() as (recorder, staking):
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
        {"before": 10**14},
        {"before": "1" * 15},
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
async def test_a_wrong_argument_is_not_sent(arguments: dict[str, object]) -> None:
    """The error names the argument, and nothing is sent."""
    async with recording() as (recorder, staking):
        (name,) = arguments
        with pytest.raises(ConfigurationError, match=rf"^{name} must "):
            await staking.purchase_redeem_history(**arguments)  # type: ignore[arg-type]

    assert [] == recorder.targets


async def test_the_first_and_the_last_millisecond_of_a_page_bound() -> None:
    """The year 1970 begins with one, and a bound has fourteen digits at most, as a number and as text."""
    async with recording() as (recorder, staking):
        await staking.purchase_redeem_history(after=datetime(1970, 1, 1, tzinfo=UTC), before=0)
        await staking.purchase_redeem_history(after=10**14 - 1, before="9" * 14)

    assert ["after=0&before=0", f"after={'9' * 14}&before={'9' * 14}"] == [
        target.partition("?")[2] for target in recorder.targets
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "buy"),
        ("amt", 1),
        ("amt", None),
        ("amt", Decimal("NaN")),
        ("amt", Decimal("Infinity")),
        ("sent_at", 1683413171001),
        ("sent_at", datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the mistake
        ("sent_at", datetime.min.replace(tzinfo=UTC)),
        ("sent_at", datetime.max.replace(tzinfo=UTC)),
        ("owner", 1),
        ("origin", None),
        ("id", b"1"),
        ("demo", 1),
        ("trace_id", 1),
        ("outcome", "sent"),
        ("ordered_at", datetime(2026, 1, 1)),  # noqa: DTZ001 - as above
    ],
)
async def test_a_write_with_a_wrong_field_is_not_looked_up(field: str, value: object) -> None:
    """The error names the field, and nothing is sent. A write is made anywhere: out of a file, or by a test."""
    write = Write(OrderType.REDEEM, Decimal(1), datetime(2026, 1, 1, tzinfo=UTC), "user:u", "https://x", demo=False)
    object.__setattr__(write, field, value)
    async with recording() as (recorder, staking):
        with pytest.raises(ConfigurationError, match=rf"^write has a wrong {field}: ") as caught:
            await staking.resolve(write)

    assert "write" == caught.value.argument
    assert [] == recorder.targets


@pytest.mark.parametrize(("amt", "hint"), [(1.5, True), (1, True), ("1,5", False), (None, False)])
async def test_a_number_that_is_no_decimal_comes_with_a_hint(amt: object, hint: object) -> None:
    """It says how to write the amount."""
    with pytest.raises(ConfigurationError) as caught:
        checked_amount(amt)

    assert hint == ("Decimal('1.5')" in (caught.value.hint or ""))


@pytest.mark.parametrize("days", [0, 366, -1, 1.0, True, "7", None])
async def test_days_of_the_apy_history(days: object) -> None:
    """They are a whole number from 1 to 365."""
    async with recording() as (recorder, staking):
        with pytest.raises(ConfigurationError, match=r"^days must be a whole number from 1 to 365"):
            await staking.apy_history(days)  # type: ignore[arg-type]

    assert [] == recorder.targets
