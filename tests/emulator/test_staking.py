"""The local exchange keeps books as OKX does: every staking endpoint, its refusals, and what time does to orders."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from okx_sol_async.emulator import EmulatedOrder, Emulator, Product, Tally, Window
from okx_sol_async.emulator.clock import DAY, Clock
from okx_sol_async.emulator.ledger import FastQuota, Ledger
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from tests.support.signed_calls import STAKING, Staker

# Two hours before interest accrues.
pytestmark = pytest.mark.virtual_clock

NOON = datetime(2026, 1, 15, 14, 0, 0, 149_000, tzinfo=UTC)
NOON_MS = 1_768_485_600_149
DONE = (200, {"code": "0", "msg": "", "data": []})
ZERO = Decimal(0)


def ms(at: datetime) -> str:
    return str(round(at.timestamp() * 1000))


@pytest.fixture(name="exchange")
async def _exchange() -> AsyncIterator[Emulator]:
    async with Emulator(now=NOON.timestamp) as exchange:
        yield exchange


@pytest.fixture(name="staker")
async def _staker(exchange: Emulator) -> AsyncIterator[Staker]:
    async with aiohttp.ClientSession() as http:
        staker = Staker(http, exchange)
        staker.timestamp = "2026-01-15T14:00:00.149Z"
        yield staker


def okso(amt: str) -> Balance:
    return Balance("OKSOL", Decimal(amt), ZERO, ZERO)


class TestProductInfo:
    async def test_documented_row(self, staker: Staker) -> None:
        """The product is an object, not an array, and its rate a percentage, as in OKX's documentation."""
        assert {
            "fastRedemptionAvail": "240",
            "fastRedemptionDailyLimit": "240",
            "rate": "5.57",
            "redemptDays": "2",
            "minAmt": "0.01",
        } == await staker.data("product-info")

    async def test_settable(self, exchange: Emulator, staker: Staker) -> None:
        """What is set is answered from then on."""
        exchange.product = Product(
            rate=Decimal("0.1"),
            min_amt=Decimal(10),
            redempt_days=3,
            fast_redemption_daily_limit=Decimal("100.50"),
        )

        assert {
            "fastRedemptionAvail": "100.5",
            "fastRedemptionDailyLimit": "100.5",
            "rate": "10",
            "redemptDays": "3",
            "minAmt": "10",
        } == await staker.data("product-info")


class TestPurchase:
    async def test_done_at_once(self, exchange: Emulator, staker: Staker) -> None:
        """A purchase moves SOL to OKSOL, answers with no rows, and is in the history without the id of an order."""
        assert DONE == await staker.post("purchase", {"amt": "10.5"})

        assert Decimal("89.5") == exchange.user.sol
        assert exchange.user.balance is not None
        assert Decimal("10.51100012") == exchange.user.balance.amt
        assert [
            {
                "amt": "10.50000000",
                "completedTime": str(NOON_MS),
                "estCompletedTime": "",
                "redeemingAmt": "",
                "requestTime": str(NOON_MS),
                "status": "success",
                "type": "purchase",
            }
        ] == await staker.data("purchase-redeem-history")

    async def test_pending_for_a_while(self, exchange: Emulator, staker: Staker) -> None:
        """A purchase may be pending first: its SOL is gone, and its OKSOL comes when it is completed."""
        exchange.user.balance = None
        exchange.product = Product(purchase_seconds=60)
        await staker.post("purchase", {"amt": "1"})
        [pending] = await staker.data("purchase-redeem-history")

        assert ("pending", "", "") == (pending["status"], pending["completedTime"], pending["redeemingAmt"])
        assert (Decimal(99), Decimal(1), None) == (exchange.user.sol, exchange.user.purchasing, exchange.user.balance)

        exchange.advance(60)
        [completed] = await staker.data("purchase-redeem-history")

        assert ("success", str(NOON_MS + 60_000)) == (completed["status"], completed["completedTime"])
        assert (Decimal(99), ZERO, okso("1")) == (exchange.user.sol, exchange.user.purchasing, exchange.user.balance)

    async def test_twice_is_twice(self, exchange: Emulator, staker: Staker) -> None:
        """There is no idempotence at OKX: the same purchase again is another one, and `orders` shows both."""
        await staker.post("purchase", {"amt": "1"})
        await staker.post("purchase", {"amt": "1"})

        assert ["purchase"] * 2 == [order.type for order in exchange.user.orders]
        assert Decimal(98) == exchange.user.sol

    @pytest.mark.parametrize(
        ("product", "amt", "code", "msg"),
        [
            (Product(), "0.009999999", "51727", "The minimum subscription amount is 0.01 SOL"),
            (Product(min_amt=Decimal("1.50")), "1.49", "51727", "The minimum subscription amount is 1.5 SOL"),
            (Product(max_amt=Decimal(5)), "5.000000001", "51728", None),
            (Product(), "100.000000001", "51736", "Insufficient SOL balance"),
            (Product(suspended=True), "1", "51731", None),
        ],
    )
    async def test_refusals(
        self, exchange: Emulator, staker: Staker, product: Product, amt: str, code: str, msg: str | None
    ) -> None:
        """What the product or the account does not allow is refused with HTTP 200, a code of 517xx and no rows."""
        exchange.product = product
        status, answer = await staker.post("purchase", {"amt": amt})

        assert (200, code, []) == (status, answer["code"], answer["data"])
        assert msg in (None, answer["msg"])
        assert (Decimal(100), ()) == (exchange.user.sol, exchange.user.orders)

    @pytest.mark.parametrize("amt", ["0.01", "100", "100.000000000", "000.02"])
    async def test_bounds(self, staker: Staker, amt: str) -> None:
        """The minimum, and all there is, may be purchased."""
        assert DONE == await staker.post("purchase", {"amt": amt})

    async def test_a_failed_purchase_gives_the_sol_back(self, exchange: Emulator, staker: Staker) -> None:
        """A test may let a pending order fail."""
        exchange.product = Product(purchase_seconds=60)
        await staker.post("purchase", {"amt": "1"})
        [order] = exchange.user.orders
        exchange.user.fail_order(order)
        exchange.advance(61)
        [row] = await staker.data("purchase-redeem-history", status="failed")

        assert "purchase" == row["type"]
        assert (Decimal(100), ZERO) == (exchange.user.sol, exchange.user.purchasing)
        assert exchange.user.balance is not None
        assert Decimal("0.01100012") == exchange.user.balance.amt
        with pytest.raises(ConfigurationError, match="pending"):
            exchange.user.fail_order(order)


