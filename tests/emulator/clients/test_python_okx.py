"""OKX's own Python client, python-okx, works with the local exchange, so it is not made to fit our own."""

from __future__ import annotations

import pytest
from okx.Finance.SolStaking import SolStakingAPI  # type: ignore[import-untyped]

from tests.emulator.clients.scenarios import (
    MISTAKES,
    Settings,
    check_a_mistake,
    check_demo,
    check_everything_works,
    check_the_limit,
)

pytestmark = [
    # python-okx asks for the time, and sends bodies, in ways that Python and httpx warn of.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:okx.utils"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning:httpx"),
    pytest.mark.shows_secrets("it is another client, which logs as it likes"),
]


def calls(settings: Settings, names: tuple[str, ...]) -> list[str]:
    flag = "1" if settings.demo else "0"
    key = settings.api_key, settings.secret_key, settings.passphrase
    with SolStakingAPI(*key, flag=flag, domain=settings.url) as client:
        methods = {
            "balance": client.sol_balance,
            "product": client.sol_product_info,
            "purchase": lambda: client.sol_purchase("1.5"),
            "redeem": lambda: client.sol_redeem("0.5"),
            "history": lambda: client.sol_purchase_redeem_history(type="redeem", limit="1"),
            "apy": lambda: client.sol_apy_history("7"),
        }
        return [methods[name]()["code"] for name in names]


def test_everything_works() -> None:
    """Every call of SOL staking that it has does what it says."""
    check_everything_works(calls)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake(mistake: str) -> None:
    """Each call is refused for what is wrong."""
    check_a_mistake(calls, mistake)


def test_demo() -> None:
    """It works in demo trading."""
    check_demo(calls)


def test_the_limit() -> None:
    """It is refused above the limit."""
    check_the_limit(calls)
