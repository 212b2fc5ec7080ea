"""The local exchange is as strict as OKX, judged by requests that our own signer and limiter had no part in."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
import socket
import threading
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from okx_sol_async.emulator import (
    DEFAULT_BALANCE,
    MEMORY,
    Call,
    CounterWindow,
    EmulatedUser,
    Emulator,
    FixedWindow,
    SlidingWindow,
    Tally,
    TokenWindow,
    Window,
)
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from okx_sol_async.signing.credentials import Credentials
from tests.support.signed_calls import iso
from tests.support.signed_calls import signed as sign_by_hand
from tests.support.virtual_time import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

pytestmark = pytest.mark.virtual_clock

BALANCE_PATH = "/api/v5/finance/staking-defi/sol/balance"
BALANCE = f"GET {BALANCE_PATH}"
CONFIG_PATH = "/api/v5/account/config"
TIME_PATH = "/api/v5/public/time"

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing-vectors.json").read_text("utf-8"))
VECTOR_KEY = Credentials(VECTORS["key"], VECTORS["secret"], VECTORS["passphrase"])
VECTOR_TIME = datetime(2026, 1, 15, 23, 28, 5, 149_000, tzinfo=UTC).timestamp()
[BALANCE_VECTOR] = [vector for vector in VECTORS["vectors"] if vector["request_path"] == BALANCE_PATH]

ROW = {
    "amt": "0.01100012",
    "ccy": "OKSOL",
    "latestInterestAccrual": "0.00000012",
    "totalInterestAccrual": "0.00000012",
}


def signed(credentials: Credentials, path: str = BALANCE_PATH, **arguments: str) -> dict[str, str]:
    return sign_by_hand(credentials, path, **arguments)


class Caller:
    """Sends a request and returns its HTTP status and its body."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def __call__(
        self, exchange: Emulator, headers: Mapping[str, str] | None = None, path: str = BALANCE_PATH
    ) -> tuple[int, Any]:
        headers = signed(exchange.credentials, path) if headers is None else headers
        async with self.http.get(URL(exchange.url + path, encoded=True), headers=headers) as response:
            return response.status, await response.json()

    async def codes(self, exchange: Emulator, how_many: int, *users: Credentials) -> list[str]:
        """Return the codes of so many calls in turn, made by the users in turn."""
        users = users or (exchange.credentials,)
        return [(await self(exchange, signed(users[n % len(users)])))[1]["code"] for n in range(how_many)]


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(http)


async def raw_call(exchange: Emulator, headers: Mapping[str, str], path: str = BALANCE_PATH) -> str:
    """Send what aiohttp's client would tidy up, and return the code of the answer."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *map(": ".join, headers.items())]
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(exchange.url).port)
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    code: str = json.loads(answer.partition(b"\r\n\r\n")[2])["code"]
    return code


def success(*rows: object) -> tuple[int, object]:
    return 200, {"code": "0", "msg": "", "data": list(rows)}


class TestAnswers:
    async def test_balance(self, call: Caller) -> None:
        """A signed call for the balance gets OKX's documented row, numbers as strings."""
        async with Emulator() as exchange:
            assert success(ROW) == await call(exchange)

    async def test_balance_is_settable(self, call: Caller) -> None:
        """A balance that is set is answered in fixed-point form, with every digit."""
        async with Emulator() as exchange:
            exchange.user.balance = Balance(
                "OKSOL", Decimal("1E-9"), Decimal("0E-8"), Decimal("12345678901234567890.10")
            )
            row = {
                "amt": "0.000000001",
                "ccy": "OKSOL",
                "latestInterestAccrual": "0.00000000",
                "totalInterestAccrual": "12345678901234567890.10",
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

    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/api/v5/nothing/here"), ("POST", BALANCE_PATH), ("GET", f"{BALANCE_PATH}/")]
    )
    async def test_unknown_path(self, call: Caller, method: str, path: str) -> None:
        """A path or method that the exchange does not have is a 404, whose code is a number."""
        async with Emulator() as exchange, call.http.request(method, exchange.url + path) as response:
            assert 404 == response.status
            assert {"code": 404, "msg": "Not Found", "data": {}} == await response.json()
            assert 1 == exchange.count(code="404", endpoint=f"{method} {path}")

    async def test_headers(self, call: Caller) -> None:
        """Every answer, refusals too, is JSON with a date and a trace id of its own, which the exchange remembers."""
        trace_ids = []
        async with Emulator() as exchange:
            for headers in (signed(exchange.credentials), {}, signed(VECTOR_KEY)):
                async with call.http.get(exchange.url + BALANCE_PATH, headers=headers) as response:
                    trace_ids.append(response.headers["x-trace-id"])

                    assert "application/json" == response.content_type
                    assert response.headers["Date"].endswith("GMT")

        assert 3 == len(set(trace_ids))
        assert trace_ids == [call.trace_id for call in exchange.calls]


