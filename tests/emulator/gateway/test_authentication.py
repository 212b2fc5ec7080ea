"""The exchange checks requests as strictly as OKX, judged by requests that our own signer had no part in."""

from __future__ import annotations

import asyncio

import pytest

from okx_sol_async.emulator import (
    Emulator,
    Tally,
)
from okx_sol_async.emulator.gateway._responses import documented_refusals
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from tests.support.signed_calls import (
    BALANCE_PATH,
    BALANCE_VECTOR,
    CONFIG_PATH,
    ROW,
    VECTOR_KEY,
    VECTOR_TIME,
    VECTORS,
    Caller,
    iso,
    raw_call,
    signed,
    success,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


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
            refusal = 401, {"code": code, "msg": documented_refusals()[code][1]}

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
            "2026-01-15 23:28:05.149Z",
            "2026-13-15T23:28:05.149Z",
            "2026-01-15T25:28:05.149Z",
            "0000-01-15T23:28:05.149Z",
            "٢٠٢٦-01-15T23:28:05.149Z",
        ],
    )
    async def test_malformed_timestamp(self, call: Caller, timestamp: str) -> None:
        """A timestamp that is not UTC with a fraction and a Z is a 50112."""
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            refusal = 401, {"msg": "Invalid OK-ACCESS-TIMESTAMP.", "code": "50112"}

            assert refusal == await call(exchange, signed(exchange.credentials, timestamp=timestamp))

    @pytest.mark.parametrize("fraction", ["1", "14", "149", "149000", "149000000"])
    async def test_any_fraction_of_a_second(self, call: Caller, fraction: str) -> None:
        """Fractions of one to nine digits are accepted: OKX.Net sends two, and works."""
        timestamp = f"2026-01-15T23:28:05.{fraction}Z"
        async with Emulator(now=lambda: VECTOR_TIME) as exchange:
            exchange.user.balance = None
            assert success() == await call(exchange, signed(exchange.credentials, timestamp=timestamp))

    async def test_a_key_bound_to_addresses(self, call: Caller) -> None:
        """A key is refused from an address that it is not bound to, and account/config lists its addresses."""
        async with Emulator() as exchange:
            bound = exchange.user.add_key(ips=["203.0.113.7", "127.0.0.1"])
            elsewhere = exchange.user.add_key(ips=["203.0.113.7"])

            assert (401, {"msg": "Invalid IP", "code": "50110"}) == await call(exchange, signed(elsewhere))
            _, body = await call(exchange, signed(bound, CONFIG_PATH), CONFIG_PATH)
            assert "203.0.113.7,127.0.0.1" == body["data"][0]["ip"]

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