class TestRedeem:
    async def test_completed_days_later(self, exchange: Emulator, staker: Staker) -> None:
        """A redemption is pending for the days of the product; its OKSOL counts as held until it is completed."""
        exchange.product = Product(apy={})
        exchange.user.balance = okso("5")
        assert DONE == await staker.post("redeem", {"amt": "2"})
        due = NOON + timedelta(days=2)

        assert [
            {
                "amt": "2.00000000",
                "completedTime": "",
                "estCompletedTime": ms(due),
                "redeemingAmt": "2.00000000",
                "requestTime": str(NOON_MS),
                "status": "pending",
                "type": "redeem",
            }
        ] == await staker.data("purchase-redeem-history")
        assert (okso("5"), Decimal(2), Decimal(100)) == (
            exchange.user.balance,
            exchange.user.redeeming,
            exchange.user.sol,
        )

        exchange.advance(2 * DAY - 0.001)

        assert Decimal(100) == exchange.user.sol

        exchange.advance(0.001)
        [row] = await staker.data("purchase-redeem-history")

        assert ("success", ms(due), "", "") == (
            row["status"],
            row["completedTime"],
            row["estCompletedTime"],
            row["redeemingAmt"],
        )
        assert (Decimal(102), ZERO) == (exchange.user.sol, exchange.user.redeeming)
        assert exchange.user.balance is not None
        assert exchange.user.balance.amt == 3 + exchange.user.balance.total_interest_accrual

    async def test_more_than_is_held(self, exchange: Emulator, staker: Staker) -> None:
        """No more can be redeemed than is held and not being redeemed already."""
        exchange.user.balance = okso("5")
        await staker.post("redeem", {"amt": "2"})
        status, answer = await staker.post("redeem", {"amt": "3.000000001"})

        assert (200, "51758", []) == (status, answer["code"], answer["data"])
        assert "You can redeem at most 3 OKSOL." == answer["msg"]
        with pytest.raises(ConfigurationError, match="being redeemed"):
            exchange.user.balance = okso("1.9")
        with pytest.raises(ConfigurationError, match="being redeemed"):
            exchange.user.balance = None

    async def test_without_any(self, exchange: Emulator, staker: Staker) -> None:
        """Who holds nothing can redeem nothing."""
        exchange.user.balance = None

        assert "51758" == await staker.code("redeem", {"amt": "1"})

    async def test_fast(self, exchange: Emulator, staker: Staker) -> None:
        """If it is set so, a redemption is completed at once while the limit of the day lasts."""
        exchange.product = Product(fast_redemption=True, fast_redemption_daily_limit=Decimal(3))
        exchange.user.balance = okso("10")
        await staker.post("redeem", {"amt": "2"})
        await staker.post("redeem", {"amt": "2"})
        fast, slow = exchange.user.orders

        assert ("success", "pending") == (fast.status, slow.status)
        assert (Decimal(102), Decimal(2)) == (exchange.user.sol, exchange.user.redeeming)
        assert "1" == (await staker.data("product-info"))["fastRedemptionAvail"]

        # 16:00 UTC begins another day.
        exchange.advance(timedelta(hours=2))

        assert "3" == (await staker.data("product-info"))["fastRedemptionAvail"]

    async def test_a_failed_redemption(self, exchange: Emulator, staker: Staker) -> None:
        """When a redemption fails, its OKSOL can be redeemed again."""
        exchange.user.balance = okso("5")
        await staker.post("redeem", {"amt": "5"})
        exchange.user.fail_order(exchange.user.orders[0])

        assert (okso("5"), ZERO) == (exchange.user.balance, exchange.user.redeeming)
        assert DONE == await staker.post("redeem", {"amt": "5"})


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
        self, exchange: Emulator, staker: Staker, path: str, body: str, status: int, code: str
    ) -> None:
        """A body that is no JSON object with an amount as decimal text is refused, and moves nothing."""
        got, answer = await staker.post(path, body)

        assert (status, code) == (got, answer["code"])
        assert () == exchange.user.orders

    @WRITES
    @pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", ""])
    async def test_content_type(self, staker: Staker, path: str, content_type: str | None) -> None:
        """A body must say that it is JSON."""
        status, answer = await staker.post(path, {"amt": "1"}, content_type=content_type)

        assert (400, "50006") == (status, answer["code"])

    @WRITES
    @pytest.mark.parametrize("content_type", ["application/JSON", "application/json; charset=utf-8"])
    async def test_content_type_of_json(self, exchange: Emulator, staker: Staker, path: str, content_type: str) -> None:
        """Case and charset do not matter."""
        exchange.user.balance = okso("1")

        assert DONE == await staker.post(path, {"amt": "1", "unknown": [1]}, content_type=content_type)

    @WRITES
    async def test_permission(self, exchange: Emulator, staker: Staker, path: str) -> None:
        """A key without the Trade permission may read and not write, and is not counted."""
        staker.credentials = exchange.user.add_key(permissions=["read_only"])
        for _ in range(3):
            status, answer = await staker.post(path, {"amt": "1"})

            assert (200, "50120") == (status, answer["code"])
            assert "data" not in answer
        assert [] == await staker.data("purchase-redeem-history")

    async def test_reading_needs_a_permission_too(self, exchange: Emulator, staker: Staker) -> None:
        """A key that may only trade may not read."""
        staker.credentials = exchange.user.add_key(permissions=["trade"])

        assert "50120" == await staker.code("balance")

    @WRITES
    async def test_demo(self, exchange: Emulator, staker: Staker, path: str) -> None:
        """Demo trading has a balance and no purchases and redemptions."""
        staker.credentials = exchange.add_user(demo=True).credentials
        staker.extra = {"x-simulated-trading": "1"}
        status, answer = await staker.post(path, {"amt": "1"})

        assert (200, "50038") == (status, answer["code"])
        assert "0" == await staker.code("balance")

    @WRITES
    async def test_sub_account(self, exchange: Emulator, staker: Staker, path: str) -> None:
        """A sub-account may stake, unless the product says otherwise."""
        sub = exchange.add_user(main=exchange.user, balance=okso("1"))
        staker.credentials = sub.credentials
        exchange.product = Product(sub_accounts=False)

        assert exchange.user.uid == exchange.user.main_uid == sub.main_uid != sub.uid
        assert "51735" == await staker.code(path, {"amt": "1"})

        exchange.product = Product()

        assert DONE == await staker.post(path, {"amt": "1"})

    async def test_sub_accounts_share_the_fast_limit(self, exchange: Emulator, staker: Staker) -> None:
        """What one account of a family redeems fast is gone for the others."""
        exchange.product = Product(fast_redemption=True)
        sub = exchange.add_user(main=exchange.user, balance=okso("100"))
        other = Staker(staker.http, exchange, sub.credentials)
        other.timestamp = staker.timestamp
        await other.post("redeem", {"amt": "40"})

        assert "200" == (await staker.data("product-info"))["fastRedemptionAvail"]
        staker.credentials = exchange.add_user().credentials
        assert "240" == (await staker.data("product-info"))["fastRedemptionAvail"]

    async def test_order_of_the_checks(self, exchange: Emulator, staker: Staker) -> None:
        """Of several mistakes the first in the documented order is named."""
        sub_of_demo = exchange.add_user(demo=True, main=exchange.user, sol=ZERO)
        readable = sub_of_demo.add_key(permissions=["read_only"])
        exchange.product = Product(sub_accounts=False, suspended=True, max_amt=ZERO)
        staker.extra = {"x-simulated-trading": "1"}

        staker.credentials = readable
        assert "50120" == (await staker.post("purchase", "", content_type="text/plain"))[1]["code"]
        staker.credentials = sub_of_demo.credentials
        assert "50038" == (await staker.post("purchase", "", content_type="text/plain"))[1]["code"]
        staker.extra = {}
        staker.credentials = exchange.add_user(main=exchange.user, sol=ZERO).credentials
        assert "50006" == (await staker.post("purchase", "", content_type="text/plain"))[1]["code"]
        assert "50000" == await staker.code("purchase", "")
        staker.credentials = exchange.add_user(main=exchange.user, sol=ZERO).credentials
        assert "51000" == await staker.code("purchase", {"amt": "0"})
        assert "51735" == await staker.code("purchase", {"amt": "0.001"})
        staker.credentials = exchange.add_user(sol=ZERO).credentials
        assert "51731" == await staker.code("purchase", {"amt": "0.001"})
        exchange.product = Product(max_amt=ZERO)
        assert "51727" == await staker.code("purchase", {"amt": "0.001"})
        staker.credentials = exchange.add_user(sol=ZERO).credentials
        assert "51728" == await staker.code("purchase", {"amt": "1"})
        exchange.product = Product()
        assert "51736" == await staker.code("purchase", {"amt": "1"})

    async def test_concurrent_purchases_do_not_overdraw(self, exchange: Emulator, staker: Staker) -> None:
        """Of two purchases at once of all there is, one is refused."""
        codes = await asyncio.gather(*(staker.code("purchase", {"amt": "60"}) for _ in range(2)))

        assert ["0", "51736"] == sorted(codes)
        assert Decimal(40) == exchange.user.sol