def without(header: str, headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != header}


class TestRefusals:
    @pytest.mark.parametrize(
        ("header", "code"),
        [
            ("OK-ACCESS-KEY", "50103"),
            ("OK-ACCESS-PASSPHRASE", "50104"),
            ("OK-ACCESS-SIGN", "50106"),
            ("OK-ACCESS-TIMESTAMP", "50107"),
        ],
    )
    async def test_missing_header(self, call: Caller, header: str, code: str) -> None:
        """A missing or empty header has a code of its own, and a refusal carries no data."""
        async with Emulator() as exchange:
            headers = signed(exchange.credentials)
            refusal = 401, {"code": code, "msg": f"Request header {header} can not be empty."}

            assert refusal == await call(exchange, without(header, headers))
            assert refusal == await call(exchange, headers | {header: ""})

    async def test_unknown_key(self, call: Caller) -> None:
        """A key that the exchange does not hold is a 50119."""
        async with Emulator() as exchange, Emulator() as other:
            refusal = 401, {"msg": "API key doesn't exist", "code": "50119"}

            assert refusal == await call(exchange, signed(other.credentials))

    @pytest.mark.parametrize(
        "timestamp",
        [
            "1768519685",
            "1768519685149",
            "2026-01-15T23:28:05Z",
            "2026-01-15T23:28:05.149",
            "2026-01-15T23:28:05.149+00:00",
            "2026-01-15T23:28:05.149000Z",
            "2026-01-15 23:28:05.149Z",
            "2026-13-15T23:28:05.149Z",
            "2026-01-15T25:28:05.149Z",
            "0000-01-15T23:28:05.149Z",
            "٢٠٢٦-01-15T23:28:05.149Z",
        ],
    )
    async def test_malformed_timestamp(self, call: Caller, timestamp: str) -> None:
        """A timestamp that is not UTC with milliseconds and a Z is a 50112."""
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            refusal = 401, {"msg": "Invalid OK-ACCESS-TIMESTAMP", "code": "50112"}

            assert refusal == await call(exchange, signed(exchange.credentials, timestamp=timestamp))

    @pytest.mark.parametrize(
        ("seconds", "code"), [(-30.001, "50102"), (-30, "0"), (0, "0"), (30, "0"), (30.001, "50102")]
    )
    async def test_expired_timestamp(self, call: Caller, seconds: float, code: str) -> None:
        """A timestamp more than 30 s before or after the exchange's clock is a 50102."""
        now = 1_768_519_685.0
        async with Emulator(now=lambda: now) as exchange:
            status, body = await call(exchange, signed(exchange.credentials, timestamp=iso(now + seconds)))

        assert code == body["code"]
        if code != "0":
            assert (401, {"msg": "Timestamp request expired", "code": "50102"}) == (status, body)

    async def test_the_time_is_checked_on_arrival(self, call: Caller) -> None:
        """A signature that was still good when it left is refused when it arrives too late."""
        offset = [0.0]
        async with Emulator(latency=0.2, now=lambda: VECTOR_TIME + offset[0]) as exchange:
            on_its_way = asyncio.create_task(call(exchange, signed(exchange.credentials, timestamp=iso(VECTOR_TIME))))
            await asyncio.sleep(0.05)
            offset[0] = 31.0

            assert "50102" == (await on_its_way)[1]["code"]

    async def test_wrong_passphrase(self, call: Caller) -> None:
        """A wrong passphrase is a 50105."""
        async with Emulator() as exchange:
            status, body = await call(exchange, signed(exchange.credentials) | {"OK-ACCESS-PASSPHRASE": "wrong"})

        assert (401, "50105") == (status, body["code"])
        assert "data" not in body

    @pytest.mark.parametrize(
        ("demo", "header", "code"),
        [
            (False, None, "0"),
            (False, "0", "0"),
            (False, "1", "50101"),
            (True, None, "50101"),
            (True, "0", "50101"),
            (True, "1", "0"),
        ],
    )
    async def test_demo(self, call: Caller, *, demo: bool, header: str | None, code: str) -> None:
        """A demo key needs the header of demo trading, and a live key must go without it."""
        async with Emulator(demo=demo) as exchange:
            extra = {} if header is None else {"x-simulated-trading": header}
            status, body = await call(exchange, signed(exchange.credentials) | extra)

        assert (200 if code == "0" else 401, code) == (status, body["code"])

    async def test_order(self, call: Caller) -> None:
        """Of several mistakes OKX names the first in its order, and a call with a mistake is not counted."""
        async with Emulator() as exchange:
            assert ["0"] * 6 == await call.codes(exchange, 6)

            good = signed(exchange.credentials)
            mistakes = [
                ("50103", {"OK-ACCESS-KEY": ""}),
                ("50104", {"OK-ACCESS-PASSPHRASE": ""}),
                ("50106", {"OK-ACCESS-SIGN": ""}),
                ("50107", {"OK-ACCESS-TIMESTAMP": ""}),
                ("50119", {"OK-ACCESS-KEY": "wrong"}),
                ("50112", {"OK-ACCESS-TIMESTAMP": "wrong"}),
                ("50102", {"OK-ACCESS-TIMESTAMP": "2020-12-08T09:08:57.715Z"}),
                ("50113", {"OK-ACCESS-SIGN": "wrong"}),
                ("50105", {"OK-ACCESS-PASSPHRASE": "wrong"}),
                ("50101", {"x-simulated-trading": "1"}),
                ("50011", {}),
            ]
            for position, (code, _) in enumerate(mistakes):
                headers = dict(good)
                for _, change in reversed(mistakes[position:]):
                    headers |= change

                assert code == (await call(exchange, headers))[1]["code"]

            assert Tally(received=17, accepted=6, refused=1, rejected=10) == exchange.tally()


