"""Clients that other people wrote get their answers from the local exchange, so it is not made to fit our own."""

from __future__ import annotations

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
