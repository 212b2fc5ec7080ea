"""A call from end to end, against the emulator over real sockets."""

from decimal import Decimal

import pytest

from okx_sol_async import (
    BALANCE,
    AuthenticationError,
    Balance,
    ConfigurationError,
    Credentials,
    Endpoint,
    RateLimit,
    Scope,
    Session,
    SolStaking,
)
from okx_sol_async.emulator import Emulator

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


async def test_the_balance_end_to_end(exchange: Emulator) -> None:
    """Signed, limited, decoded."""
    async with Session(base_url=exchange.url) as session:
        balance = await SolStaking(exchange.credentials, session).balance()

    assert EXPECTED == balance
    assert 1 == exchange.tally().accepted


async def test_no_oksol_is_a_balance_of_zero(exchange: Emulator, session: Session) -> None:
    """OKX responds without a row."""
    exchange.user.balance = None

    assert (
        Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0))
        == await SolStaking(exchange.credentials, session).balance()
    )


async def test_demo_trading() -> None:
    """Demo calls carry the header, and mixing demo with live is named."""
    async with Emulator(demo=True) as exchange:
        async with Session(base_url=exchange.url, demo=True) as session:
            assert EXPECTED == await session.call(BALANCE, exchange.credentials)
        async with Session(base_url=exchange.url) as session:
            with pytest.raises(AuthenticationError, match="OKX_DEMO=1") as caught:
                await session.call(BALANCE, exchange.credentials)

    assert "50101" == caught.value.code


async def test_public_endpoints_need_no_key(exchange: Emulator, session: Session) -> None:
    """What is not signed carries no header of a key."""
    public = Endpoint(
        "GET", "/api/v5/public/time", RateLimit(10, 2.0, Scope.IP), decode=lambda data: data, signed=False
    )

    rows = await session.call(public)

    assert [["ts"]] == [list(row) for row in rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            {"api_key": "8f1c2d3e-dead-beef-9c6d-7e8f90a1b2c3"},
            "50119",
            ["us (https://us.okx.com)", "eea (https://eea.okx.com)"],
        ),
        ({"secret_key": "wrong-secret"}, "50113", ["secret key", "OKX_SECRET_KEY"]),
        ({"passphrase": "wrong-passphrase"}, "50105", ["passphrase", "OKX_PASSPHRASE"]),
    ],
)
async def test_each_wrong_value_of_a_key_is_named(
    exchange: Emulator, session: Session, change: dict[str, str], code: str, words: list[str]
) -> None:
    """Each wrong value of the three is named, with all that support would ask for."""
    wrong = {field: getattr(exchange.credentials, field) for field in ("api_key", "secret_key", "passphrase")}

    with pytest.raises(AuthenticationError) as caught:
        await session.call(BALANCE, Credentials(**(wrong | change)))

    error = caught.value
    assert (code, 401, str(BALANCE)) == (error.code, error.status, error.endpoint)
    assert exchange.calls[-1].trace_id == error.trace_id
    assert [] == [word for word in words if word not in str(error)]
    assert "\n" not in str(error)


async def test_credentials_are_needed_where_they_are(session: Session) -> None:
    """A signed endpoint without a key is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="needs credentials"):
        await session.call(BALANCE)