class TestSignatures:
    async def test_vector(self, call: Caller) -> None:
        """A signature that was computed elsewhere is accepted."""
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            assert exchange.user.uid == exchange.user.add_key(VECTOR_KEY).user_id
            assert success(ROW) == await call(exchange, vector_headers(BALANCE_VECTOR["sign"]))

    @pytest.mark.parametrize("position", [0, 10, 43])
    async def test_changed_signature(self, call: Caller, position: int) -> None:
        """A signature with one changed character is a 50113."""
        good = BALANCE_VECTOR["sign"]
        changed = good[:position] + ("B" if good[position] != "B" else "C") + good[position + 1 :]
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            exchange.user.add_key(VECTOR_KEY)

            assert (401, {"msg": "Invalid Sign", "code": "50113"}) == await call(exchange, vector_headers(changed))

    @pytest.mark.parametrize("query", ["?", "?a=1"])
    async def test_query(self, query: str) -> None:
        """The signature is over the query too, down to a question mark with nothing after it."""
        path = BALANCE_PATH + query
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            exchange.user.add_key(VECTOR_KEY)

            assert "50113" == await raw_call(exchange, vector_headers(BALANCE_VECTOR["sign"]), path)
            assert "0" == await raw_call(exchange, signed(VECTOR_KEY, path, timestamp=VECTORS["timestamp"]), path)

    @pytest.mark.parametrize("query", ["ccy=BTC,ETH", "ccy=BTC%2CETH", "ccy=%e2%82%ac", "a=1&b=&a=2"])
    async def test_the_bytes_that_came_count(self, call: Caller, query: str) -> None:
        """The signature is checked over the path as it was sent, however it is escaped."""
        async with Emulator() as exchange:
            path = f"{CONFIG_PATH}?{query}"

            assert 200 == (await call(exchange, path=path))[0]
            assert "50113" == (await call(exchange, signed(exchange.credentials, CONFIG_PATH), path))[1]["code"]

    async def test_body(self, call: Caller) -> None:
        """The signature is checked over the body as it was sent."""
        async with Emulator() as exchange:
            codes = []
            for sent in ('{"amt":"10"}', '{"amt": "10"}'):
                headers = signed(exchange.credentials, body='{"amt":"10"}')
                async with call.http.get(exchange.url + BALANCE_PATH, headers=headers, data=sent) as response:
                    codes.append((await response.json())["code"])

            assert ["0", "50113"] == codes

    async def test_compressed_body(self, call: Caller) -> None:
        """A compressed body is not unpacked before its signature is checked."""
        async with Emulator() as exchange:
            headers = signed(exchange.credentials, body="packed") | {"Content-Encoding": "gzip"}
            async with call.http.get(exchange.url + BALANCE_PATH, headers=headers, data=b"packed") as response:
                assert 200 == response.status

    async def test_unusual_bytes(self) -> None:
        """Bytes that are no text are refused and not a failure of the exchange."""
        async with Emulator() as exchange:
            headers = signed(exchange.credentials) | {"OK-ACCESS-SIGN": "\xff\xe9"}

            assert "50113" == await raw_call(exchange, headers)