class TestLimits:
    @pytest.mark.parametrize(
        ("path", "limit", "body"),
        [
            ("product-info", 3, None),
            ("purchase", 2, {"amt": "1"}),
            ("redeem", 2, {"amt": "0.001"}),
            ("balance", 6, None),
            ("purchase-redeem-history", 6, None),
            ("apy-history", 6, None),
        ],
    )
    async def test_each_endpoint_has_its_limit(
        self, exchange: Emulator, staker: Staker, path: str, limit: int, body: object
    ) -> None:
        """So many calls a second are accepted, and one more is refused, of that endpoint alone."""
        days = {"days": 1} if path == "apy-history" else {}
        # From a window's beginning to its end there is time for all of these.
        codes = await asyncio.gather(*(staker.code(path, body, **days) for _ in range(limit + 2)))

        assert limit == codes.count("0")
        assert 2 == codes.count("50011")
        assert "0" == await staker.code("balance" if path != "balance" else "product-info")

    async def test_the_apy_is_counted_by_address(self, exchange: Emulator, staker: Staker) -> None:
        """The public endpoint counts everybody on one address together, and writes nobody down."""
        staker.credentials = exchange.add_user().credentials
        codes = await asyncio.gather(*(staker.code("apy-history", days=1) for _ in range(7)))

        assert 1 == codes.count("50011")
        assert {None} == {call.uid for call in exchange.calls}
        assert Tally(received=7, accepted=6, refused=1, rejected=0) == exchange.tally()


