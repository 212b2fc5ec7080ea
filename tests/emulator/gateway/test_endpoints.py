"""Every endpoint responds in the form of OKX."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from okx_sol_async.emulator import Emulator, Maintenance
from okx_sol_async.emulator.faults import Refusal
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from tests.support.signed_calls import (
    BALANCE_PATH,
    CONFIG_PATH,
    NOON,
    NOON_MS,
    ROW,
    TIME_PATH,
    VECTOR_KEY,
    VECTOR_TIME,
    Caller,
    Staker,
    okso,
    signed,
    success,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


@pytest.fixture(name="documented", scope="module")
def _documented() -> list[dict[str, Any]]:
    rows = json.loads((Path(__file__).parents[2] / "data" / "okx-errors.json").read_text("utf-8"))
    return [row for row in rows if row["documented"] and (row["code"], row["http"]) != ("50011", 200)]


async def test_every_documented_refusal(documented: list[dict[str, Any]], call: Caller) -> None:
    """`Refusal(code)` sends the status and the message that OKX documents, or that were seen where that was recorded."""
    async with Emulator() as exchange:
        for row in documented:
            exchange.fail_next(Refusal(row["code"]))
            async with call.http.get(exchange.url + TIME_PATH) as response:
                sent = await response.json()
            seen = re.search(r"\{.*?\}", row.get("observed", ""))
            msg = json.loads(seen[0])["msg"] if seen and seen[0].isascii() and "..." not in seen[0] else row["message"]
            pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(msg))

            assert row["code"] == sent["code"]
            assert re.fullmatch(pattern, sent["msg"]), row["code"]
            assert "{" not in sent["msg"]
            assert (401 if "HTTP 401" in row.get("observed", "") else row["http"]) == response.status


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("50014", lambda staker: staker.post("purchase", {})),
        ("51000", lambda staker: staker.post("purchase", {"amt": "x"})),
        ("51727", lambda staker: staker.post("purchase", {"amt": "0.001"})),
        ("51736", lambda staker: staker.post("purchase", {"amt": "1000"})),
        ("50115", lambda staker: staker.post("balance", {})),
        ("50119", lambda staker: staker.get("balance")),
    ],
)
async def test_an_injected_refusal_is_the_exchanges_own(
    code: str, make: Callable[[Staker], Awaitable[object]], frozen_exchange: Emulator, staker: Staker
) -> None:
    """A refusal that a test injects is the same, byte for byte, as the one that the exchange makes."""
    if code == "50119":
        staker.credentials = VECTOR_KEY
    own = await make(staker)
    frozen_exchange.fail_next(Refusal(code))

    assert own == await make(staker)
    assert [code, code] == [call.code for call in frozen_exchange.calls]


async def test_a_wrong_method(call: Caller) -> None:
    """A method that an endpoint does not have is a 50115 with status 405."""
    async with Emulator() as exchange, call.http.post(exchange.url + BALANCE_PATH) as response:
        assert 405 == response.status
        assert {"code": "50115", "msg": "Invalid request method."} == await response.json()


async def test_a_missing_endpoint_is_logged(call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """The log names an endpoint that the exchange does not have, so that its 404 does not look like OKX's."""
    async with Emulator() as exchange, call.http.get(f"{exchange.url}/api/v5/market/ticker?instId=SOL-USDT"):
        pass

    assert [
        "The emulator has no endpoint GET /api/v5/market/ticker; Emulator.stub() or POST /_emulator/stubs adds one"
    ] == [record.message for record in caplog.records if record.levelname == "WARNING"]


async def test_funding_balances(frozen_exchange: Emulator, staker: Staker) -> None:
    """The funding account lists SOL and OKSOL, with what is being redeemed as frozen, and filters by currency."""
    frozen_exchange.user.balance = okso("5")
    await staker.post("redeem", {"amt": "2"})
    path = "/api/v5/asset/balances"

    assert [
        {"availBal": "100", "bal": "100", "ccy": "SOL", "frozenBal": "0"},
        {"availBal": "3", "bal": "5", "ccy": "OKSOL", "frozenBal": "2"},
    ] == (await staker.send("GET", path))[1]["data"]
    assert ["OKSOL"] == [row["ccy"] for row in (await staker.send("GET", f"{path}?ccy=OKSOL,BTC"))[1]["data"]]