def vector_headers(sign: str) -> dict[str, str]:
    return {
        "OK-ACCESS-KEY": VECTORS["key"],
        "OK-ACCESS-SIGN": sign,
        "OK-ACCESS-TIMESTAMP": VECTORS["timestamp"],
        "OK-ACCESS-PASSPHRASE": VECTORS["passphrase"],
    }


def accepted(window: SlidingWindow | FixedWindow | TokenWindow | CounterWindow, times: Iterable[float]) -> list[bool]:
    return [window.accept(at) for at in times]


class TestWindows:
    def test_sliding(self) -> None:
        """The sliding window looks back over exactly one period and does not count what it refused."""
        window = SlidingWindow(2, 1.0)

        assert [True, True, False, False] == accepted(window, [10.5, 10.75, 11.0, 11.25])
        assert [True, False, True, False] == accepted(window, [11.5, 11.625, 11.75, 12.25])

    def test_fixed(self) -> None:
        """The fixed window starts anew at every multiple of its period, so two bursts may touch."""
        window = FixedWindow(2, 2.0)

        assert [True, True, False] == accepted(window, [3.5, 3.75, 3.9375])
        assert [True, True, False] == accepted(window, [4.0, 4.0, 5.9375])
        assert [True] == accepted(window, [6.0])

    def test_token(self) -> None:
        """The token window takes a full burst and then one call for each token that came back."""
        window = TokenWindow(2, 1.0)

        assert [True, True, False] == accepted(window, [10.0, 10.0, 10.25])
        assert [True, False, True, True, False] == accepted(window, [10.5, 10.75, 11.0, 11.5, 11.75])
        assert [True, True, False] == accepted(window, [99.0, 99.0, 99.0])

    def test_token_takes_an_even_pace(self) -> None:
        """The token window never refuses calls at exactly its rate, whatever the rounding."""
        window = TokenWindow(6, 1.0)

        assert all(accepted(window, [1000.1] * 6))
        assert all(accepted(window, [1000.1 + n / 6 for n in range(1, 1000)]))

    def test_counter(self) -> None:
        """The counter window counts what the one before had, less and less as the new one goes on."""
        window = CounterWindow(4, 1.0)

        assert [True, True, True, True, False] == accepted(window, [10.5, 10.5, 10.75, 10.75, 10.75])
        assert [False, True, False, True, True, False] == accepted(window, [11.0, 11.25, 11.25, 11.5, 11.75, 11.75])
        # What happened two windows ago is forgotten.
        assert [True, True, True, True, False] == accepted(window, [13.0, 13.0, 13.0, 13.0, 13.0])

    def test_counter_takes_at_most_twice_the_limit_in_touching_windows(self) -> None:
        """A burst at the end of a window leaves no room at the beginning of the next."""
        window = CounterWindow(6, 1.0)

        assert [True] * 6 == accepted(window, [10.999] * 6)
        assert [False] * 3 == accepted(window, [11.0, 11.0001, 11.1])

    def test_sliding_is_the_strictest(self) -> None:
        """What a sliding window accepts, fixed windows and tokens accept as well."""
        rng = random.Random(1)
        for _ in range(50):
            at, times = rng.uniform(0, 10), []
            for _ in range(200):
                at += rng.choice([0.0, rng.expovariate(8)])
                times.append(at)
            sliding, fixed, token = SlidingWindow(6, 1.0), FixedWindow(6, 1.0), TokenWindow(6, 1.0)
            kept = [at for at in times if sliding.accept(at)]

            assert 0 < len(kept) < len(times)
            assert all(fixed.accept(at) for at in kept)
            assert all(token.accept(at) for at in kept)


