"""What purchases and redemptions have in common."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from okx_sol_async.emulator import Emulator, Product
from tests.support.signed_calls import (
    BALANCE_PATH,
    DONE,
    ZERO,
    Staker,
    okso,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestWrites:
    """What a purchase and a redemption have in common."""

    WRITES = pytest.mark.parametrize("path", ["purchase", "redeem"])

    @WRITES
    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ("", 400, "50000"),
            ("{", 400, "50002"),
            ("[]", 400, "50002"),
            ('"1"', 400, "50002"),
            ("null", 400, "50002"),
            ("[" * 50_000, 400, "50002"),
            ("{}", 400, "50014"),
            ('{"amt":""}', 400, "50014"),
            ('{"amt":null}', 400, "50014"),
            ('{"amt":1}', 400, "51000"),
            ('{"amt":true}', 400, "51000"),
            ('{"amt":["1"]}', 400, "51000"),
            *(
                (f'{{"amt":"{amt}"}}', 400, "51000")
                for amt in ("0", "0.000", "-1", "+1", "1e3", "1,5", " 1", "1.", ".5", "NaN", "Infinity", "0x1", "١")
            ),
            ('{"amt":"0.0000000001"}', 400, "51000"),
        ],
    )
    async def test_malformed_body(
        self, frozen_exchange: Emulator, staker: Staker, path: str, body: str, status: int, code: str
    ) -> None:
        """A body that is no JSON object with an amount as decimal text is refused, and moves nothing."""
        got, answer = await staker.post(path, body)

        assert (status, code) == (got, answer["code"])
        assert () == frozen_exchange.user.orders

    @WRITES
    @pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", ""])
    async def test_content_type(self, staker: Staker, path: str, content_type: str | None) -> None:
        """A body must say that it is JSON."""
        status, answer = await staker.post(path, {"amt": "1"}, content_type=content_type)

        assert (400, "50006") == (status, answer["code"])

    @WRITES
    @pytest.mark.parametrize("content_type", ["application/JSON", "application/json; charset=utf-8"])
    async def test_content_type_of_json(
        self, frozen_exchange: Emulator, staker: Staker, path: str, content_type: str
    ) -> None:
        """Case and charset do not matter."""
        frozen_exchange.user.balance = okso("1")

        assert DONE == await staker.post(path, {"amt": "1", "unknown": [1]}, content_type=content_type)

    @WRITES
    async def test_permission(self, frozen_exchange: Emulator, staker: Staker, path: str) -> None:
        """A key without the Trade permission may read and not write, and is not counted."""
        staker.credentials = frozen_exchange.user.add_key(permissions=["read_only"])
        for _ in range(3):
            status, answer = await staker.post(path, {"amt": "1"})

            assert (200, "50120") == (status, answer["code"])
            assert "data" not in answer
        assert [] == await staker.data("purchase-redeem-history")

    async def test_reading_needs_a_permission_too(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A key that may only trade may not read."""
        staker.credentials = frozen_exchange.user.add_key(permissions=["trade"])

        assert "50120" == await staker.code("balance")

    @WRITES
    async def test_demo(self, frozen_exchange: Emulator, staker: Staker, path: str) -> None:
        """Demo trading has a balance and no purchases and redemptions."""
        staker.credentials = frozen_exchange.add_user(demo=True).credentials
        staker.extra = {"x-simulated-trading": "1"}
        status, answer = await staker.post(path, {"amt": "1"})

        assert (200, "50038") == (status, answer["code"])
        assert "0" == await staker.code("balance")

    @WRITES
    async def test_sub_account(self, frozen_exchange: Emulator, staker: Staker, path: str) -> None:
        """A sub-account may stake, unless the product says otherwise."""
        sub = frozen_exchange.add_user(main=frozen_exchange.user, balance=okso("1"))
        staker.credentials = sub.credentials
        frozen_exchange.product = Product(sub_accounts=False)

        assert frozen_exchange.user.uid == frozen_exchange.user.main_uid == sub.main_uid != sub.uid
        assert "51735" == await staker.code(path, {"amt": "1"})

        frozen_exchange.product = Product()

        assert DONE == await staker.post(path, {"amt": "1"})

    async def test_sub_accounts_share_the_fast_limit(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """What one account of a family redeems fast is gone for the others."""
        frozen_exchange.product = Product(fast_redemption=True)
        sub = frozen_exchange.add_user(main=frozen_exchange.user, balance=okso("100"))
        other = Staker(staker.http, frozen_exchange, sub.credentials)
        other.timestamp = staker.timestamp
        await other.post("redeem", {"amt": "40"})

        assert "200" == (await staker.data("product-info"))["fastRedemptionAvail"]
        staker.credentials = frozen_exchange.add_user().credentials
        assert "240" == (await staker.data("product-info"))["fastRedemptionAvail"]

    async def test_order_of_the_checks(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Of several mistakes the first in the documented order is named."""
        sub_of_demo = frozen_exchange.add_user(demo=True, main=frozen_exchange.user, sol=ZERO)
        readable = sub_of_demo.add_key(permissions=["read_only"])
        frozen_exchange.product = Product(sub_accounts=False, suspended=True, max_amt=ZERO)
        staker.extra = {"x-simulated-trading": "1"}

        staker.credentials = readable
        assert "50120" == (await staker.post("purchase", "", content_type="text/plain"))[1]["code"]
        staker.credentials = sub_of_demo.credentials
        assert "50038" == (await staker.post("purchase", "", content_type="text/plain"))[1]["code"]
        staker.extra = {}
        staker.credentials = frozen_exchange.add_user(main=frozen_exchange.user, sol=ZERO).credentials
        assert "50006" == (await staker.post("purchase", "", content_type="text/plain"))[1]["code"]
        assert "50000" == await staker.code("purchase", "")
        staker.credentials = frozen_exchange.add_user(main=frozen_exchange.user, sol=ZERO).credentials
        assert "51000" == await staker.code("purchase", {"amt": "0"})
        assert "51735" == await staker.code("purchase", {"amt": "0.001"})
        staker.credentials = frozen_exchange.add_user(sol=ZERO).credentials
        assert "51731" == await staker.code("purchase", {"amt": "0.001"})
        frozen_exchange.product = Product(max_amt=ZERO)
        assert "51727" == await staker.code("purchase", {"amt": "0.001"})
        staker.credentials = frozen_exchange.add_user(sol=ZERO).credentials
        assert "51728" == await staker.code("purchase", {"amt": "1"})
        frozen_exchange.product = Product()
        assert "51736" == await staker.code("purchase", {"amt": "1"})

    async def test_concurrent_purchases_do_not_overdraw(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """Of two purchases at once of all there is, one is refused."""
        codes = await asyncio.gather(*(staker.code("purchase", {"amt": "60"}) for _ in range(2)))

        assert ["0", "51736"] == sorted(codes)
        assert Decimal(40) == frozen_exchange.user.sol