def order(at: int, amt: str = "1", **fields: Any) -> EmulatedOrder:  # noqa: ANN401 - any field
    settings = {"type": "purchase", "request_time": NOON + timedelta(milliseconds=at), "amt": Decimal(amt)}
    return EmulatedOrder(**(settings | fields))  # type: ignore[arg-type]


class TestHistory:
    async def test_empty(self, staker: Staker) -> None:
        """Who has ordered nothing has no rows."""
        assert [] == await staker.data("purchase-redeem-history")

    async def test_filters(self, exchange: Emulator, staker: Staker) -> None:
        """Type and status filter, empty ones do not, and the newest is first."""
        exchange.user.add_orders(
            [
                order(1, "1", status="failed"),
                order(3, "3", type="redeem", status="pending", redeeming_amt=Decimal(3)),
                order(2, "2", type="redeem"),
                order(4, "4"),
            ]
        )

        async def amts(**parameters: object) -> list[str]:
            rows = await staker.data("purchase-redeem-history", **parameters)
            return [row["amt"].partition(".")[0] for row in rows]

        assert ["4", "3", "2", "1"] == await amts(type="", status="", after="", before="", limit="")
        assert ["3", "2"] == await amts(type="redeem")
        assert ["4", "2"] == await amts(status="success")
        assert ["3"] == await amts(type="redeem", status="pending")
        assert [] == await amts(type="purchase", status="pending")
        await asyncio.sleep(1.01)
        assert ["2", "1"] == await amts(after=NOON_MS + 3)
        assert ["4", "3"] == await amts(before=NOON_MS + 2)
        assert ["3", "2"] == await amts(after=NOON_MS + 4, before=NOON_MS + 1)
        assert ["4", "3"] == await amts(before=NOON_MS + 1, limit=2)

    @pytest.mark.parametrize(
        "parameter",
        [
            {"type": "stake"},
            {"status": "done"},
            {"status": "cancelled"},
            {"after": "yesterday"},
            {"after": "-1"},
            {"before": "1.5"},
            {"limit": "0"},
            {"limit": "101"},
            {"limit": "x"},
        ],
    )
    async def test_wrong_parameter(self, staker: Staker, parameter: dict[str, str]) -> None:
        """A wrong parameter is named."""
        status, answer = await staker.get("purchase-redeem-history", **parameter)

        assert (400, "51000") == (status, answer["code"])
        assert f"Parameter {next(iter(parameter))} error" == answer["msg"]

    async def test_rows_that_share_a_millisecond(self, exchange: Emulator, staker: Staker) -> None:
        """A page has 100 rows at most, and its bounds are exclusive: what shares a millisecond with one is beyond."""
        exchange.user.add_orders(order(n // 3, str(n + 1)) for n in range(150))
        page = await staker.data("purchase-redeem-history")
        last = page[-1]["requestTime"]
        rest = await staker.data("purchase-redeem-history", after=last)

        assert 100 == len(page)
        assert [f"{150 - n}.00000000" for n in range(100)] == [row["amt"] for row in page]
        # Rows 49 and 50 of that millisecond are on no page: the client must ask again for the millisecond itself.
        assert ["48.00000000", "1.00000000"] == [rest[0]["amt"], rest[-1]["amt"]]
        assert 48 == len(rest)

    async def test_unusual_rows(self, exchange: Emulator, staker: Staker) -> None:
        """Other states, nine digits and the id of the order, which OKX had for a while, can be shown too."""
        exchange.user.add_orders([order(0, "0.123456789", status="cancelled", ord_id="42")])
        [row] = await staker.data("purchase-redeem-history")

        assert ("0.123456789", "cancelled", "42") == (row["amt"], row["status"], row["ordId"])

    async def test_seeded_orders_move_nothing(self, exchange: Emulator) -> None:
        """Orders that are put into the history are only shown."""
        before = (exchange.user.sol, exchange.user.balance)
        exchange.user.add_orders([order(0, status="pending", est_completed_time=NOON)])
        exchange.advance(60)

        assert before == (exchange.user.sol, exchange.user.balance)
        assert (ZERO, "pending") == (exchange.user.purchasing, exchange.user.orders[0].status)
        with pytest.raises(ConfigurationError, match="pending"):
            exchange.user.fail_order(exchange.user.orders[0])


class TestAPY:
    async def test_rows(self, exchange: Emulator, staker: Staker) -> None:
        """Each day is a row at 16:00 UTC, newest first, with the APY as a fraction of eight digits."""
        exchange.product = Product(
            apy={date(2026, 1, 14): Decimal("0.1128"), date(2026, 1, 13): Decimal("0.112700001")}
        )
        rows = await staker.data("apy-history", days=3)

        assert {"rate": "0.11280000", "ts": ms(datetime(2026, 1, 14, 16, tzinfo=UTC))} == rows[0]
        assert {"rate": "0.112700001", "ts": ms(datetime(2026, 1, 13, 16, tzinfo=UTC))} == rows[1]
        assert ms(datetime(2026, 1, 12, 16, tzinfo=UTC)) == rows[2]["ts"]
        exchange.advance(timedelta(hours=2))
        [newest] = await staker.data("apy-history", days=1)
        assert ms(datetime(2026, 1, 15, 16, tzinfo=UTC)) == newest["ts"]

    async def test_a_year(self, staker: Staker) -> None:
        """A whole year may be asked for; what is made up is the same for everybody and looks like OKX's."""
        year = await staker.data("apy-history", days=365)
        async with Emulator(now=NOON.timestamp) as other:
            staker.exchange = other

            assert year == await staker.data("apy-history", days=365)

        rates = [Decimal(row["rate"]) for row in year]
        times = [int(row["ts"]) for row in year]

        assert 365 == len(year)
        assert {86_400_000} == {newer - older for newer, older in itertools.pairwise(times)}
        assert all(Decimal("0.05") < rate < Decimal("0.062") for rate in rates)
        assert 20 < len(set(rates))
        assert {10} == {len(row["rate"]) for row in year}

    @pytest.mark.parametrize(
        ("days", "code"), [("", "50014"), ("0", "51000"), ("366", "51000"), ("-1", "51000"), ("1.5", "51000")]
    )
    async def test_wrong_days(self, staker: Staker, days: str, code: str) -> None:
        """The number of days is required, and 365 at most."""
        status, answer = await staker.get("apy-history", days=days)

        assert (400, code) == (status, answer["code"])

    async def test_no_days(self, staker: Staker) -> None:
        """Without a number of days there is no answer."""
        assert "50014" == await staker.code("apy-history")


class TestInterest:
    def test_accrues_at_the_hour(self) -> None:
        """At each 16:00 UTC a day's interest at that day's APY is added, on what is not being redeemed."""
        exchange = Emulator(now=NOON.timestamp, product=Product(apy={date(2026, 1, 15): Decimal("0.0365")}))
        exchange.user.balance = okso("10")
        exchange.advance(timedelta(hours=2) - timedelta(milliseconds=150))

        assert okso("10") == exchange.user.balance

        exchange.advance(timedelta(milliseconds=1))

        # 10 * 0.0365 / 365
        assert Balance("OKSOL", Decimal("10.001"), Decimal("0.001"), Decimal("0.001")) == exchange.user.balance

    def test_what_is_being_redeemed_earns_nothing(self) -> None:
        """Only what stays staked earns interest."""
        ledger = Ledger(ZERO, okso("10"), FastQuota(), NOON.timestamp())
        product = Product(apy={date(2026, 1, 15): Decimal("0.0365")})
        ledger.redeem(Decimal(4), product, NOON.timestamp())
        ledger.settle(NOON.timestamp() + DAY, product, interest=True)

        # 6 * 0.0365 / 365
        assert Balance("OKSOL", Decimal("10.0006"), Decimal("0.0006"), Decimal("0.0006")) == ledger.balance

    def test_a_purchase_that_is_completed_at_the_hour_earns(self) -> None:
        """What is completed at 16:00 UTC is completed before the interest of that moment accrues."""
        at = NOON.replace(hour=16, microsecond=0).timestamp()
        ledger = Ledger(Decimal(10), okso("10"), FastQuota(), at)
        product = Product(apy={date(2026, 1, 16): Decimal("0.0365")}, purchase_seconds=DAY)
        ledger.purchase(Decimal(10), product, at)
        ledger.settle(at + DAY, product, interest=True)

        # 20 * 0.0365 / 365
        assert Balance("OKSOL", Decimal("20.002"), Decimal("0.002"), Decimal("0.002")) == ledger.balance

    def test_is_rounded_down(self) -> None:
        """Interest has eight digits, and never more than was earned."""
        exchange = Emulator(now=NOON.timestamp, product=Product(apy={date(2026, 1, 15): Decimal("0.05")}))
        exchange.user.balance = okso("0.0001")
        exchange.advance(DAY)

        # 0.0001 * 0.05 / 365 = 0.0000000136...
        assert Balance("OKSOL", Decimal("0.00010001"), *[Decimal("0.00000001")] * 2) == exchange.user.balance

    def test_the_latest_is_of_one_day(self) -> None:
        """After several days the latest accrual is that of the last, and the total that of all, on a growing amount."""
        apy = {date(2026, 1, 15) + timedelta(days=n): Decimal("0.365") for n in range(3)}
        exchange = Emulator(now=NOON.timestamp, product=Product(apy=apy))
        exchange.user.balance = okso("1000")
        exchange.advance(3 * DAY)

        # 1000 * 1.001 ** 3
        assert Balance("OKSOL", Decimal("1003.003001"), Decimal("1.002001"), Decimal("3.003001")) == (
            exchange.user.balance
        )

    def test_nothing_earns_nothing(self) -> None:
        """Without any OKSOL no row appears, and the clock going back changes nothing."""
        now = [NOON.timestamp()]
        exchange = Emulator(now=lambda: now[0])
        exchange.user.balance = None
        now[0] += 10 * DAY

        assert exchange.user.balance is None

        exchange.user.balance = okso("1")
        now[0] -= 20 * DAY

        assert okso("1") == exchange.user.balance

        now[0] += 20 * DAY

        assert okso("1") == exchange.user.balance

    def test_a_clock_that_is_given_is_followed(self) -> None:
        """With `now` interest accrues as it goes on, without `advance`."""
        now = [NOON.timestamp()]
        exchange = Emulator(now=lambda: now[0], product=Product(apy={date(2026, 1, 15): Decimal("0.0365")}))
        exchange.user.balance = okso("10")
        now[0] += DAY

        assert exchange.user.balance is not None
        assert Decimal("10.001") == exchange.user.balance.amt

    def test_the_machines_clock_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A test that happens to run at 16:00 UTC finds the balance that it would find at any other time."""
        now = [NOON.timestamp()]
        monkeypatch.setattr("okx_sol_async.emulator.clock.time.time", lambda: now[0])
        exchange = Emulator()
        exchange.user.balance = okso("10")
        now[0] += 10 * DAY

        assert okso("10") == exchange.user.balance

        exchange.advance(timedelta(days=1))

        assert exchange.user.balance is not None
        assert exchange.user.balance.latest_interest_accrual == exchange.user.balance.total_interest_accrual > 0

    def test_a_new_product_holds_from_then_on(self) -> None:
        """Interest of the days before is that of the terms before."""
        day, apy = date(2026, 1, 15), Decimal("0.0365")
        now = [NOON.timestamp()]
        exchange = Emulator(now=lambda: now[0], product=Product(apy={day: apy}))
        exchange.user.balance = okso("10")
        now[0] += DAY
        exchange.product = attrs.evolve(exchange.product, apy={day: ZERO})

        assert exchange.user.balance is not None
        assert Decimal("10.001") == exchange.user.balance.amt


class TestClock:
    async def test_every_answer_tells_the_time(self, exchange: Emulator, staker: Staker) -> None:
        """Date follows the exchange's clock and not the machine's, for refusals too."""
        for path, headers in (("balance", {}), ("apy-history?days=1", {}), ("nothing", {})):
            async with staker.http.get(f"{exchange.url}{STAKING}/{path}", headers=headers) as response:
                assert ["Thu, 15 Jan 2026 14:00:00 GMT"] == response.headers.getall("Date")

    async def test_advance(self, exchange: Emulator, staker: Staker) -> None:
        """A moved clock is told, and a request may be signed with the time before or after the move, and no other."""
        exchange.advance(timedelta(days=3))

        assert NOON + timedelta(days=3) == exchange.now()
        assert "0" == await staker.code("balance")
        staker.timestamp = "2026-01-18T14:00:00.149Z"
        assert "0" == await staker.code("balance")
        staker.timestamp = "2026-01-17T14:00:00.149Z"
        assert "50102" == await staker.code("balance")
        async with staker.http.get(exchange.url + "/api/v5/public/time") as response:
            assert "Sun, 18 Jan 2026 14:00:00 GMT" == response.headers["Date"]
            assert [{"ts": str(NOON_MS + 3 * 86_400_000)}] == (await response.json())["data"]

    @pytest.mark.parametrize("by", [-1, timedelta(seconds=-1), float("nan"), float("inf"), "1", None, True])
    def test_wrong_move(self, by: Any) -> None:  # noqa: ANN401 - that is the point
        """The clock is moved forward, by seconds or a timedelta."""
        with pytest.raises(ConfigurationError, match="by"):
            Emulator().advance(by)

    @pytest.mark.real_clock
    async def test_moved_from_another_thread(self) -> None:
        """A test in another thread than the exchange's moves the clock and reads what users hold."""
        with Emulator() as exchange:
            async with aiohttp.ClientSession() as http:
                staker = Staker(http, exchange)
                exchange.user.balance = okso("2")
                await staker.post("redeem", {"amt": "2"})
                exchange.advance(timedelta(days=2))

                assert Decimal(102) == exchange.user.sol
                assert "success" == (await staker.data("purchase-redeem-history"))[0]["status"]


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"rate": 0.05},
            {"rate": Decimal(-1)},
            {"min_amt": Decimal("NaN")},
            {"max_amt": 1},
            {"redempt_days": 1.5},
            {"redempt_days": -1},
            {"fast_redemption_daily_limit": "240"},
            {"fast_redemption": 1},
            {"purchase_seconds": -1},
            {"suspended": "no"},
            {"sub_accounts": None},
            {"apy": [Decimal(1)]},
            {"apy": {date(2026, 1, 1): 0.05}},
            {"apy": {NOON: Decimal("0.05")}},
        ],
    )
    def test_wrong_product(self, arguments: dict[str, Any]) -> None:
        """A wrong term is named."""
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            Product(**arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"type": "stake"},
            {"amt": 1.0},
            {"amt": Decimal(-1)},
            {"request_time": NOON.replace(tzinfo=None)},
            {"request_time": 5},
            {"status": ""},
            {"completed_time": "now"},
            {"est_completed_time": 1},
            {"redeeming_amt": "1"},
            {"ord_id": 42},
        ],
    )
    def test_wrong_order(self, arguments: dict[str, Any]) -> None:
        """A wrong field is named."""
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            EmulatedOrder(**({"type": "redeem", "amt": ZERO, "request_time": NOON} | arguments))

    def test_wrong_user(self) -> None:
        """What a user cannot have is named."""
        exchange, other, bad = Emulator(), Emulator(), 5
        wrong: Any = bad

        with pytest.raises(ConfigurationError, match="sol"):
            exchange.add_user(sol=wrong)
        with pytest.raises(ConfigurationError, match="sol"):
            exchange.user.sol = Decimal(-1)
        with pytest.raises(ConfigurationError, match="main"):
            exchange.add_user(main=other.user)
        with pytest.raises(ConfigurationError, match="permissions"):
            exchange.user.add_key(permissions=["read_only", "steal"])  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="orders"):
            exchange.user.add_orders([wrong])
        with pytest.raises(ConfigurationError, match="product"):
            exchange.product = wrong
        with pytest.raises(ConfigurationError, match="product"):
            Emulator(product=wrong)