class TestRateLimit:
    @pytest.mark.parametrize("window", ["sliding", "fixed", "token", "counter"])
    async def test_over_the_socket(self, call: Caller, window: Window) -> None:
        """More than the limit at once is refused with HTTP 429 and 50011, and later calls are served again."""
        async with Emulator(window=window) as exchange:
            answers = await asyncio.gather(*(call(exchange) for _ in range(20)))
            refusal = 429, {"msg": "Too Many Requests", "code": "50011"}
            # Two fixed windows may touch, and a token may come back meanwhile.
            most = 6 if window == "sliding" else 12

            assert refusal in answers
            assert 6 <= answers.count(success(ROW)) <= most
            assert 20 == answers.count(success(ROW)) + answers.count(refusal)

            # A counter remembers the window before.
            await asyncio.sleep(2.01 if window == "counter" else 1.01)

            assert success(ROW) == await call(exchange)

    async def test_keys_of_one_user_share(self, call: Caller) -> None:
        """All keys of one user are counted together."""
        async with Emulator() as exchange:
            second = exchange.user.add_key()

            assert exchange.credentials.user_id == second.user_id
            assert exchange.credentials.api_key != second.api_key
            assert ["0"] * 6 + ["50011"] * 2 == await call.codes(exchange, 8, exchange.credentials, second)
            assert Tally(received=8, accepted=6, refused=2, rejected=0) == exchange.tally(uid=exchange.user.uid)

    async def test_users_do_not_share(self, call: Caller) -> None:
        """Each user has a limit of its own."""
        async with Emulator() as exchange:
            other = exchange.add_user()
            codes = await call.codes(exchange, 14, exchange.credentials, other.credentials)

            assert ["0"] * 12 + ["50011"] * 2 == codes
            assert 7 == exchange.count(uid=other.uid)
            assert 1 == exchange.count(uid=other.uid, code="50011")

    async def test_endpoints_do_not_share(self, call: Caller) -> None:
        """Each endpoint has a limit of its own: the account configuration takes 5 calls, the public time 10."""
        async with Emulator() as exchange:
            assert ["0"] * 6 == await call.codes(exchange, 6)

            config = [(await call(exchange, path=CONFIG_PATH))[1]["code"] for _ in range(6)]
            public = [(await call(exchange, {}, TIME_PATH))[1]["code"] for _ in range(11)]

            assert ["0"] * 5 + ["50011"] == config
            assert ["0"] * 10 + ["50011"] == public
            assert 1 == exchange.count(code="50011", endpoint=f"GET {TIME_PATH}")

    async def test_public_endpoints_count_by_address(self, call: Caller) -> None:
        """A key makes no difference to the limit of a public endpoint."""
        async with Emulator() as exchange:
            other = exchange.add_user()
            for credentials in (exchange.credentials, other.credentials) * 5:
                assert "0" == (await call(exchange, signed(credentials, TIME_PATH), TIME_PATH))[1]["code"]

            assert "50011" == (await call(exchange, {}, TIME_PATH))[1]["code"]


class TestDelays:
    async def test_latency(self, call: Caller) -> None:
        """A call is counted one way after it was sent, and answered two ways after."""
        async with Emulator(latency=0.1) as exchange:
            sent = asyncio.get_running_loop().time()
            await call(exchange)
            answered = asyncio.get_running_loop().time()
            [arrived] = exchange.arrivals()

            assert 0.1 <= arrived - sent
            assert 0.1 <= answered - arrived

    async def test_jitter(self, call: Caller) -> None:
        """Jitter adds at most what it says to each way, and differs between calls."""
        async with Emulator(latency=0.02, jitter=0.1, seed=1) as exchange:
            sent = asyncio.get_running_loop().time()
            await asyncio.gather(*(call(exchange) for _ in range(6)))
            trips = [arrived - sent for arrived in exchange.arrivals()]

            assert all(0.02 <= trip < 0.6 for trip in trips)
            assert max(trips) - min(trips) > 0.02

    async def test_a_call_that_was_given_up_still_counts(self, call: Caller) -> None:
        """A client that hangs up while its call travels does not stop it from being counted."""
        async with Emulator(latency=0.2) as exchange:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call(exchange), 0.05)

            assert 0 == exchange.count()

            await asyncio.sleep(0.3)

            assert Tally(received=1, accepted=1, refused=0, rejected=0) == exchange.tally()