async def test_system_status(frozen_exchange: Emulator, call: Caller) -> None:
    """Planned maintenance is listed as OKX does, by state, one call in five seconds."""
    path = "/api/v5/system/status"
    assert success() == await call(frozen_exchange, {}, path)
    frozen_exchange.maintenance = [Maintenance(title="Upgrade", begin=NOON, end=NOON + timedelta(hours=1))]
    assert "50011" == (await call(frozen_exchange, {}, path))[1]["code"]
    await asyncio.sleep(5)
    _, body = await call(frozen_exchange, {}, f"{path}?state=scheduled")
    [row] = body["data"]
    assert ("Upgrade", "scheduled", str(NOON_MS), str(NOON_MS + 3_600_000)) == (
        row["title"],
        row["state"],
        row["begin"],
        row["end"],
    )
    await asyncio.sleep(5)
    assert success() == await call(frozen_exchange, {}, f"{path}?state=ongoing")
    await asyncio.sleep(5)
    assert "51000" == (await call(frozen_exchange, {}, f"{path}?state=perhaps"))[1]["code"]
    with pytest.raises(ConfigurationError, match="maintenance"):
        frozen_exchange.maintenance = ["Upgrade"]  # type: ignore[list-item] # that is the point


class TestResponses:
    async def test_balance(self, call: Caller) -> None:
        """A signed call for the balance gets OKX's documented row, numbers as strings."""
        async with Emulator() as exchange:
            assert success(ROW) == await call(exchange)

    async def test_balance_is_settable(self, call: Caller) -> None:
        """Amounts have eight digits after the point, or all that they have if they are more."""
        async with Emulator() as exchange:
            exchange.user.balance = Balance(
                "OKSOL", Decimal("1E-9"), Decimal("0E-8"), Decimal("12345678901234567890.10")
            )
            row = {
                "amt": "0.000000001",
                "ccy": "OKSOL",
                "latestInterestAccrual": "0.00000000",
                "totalInterestAccrual": "12345678901234567890.10000000",
            }

            assert success(row) == await call(exchange)

    async def test_no_balance(self, call: Caller) -> None:
        """A user without a balance is answered with no row."""
        async with Emulator() as exchange:
            exchange.user.balance = None

            assert success() == await call(exchange)

    async def test_time(self, call: Caller) -> None:
        """The public time is the exchange's clock in milliseconds, as a string, and needs no key."""
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            assert success({"ts": "1768519685149"}) == await call(exchange, {}, TIME_PATH)

    async def test_account_config(self, call: Caller) -> None:
        """The account configuration names the user that the rate limit counts by."""
        async with Emulator() as exchange:
            status, body = await call(exchange, path=CONFIG_PATH)

        [row] = body["data"]

        assert (200, "0") == (status, body["code"])
        assert exchange.user.uid == row["uid"] == row["mainUid"] == exchange.credentials.user_id
        assert ("read_only,trade", "") == (row["perm"], row["ip"])

    @pytest.mark.parametrize(("method", "path"), [("GET", "/api/v5/nothing/here"), ("GET", f"{BALANCE_PATH}/")])
    async def test_unknown_path(self, call: Caller, method: str, path: str) -> None:
        """A path that the exchange does not have is a 404, whose code is a number."""
        async with Emulator() as exchange, call.http.request(method, exchange.url + path) as response:
            assert 404 == response.status
            assert {"code": 404, "msg": "Not Found", "data": {}} == await response.json()
            assert 1 == exchange.count(code="404", endpoint=f"{method} {path}")

    async def test_headers(self, call: Caller) -> None:
        """Every response, refusals too, is JSON with a date and a trace id of its own, which the exchange remembers."""
        trace_ids = []
        async with Emulator() as exchange:
            for headers in (signed(exchange.credentials), {}, signed(VECTOR_KEY)):
                async with call.http.get(exchange.url + BALANCE_PATH, headers=headers) as response:
                    trace_ids.append(response.headers["x-trace-id"])

                    assert "application/json" == response.content_type
                    assert response.headers["Date"].endswith("GMT")

        assert 3 == len(set(trace_ids))
        assert trace_ids == [call.trace_id for call in exchange.calls]