amounts = st.decimals(min_value=Decimal("0.000000001"), max_value=1000, places=9)


class Books(RuleBasedStateMachine):
    """Whatever a user does and however long it takes, nothing is made out of nothing and nothing gets lost."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOON.timestamp()
        self.product = Product(fast_redemption=True, fast_redemption_daily_limit=Decimal(500))
        self.had = Decimal(1000)
        self.ledger = Ledger(self.had, None, FastQuota(), self.at)
        self.orders = 0

    @rule(amt=amounts, seconds=st.sampled_from([0.0, 30.0, 3 * DAY]))
    def purchase(self, amt: Decimal, seconds: float) -> None:
        if amt <= self.ledger.sol:
            self.product = attrs.evolve(self.product, purchase_seconds=seconds)
            self.ledger.purchase(amt, self.product, self.at)
            self.orders += 1

    @rule(amt=amounts, days=st.integers(0, 4))
    def redeem(self, amt: Decimal, days: int) -> None:
        if amt <= self.ledger.redeemable:
            self.product = attrs.evolve(self.product, redempt_days=days)
            self.ledger.redeem(amt, self.product, self.at)
            self.orders += 1

    @precondition(lambda self: any(order.status == "pending" for order in self.ledger.orders))
    @rule()
    def fail(self) -> None:
        pending = next(order for order in self.ledger.orders if order.status == "pending")
        self.ledger.fail(pending, self.at)

    @rule(seconds=st.one_of(st.floats(0, 3600), st.floats(0, 5 * DAY)))
    def wait(self, seconds: float) -> None:
        self.at += seconds
        self.ledger.settle(self.at, self.product, interest=True)

    @invariant()
    def is_conserved(self) -> None:
        balance = self.ledger.balance
        held, interest = (balance.amt, balance.total_interest_accrual) if balance else (ZERO, ZERO)

        assert self.had == self.ledger.sol + held + self.ledger.purchasing - interest

    @invariant()
    def nothing_is_overdrawn(self) -> None:
        assert self.ledger.sol >= 0
        assert self.ledger.redeemable >= 0

    @invariant()
    def orders_are_told(self) -> None:
        orders = self.ledger.orders
        pending = [order for order in orders if order.status == "pending"]

        assert self.orders == len(orders)
        assert self.ledger.redeeming == sum((o.amt for o in pending if o.type == "redeem"), ZERO)
        assert self.ledger.purchasing == sum((o.amt for o in pending if o.type == "purchase"), ZERO)
        assert all(order.completed_time is None for order in pending)
        assert all(order.completed_time is not None for order in orders if order not in pending)


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(steps=st.lists(st.floats(0, 2 * DAY), max_size=12), redeems=st.lists(amounts, max_size=4))
@settings(max_examples=60, deadline=None)
def test_how_often_the_clock_is_read_does_not_matter(steps: list[float], redeems: list[Decimal]) -> None:
    """What is due happens at its time and in its order, whether the books are settled at every step or at the end."""
    at, product = NOON.timestamp(), Product()
    often = Ledger(ZERO, okso("10000"), FastQuota(), at)
    seldom = Ledger(ZERO, okso("10000"), FastQuota(), at)
    for ledger in (often, seldom):
        for amt in redeems:
            ledger.redeem(amt, product, at)
    for step in steps:
        at += step
        often.settle(at, product, interest=True)
    seldom.settle(at, product, interest=True)

    assert (often.sol, often.balance, often.orders) == (seldom.sol, seldom.balance, seldom.orders)


def test_an_amount_of_any_size_is_exact() -> None:
    """Sums are exact, beyond the 28 digits that Decimal keeps by itself."""
    huge = Decimal("12345678901234567890.10")
    ledger = Ledger(huge, okso("98765432109876543210.123456789"), FastQuota(), 0.0)
    ledger.purchase(Decimal("0.000000001"), Product(), 0.0)

    assert Decimal("12345678901234567890.099999999") == ledger.sol
    assert ledger.balance is not None
    assert Decimal("98765432109876543210.123456790") == ledger.balance.amt


def test_a_clock_without_a_source_is_the_machines() -> None:
    """Only the machine's clock was chosen by nobody."""
    assert Clock().is_the_machines
    assert not Clock(lambda: 0.0).is_the_machines


@pytest.mark.parametrize("window", ["sliding", "fixed", "token", "counter"])
def test_every_window_has_a_name(window: Window) -> None:
    """Each way of counting can be asked for."""
    assert f"{window} window" in repr(Emulator(window=window))