class TestCounters:
    async def test_calls(self, call: Caller) -> None:
        """Each call is remembered with its user, endpoint, time, status and code, oldest first."""
        async with Emulator() as exchange:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await call(exchange)
            await call(exchange, {})
            first, second = exchange.calls

            assert Call(exchange.user.uid, BALANCE, first.arrived_at, 200, "0", first.trace_id) == first
            assert Call(None, BALANCE, second.arrived_at, 401, "50103", second.trace_id) == second
            assert began <= first.arrived_at <= second.arrived_at <= loop.time()
            assert (True, False, False) == (first.accepted, first.refused, first.rejected)
            assert (False, False, True) == (second.accepted, second.refused, second.rejected)

    async def test_a_rejected_call_of_a_known_user(self, call: Caller) -> None:
        """A call with a known key is the user's also when its signature is wrong, and is no arrival at the limit."""
        async with Emulator() as exchange:
            await call(exchange, signed(exchange.credentials) | {"OK-ACCESS-SIGN": "wrong"})

            assert Tally(received=1, accepted=0, refused=0, rejected=1) == exchange.tally(uid=exchange.user.uid)
            assert () == exchange.arrivals()

    def test_most_within(self) -> None:
        """The most calls in any stretch counts accepted and refused ones, and leaves out what is just so far apart."""
        exchange = Emulator()
        times_and_codes = [(1.0, "0"), (1.5, "50011"), (1.75, "50113"), (2.0, "0"), (2.25, "0"), (9.0, "0")]
        for at, code in times_and_codes:
            exchange._calls.note(Call("7", BALANCE, at, 200, code, ""))

        assert 3 == exchange.most_within(1.0)
        assert 4 == exchange.most_within(1.5)
        assert 1 == exchange.most_within(0.25)
        assert 5 == exchange.most_within(100.0, uid="7", endpoint=BALANCE)
        assert 0 == exchange.most_within(100.0, uid="8")
        assert 0 == exchange.most_within(100.0, endpoint="GET /")

    def test_memory_is_bounded(self) -> None:
        """Only so many calls are remembered."""
        assert 100_000 == MEMORY == Emulator()._calls._calls.maxlen

    async def test_counters_outlive_serving(self, call: Caller) -> None:
        """What was counted can be read after the exchange has closed, and its url too."""
        async with Emulator() as exchange:
            await call(exchange)

        assert 1 == exchange.count(code="0")
        assert exchange.url.startswith("http://127.0.0.1:")


