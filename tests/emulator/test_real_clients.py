"""Clients by other authors work with the local exchange, so it is not made to fit our own."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from okx.Finance.SolStaking import SolStakingAPI  # type: ignore[import-untyped]

from okx_sol_async.emulator import Emulator

ROW = {
    "amt": "0.01100012",
    "ccy": "OKSOL",
    "latestInterestAccrual": "0.00000012",
    "totalInterestAccrual": "0.00000012",
}


# python-okx asks for the time in a way that Python 3.12 began to warn of.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:okx.utils")
@pytest.mark.parametrize(("demo", "flag"), [(False, "0"), (True, "1")])
def test_python_okx(*, demo: bool, flag: str) -> None:
    """The official Python client gets the balance row, live and in demo trading."""
    with Emulator(demo=demo) as exchange:
        key = exchange.credentials
        with SolStakingAPI(key.api_key, key.secret_key, key.passphrase, flag=flag, domain=exchange.url) as client:
            answer = client.sol_balance()

    assert {"code": "0", "msg": "", "data": [ROW]} == answer
    assert 1 == exchange.count(code="0", endpoint="GET /api/v5/finance/staking-defi/sol/balance")


@pytest.mark.filterwarnings(
    "ignore:datetime.datetime.utcnow:DeprecationWarning:okx.utils",
    "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning:httpx",
)
def test_python_okx_stakes() -> None:
    """The official Python client purchases, redeems and reads everything, and the books say so."""
    with Emulator() as exchange:
        key = exchange.credentials
        with SolStakingAPI(key.api_key, key.secret_key, key.passphrase, flag="0", domain=exchange.url) as client:
            product = client.sol_product_info()
            done = [client.sol_purchase("10"), client.sol_redeem("4")]
            refused = client.sol_redeem("7")
            rows = client.sol_purchase_redeem_history(type="redeem", status="pending", limit="1")["data"]
            apy = client.sol_apy_history("30")
            exchange.advance(timedelta(days=2))
            balance = client.sol_balance()

    assert {"code": "0", "msg": "", "data": []} == done[0] == done[1]
    assert "5.57" == product["data"]["rate"]
    assert "51758" == refused["code"]
    assert ["4.00000000"] == [row["redeemingAmt"] for row in rows]
    assert 30 == len(apy["data"])
    assert ["success", "success"] == [order.status for order in exchange.user.orders]
    assert Decimal(94) == exchange.user.sol
    assert exchange.user.balance is not None
    assert format(exchange.user.balance.amt, "f") == balance["data"][0]["amt"]