class TestUsers:
    def test_keys_look_like_those_of_okx(self) -> None:
        """Made-up keys have the form of OKX's: a uuid, 32 capital hexadecimal digits, and a uid of 17 digits."""
        user = Emulator().user
        key = user.credentials

        assert [8, 4, 4, 4, 12] == [len(group) for group in key.api_key.split("-")]
        assert 32 == len(key.secret_key)
        assert key.secret_key == f"{int(key.secret_key, 16):032X}"
        assert " " not in key.passphrase
        assert 17 == len(user.uid)
        assert user.uid.isdecimal()

    def test_everybody_differs(self) -> None:
        """No two users, keys or emulators of a process share a uid, key, secret or passphrase."""
        exchanges = [Emulator(seed=1), Emulator(seed=1)]
        users = [user for exchange in exchanges for user in (exchange.user, exchange.add_user())]
        keys = [key for user in users for key in (user.credentials, user.add_key(), user.add_key())]

        assert 4 == len({user.uid for user in users})
        for field in ("api_key", "secret_key", "passphrase"):
            assert 12 == len({getattr(key, field) for key in keys})
        for user in users:
            assert user.uid == user.credentials.user_id

    async def test_each_user_has_its_balance(self, call: Caller) -> None:
        """Each user is answered with its own balance, whichever of its keys asks."""
        async with Emulator() as exchange:
            poor = exchange.add_user(balance=None)
            rich = exchange.add_user(balance=Balance("OKSOL", Decimal(1000), Decimal(1), Decimal(2)))

            assert success() == await call(exchange, signed(poor.add_key()))
            assert "1000" == (await call(exchange, signed(rich.credentials)))[1]["data"][0]["amt"]
            assert DEFAULT_BALANCE == exchange.user.balance
            assert success(ROW) == await call(exchange)

    async def test_demo_user(self, call: Caller) -> None:
        """A demo user may live beside live ones."""
        async with Emulator() as exchange:
            demo = exchange.add_user(demo=True)

            assert demo.demo
            assert "50101" == (await call(exchange, signed(demo.credentials)))[1]["code"]
            assert 200 == (await call(exchange, signed(demo.credentials) | {"x-simulated-trading": "1"}))[0]

    def test_what_is_fixed_stays(self) -> None:
        """A user's uid, mode and first key cannot be set."""
        user = Emulator().user

        for field in ("uid", "demo", "credentials"):
            with pytest.raises(AttributeError):
                setattr(user, field, getattr(user, field))

    def test_no_secrets_in_repr(self) -> None:
        """No repr shows a secret, a passphrase or a whole key."""
        exchange = Emulator()
        user = exchange.add_user()
        user.add_key(VECTOR_KEY)
        shown = f"{exchange!r} {exchange} {user!r} {user} {[*exchange._world.keys.values()]!r}"

        assert user.uid in repr(user)
        for key in (exchange.credentials, user.credentials, VECTOR_KEY):
            assert not [value for value in (key.api_key, key.secret_key, key.passphrase) if value in shown]


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"window": "hopping"},
            {"latency": -0.1},
            {"latency": float("nan")},
            {"latency": "0.1"},
            {"latency": True},
            {"jitter": float("inf")},
            {"jitter": -1},
            {"seed": "1"},
            {"port": 65_536},
            {"port": -1},
            {"port": "80"},
            {"now": 5},
            {"demo": "1"},
        ],
    )
    def test_wrong_argument(self, arguments: dict[str, Any]) -> None:
        """A wrong argument is a ConfigurationError that names it."""
        with pytest.raises(ConfigurationError, match=next(iter(arguments))):
            Emulator(**arguments)

    def test_wrong_user(self) -> None:
        """A wrong balance, mode or key is a ConfigurationError that names it."""
        exchange = Emulator()
        bad: Any = "1"

        with pytest.raises(ConfigurationError, match="balance"):
            exchange.add_user(balance=bad)
        with pytest.raises(ConfigurationError, match="balance"):
            exchange.user.balance = bad
        with pytest.raises(ConfigurationError, match="demo"):
            exchange.add_user(demo=bad)
        with pytest.raises(ConfigurationError, match="credentials"):
            exchange.user.add_key(bad)

    def test_a_key_has_one_user(self) -> None:
        """A key that the exchange holds cannot be given again, and the error does not show it."""
        exchange = Emulator()
        other = exchange.add_user()

        with pytest.raises(ConfigurationError) as caught:
            other.add_key(exchange.credentials)

        assert exchange.credentials.api_key not in str(caught.value)


class TestServing:
    def test_background(self) -> None:
        """With a plain `with` the exchange serves code that has no event loop."""
        with Emulator() as exchange:
            url, headers = exchange.url + BALANCE_PATH, signed(exchange.credentials)
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:  # noqa: S310 - loopback
                assert {"code": "0", "msg": "", "data": [ROW]} == json.load(response)

            assert 1 == exchange.count(code="0")

    @pytest.mark.real_clock
    async def test_background_inside_a_loop(self, call: Caller) -> None:
        """With a plain `with` the exchange also serves a client in an event loop of its own."""
        with Emulator() as exchange:
            assert success(ROW) == await call(exchange)

    @pytest.mark.real_clock
    async def test_fixture(self, call: Caller, okx_emulator: Emulator) -> None:  # noqa: F811 - the fixture
        """The fixture serves an exchange to a test with an event loop."""
        assert success(ROW) == await call(okx_emulator)

    def test_fixture_without_a_loop(self, okx_emulator: Emulator) -> None:  # noqa: F811 - the fixture
        """The fixture serves an exchange to a test without an event loop."""
        with urllib.request.urlopen(okx_emulator.url + TIME_PATH) as response:  # noqa: S310 - loopback
            assert 200 == response.status

    async def test_only_once(self) -> None:
        """An emulator that serves or has served is not served again."""
        exchange = Emulator()
        async with exchange:
            with pytest.raises(ConfigurationError, match="once"):
                exchange.__enter__()
        with pytest.raises(ConfigurationError, match="once"):
            await exchange.__aenter__()

    def test_no_url_before_serving(self) -> None:
        """Before it serves, an emulator has no url, but it has users."""
        exchange = Emulator()

        with pytest.raises(ConfigurationError, match="url"):
            _ = exchange.url
        assert isinstance(exchange.user, EmulatedUser)
        assert "not serving" in repr(exchange)

    async def test_port(self) -> None:
        """A port that is taken is a ConfigurationError that names it, and one that is free is used."""
        async with Emulator() as exchange:
            port = URL(exchange.url).port
            assert port is not None
            with pytest.raises(ConfigurationError, match=str(port)):
                await Emulator(port=port).__aenter__()
            with pytest.raises(ConfigurationError, match=str(port)):
                Emulator(port=port).__enter__()
        async with Emulator(port=port) as exchange:
            assert f"http://127.0.0.1:{port}" == exchange.url

    @pytest.mark.shows_secrets("it signs by hand, so aiohttp's frames hold plain headers")
    async def test_closed(self, call: Caller) -> None:
        """After it has closed, nothing listens."""
        async with Emulator() as exchange:
            await call(exchange)
        with pytest.raises(aiohttp.ClientConnectionError):
            await call(exchange)

    @pytest.mark.parametrize("background", [False, pytest.param(True, marks=pytest.mark.real_clock)])
    async def test_quick_shutdown(self, call: Caller, *, background: bool) -> None:
        """Closing waits neither for calls on their way nor for idle or half-sent ones, and leaves nothing behind."""
        tasks, threads = asyncio.all_tasks(), threading.active_count()
        # If it waited for them in the background, where the clock is a real one, this test would never end.
        exchange = Emulator(latency=100_000.0)
        if background:
            exchange.__enter__()
        else:
            await exchange.__aenter__()
        address = "127.0.0.1", URL(exchange.url).port
        in_flight = [asyncio.create_task(call(exchange)) for _ in range(3)]
        _, idle = await asyncio.open_connection(*address)
        _, half_a_head = await asyncio.open_connection(*address)
        half_a_head.write(b"GET / HT")
        _, half_a_body = await asyncio.open_connection(*address)
        half_a_body.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        port = exchange._server.port
        assert port is not None
        while len(port._connections) < 6:  # noqa: ASYNC110 - the exchange tells nobody
            await asyncio.sleep(0.01)
        began = now()
        if background:
            exchange.__exit__(None, None, None)
        else:
            await exchange.__aexit__(None, None, None)
        took = now() - began
        left = asyncio.all_tasks() - tasks - {*in_flight}
        ends = await asyncio.gather(*in_flight, return_exceptions=True)
        for writer in (idle, half_a_head, half_a_body):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        gc.collect()

        assert background or took < 1.0
        assert all(isinstance(end, aiohttp.ClientConnectionError) for end in ends)
        assert not left
        assert threads == threading.active_count()
        assert 0 == exchange.count()

    def test_shutdown_while_clients_connect(self, caplog: pytest.LogCaptureFixture) -> None:
        """Closing right after clients connected fills no log and leaves nothing open."""
        caplog.set_level(logging.INFO)
        for _ in range(30):
            with Emulator() as exchange:
                port = URL(exchange.url).port
                assert port is not None
                connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
            for connection in connections:
                connection.close()
        gc.collect()

        assert [] == caplog.record_tuples

    def test_a_client_that_hangs_up(self, caplog: pytest.LogCaptureFixture) -> None:
        """A client that goes away in the middle of its request disturbs nobody and fills no log."""
        caplog.set_level(logging.WARNING)
        with Emulator() as exchange:
            port = URL(exchange.url).port
            assert port is not None
            for sent in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"):
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(sent)
                    time.sleep(0.02)
            with urllib.request.urlopen(exchange.url + TIME_PATH) as response:  # noqa: S310 - loopback
                assert 200 == response.status

        assert [] == caplog.record_tuples
