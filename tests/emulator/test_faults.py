"""Whatever can go wrong between a client and OKX is one call away in the local exchange, on the wire and not in words."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from typing import Any, Self

import aiohttp
import attrs
import pytest
import uvloop
from yarl import URL

from okx_sol_async.emulator import Emulator, Injection, Product, Tally, faults
from okx_sol_async.emulator.faults import (
    Body,
    CloseIdle,
    Cut,
    DateHeader,
    Delay,
    Drip,
    ExtraHeader,
    Fault,
    GzipBomb,
    HangUp,
    HugeBody,
    Page,
    Redirect,
    Refusal,
    Reset,
    Silence,
    StaleConnection,
    WrongClock,
)
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import STAKING, Staker, iso, signed
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

BALANCE_PATH = f"{STAKING}/balance"
BALANCE = f"GET {BALANCE_PATH}"
PURCHASE = f"POST {STAKING}/purchase"
NOW = 1_768_485_600.0
ROW = b'{"code":"0","msg":"","data":[{"amt":"0.01100012","ccy":"OKSOL","latestInterestAccrual":"0.00000012",'
ALL = [getattr(faults, name) for name in faults.__all__ if name != "Fault"]


@pytest.fixture(name="exchange")
async def _exchange() -> AsyncIterator[Emulator]:
    async with Emulator(now=lambda: NOW) as exchange:
        yield exchange


@pytest.fixture(name="staker")
async def _staker(exchange: Emulator) -> AsyncIterator[Staker]:
    async with aiohttp.ClientSession() as http:
        staker = Staker(http, exchange)
        staker.timestamp = iso(NOW)
        yield staker


class Wire:
    """A connection on which requests are sent and answers read as bytes."""

    def __init__(self, exchange: Emulator) -> None:
        self._exchange = exchange

    async def __aenter__(self) -> Self:
        url = URL(self._exchange.url)
        self.reader, self.writer = await asyncio.open_connection(url.host, url.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def send(self, *, method: str = "GET", path: str = BALANCE_PATH, version: str = "1.1", more: str = "") -> None:
        headers = signed(self._exchange.credentials, path, method=method, timestamp=iso(NOW))
        lines = [f"{method} {path} HTTP/{version}", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
        self.writer.write("\r\n".join([*lines, *([more] if more else []), "", ""]).encode())

    async def everything(self) -> bytes:
        """Return what comes until the end of the connection, which must be an orderly one."""
        return await self.reader.read()

    async def one(self) -> tuple[bytes, bytes]:
        """Return the head and the body of one answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
        return head, await self.reader.readexactly(length)


async def raw(exchange: Emulator, **request: str) -> tuple[bytes, bytes]:
    """Return head and body of an answer, on a connection that ends after it."""
    async with Wire(exchange) as wire:
        wire.send(more="Connection: close", **request)
        head, _, body = (await wire.everything()).partition(b"\r\n\r\n")
        return head, body


class TestAnswers:
    """Faults that are answers."""

    @pytest.mark.parametrize(
        ("fault", "status", "body"),
        [
            (Refusal("50011"), 429, {"msg": "Too Many Requests", "code": "50011"}),
            (Refusal(50011, status=200), 200, {"msg": "Too Many Requests", "code": 50011}),
            (
                Refusal("50001"),
                503,
                {"msg": "Service temporarily unavailable. Please try again later.", "code": "50001"},
            ),
            (Refusal("50004"), 400, {"msg": "API endpoint request timeout ", "code": "50004"}),
            (Refusal("50013"), 429, {"msg": "Systems are busy. Please try again later.", "code": "50013"}),
            (Refusal("50026"), 500, {"msg": "System error. Try again later", "code": "50026"}),
            (Refusal("50102"), 401, {"msg": "Timestamp request expired", "code": "50102"}),
            (Refusal("50110"), 401, {"msg": "Invalid IP", "code": "50110"}),
            (Refusal("51008_1000", msg="服务暂时不可用"), 200, {"msg": "服务暂时不可用", "code": "51008_1000"}),
            (Refusal(1), 200, {"msg": "Operation failed.", "code": 1}),
        ],
    )
    async def test_refusal(
        self, exchange: Emulator, staker: Staker, fault: Refusal, status: int, body: dict[str, object]
    ) -> None:
        """Any code of OKX, as text or as a number, with OKX's status and text or others, and without data."""
        exchange.fail_next(fault)

        assert (status, body) == await staker.get("balance")
        [call] = exchange.calls
        assert (status, str(body["code"]), (fault,)) == (call.status, call.code, call.faults)
        assert "0" == await staker.code("balance")

    @pytest.mark.parametrize(
        ("fault", "status", "content_type", "body"),
        [
            (Page(), 502, "text/html", b"502 Bad Gateway"),
            (Page(525), 525, "text/html", b"525"),
            (Page(200), 200, "text/html", b"<html>"),
            (Page(429, "Too Many Requests", content_type="text/plain"), 429, "text/plain", b"Too Many Requests"),
            (Body(b"\xff\x00{"), 200, "application/json", b"\xff\x00{"),
            (Body('{"code":0}', content_type="text/plain; charset=utf-16"), 200, "text/plain", b'{"code":0}'),
            (Body("\ud800", status=500), 500, "application/json", b"\xed\xa0\x80"),
            (Body(b""), 200, "application/json", b""),
        ],
    )
    async def test_pages_and_bodies(
        self, exchange: Emulator, fault: Fault, status: int, content_type: str, body: bytes
    ) -> None:
        """Any bytes with any status and type."""
        exchange.fail_next(fault)
        head, got = await raw(exchange)

        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert f"Content-Type: {content_type}".encode() in head
        assert body in got
        if isinstance(fault, Body):
            assert body == got
        assert [(status, "")] == [(call.status, call.code) for call in exchange.calls]

    async def test_body_without_a_type(self, exchange: Emulator) -> None:
        """The type may be missing, and the encoding may be a lie."""
        exchange.fail_next(Body(b"plain", content_type=None, encoding="br"))
        head, body = await raw(exchange)

        assert b"Content-Type" not in head
        assert b"Content-Encoding: br" in head
        assert b"plain" == body

    @pytest.mark.parametrize("declared", [True, False])
    async def test_huge_body(self, exchange: Emulator, *, declared: bool) -> None:
        """A body of any size is made while it is sent; its size is told, or the end of the connection is its end."""
        exchange.fail_next(HugeBody(3_000_000, declared=declared))
        async with Wire(exchange) as wire:
            wire.send(more="Connection: close" if declared else "")
            head, _, body = (await wire.everything()).partition(b"\r\n\r\n")

        assert declared == (b"Content-Length: 3000000" in head)
        assert 3_000_000 == len(body)
        assert "0" == json.loads(body)["code"]

    async def test_a_huge_body_is_not_held(self, exchange: Emulator) -> None:
        """Who stops reading a body of a terabyte costs the exchange nothing more."""
        exchange.fail_next(HugeBody(10**12))
        async with Wire(exchange) as wire:
            wire.send()
            await wire.reader.readexactly(1_000_000)
        async with Wire(exchange) as wire:
            wire.send()
            assert (await wire.one())[1].startswith(ROW)

    async def test_gzip_bomb(self, exchange: Emulator) -> None:
        """What comes is small, and unpacks to a valid answer that is huge."""
        exchange.fail_next(GzipBomb(20_000_000))
        head, body = await raw(exchange)

        assert b"Content-Encoding: gzip" in head
        assert len(body) < 100_000
        unpacked = gzip.decompress(body)
        assert 20_000_000 <= len(unpacked) < 22_000_000
        assert "0" == json.loads(unpacked)["code"]

    async def test_redirect(self, exchange: Emulator) -> None:
        """A redirect to any place."""
        exchange.fail_next(Redirect("https://elsewhere.example/?a=b", status=307))
        head, body = await raw(exchange)

        assert head.startswith(b"HTTP/1.1 307 Temporary Redirect\r\n")
        assert b"\r\nLocation: https://elsewhere.example/?a=b" in head
        assert b"" == body


class TestNoAnswer:
    """Faults that leave a call without an answer."""

    @pytest.mark.parametrize("processed", [False, True])
    @pytest.mark.parametrize("kind", [Reset, HangUp, Silence, Page, Body, Refusal])
    async def test_processed_or_not(
        self, exchange: Emulator, staker: Staker, kind: type[Any], *, processed: bool
    ) -> None:
        """A write that fails has happened or not, which only the exchange knows."""
        what = {Body: (b"{",), Refusal: ("50004",)}.get(kind, ())
        exchange.fail_next(kind(*what, processed=processed))
        with suppress(aiohttp.ClientError, ValueError, TimeoutError):
            async with asyncio.timeout(0.2):
                await staker.post("purchase", {"amt": "1"})

        assert processed == (Decimal(99) == exchange.user.sol)
        assert int(processed) == len(exchange.user.orders)
        [call] = exchange.calls
        assert processed == call.accepted
        assert Tally(1, int(processed), 0, int(not processed), faulted=1) == exchange.tally()

    async def test_reset(self, exchange: Emulator) -> None:
        """A reset is a reset, and not an orderly end."""
        exchange.fail_next(Reset())
        async with Wire(exchange) as wire:
            wire.send()
            with pytest.raises(ConnectionResetError):
                await wire.everything()

    async def test_hang_up(self, exchange: Emulator) -> None:
        """Hanging up is an orderly end without a byte."""
        exchange.fail_next(HangUp())
        async with Wire(exchange) as wire:
            wire.send()
            assert b"" == await wire.everything()

    async def test_silence(self, exchange: Emulator) -> None:
        """Silence lasts until the client hangs up, and leaves nothing running."""
        tasks = len(asyncio.all_tasks())
        exchange.fail_next(Silence())
        async with Wire(exchange) as wire:
            wire.send()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.reader.read(1), 0.1)
        for _ in range(10):
            await asyncio.sleep(0.01)

        assert len(asyncio.all_tasks()) <= tasks
        assert [(0, "")] == [(call.status, call.code) for call in exchange.calls]

    async def test_closing_ends_silence(self) -> None:
        """An exchange closes at once, also while it is silent or slow."""
        began = now()
        async with Emulator(now=lambda: NOW) as exchange:
            exchange.fail_next(Silence())
            exchange.fail_next(Drip(1))
            async with Wire(exchange) as silent, Wire(exchange) as slow:
                silent.send()
                await asyncio.sleep(0.02)
                slow.send()
                await slow.reader.readexactly(1)

                assert 2 == exchange.tally().faulted
                await exchange.__aexit__(None, None, None)

                assert b"" == await silent.everything()
        assert now() - began < 2.0


class TestSpoiltAnswers:
    """Faults that let the exchange answer."""

    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize("of", ["head", "body"])
    @pytest.mark.parametrize("at", [0, 1, 17, 100])
    async def test_cut(self, exchange: Emulator, at: int, of: str, *, reset: bool) -> None:
        """The answer ends after any byte of the head or the body; the exchange has done what was asked for."""
        whole = b"\r\n\r\n".join(await raw(exchange))
        head = whole.index(b"\r\n\r\n") + 4 - len(b"Connection: close\r\n")
        exchange.fail_next(Cut(at, of=of, reset=reset))  # type: ignore[arg-type]
        async with Wire(exchange) as wire:
            wire.send()
            got = b""
            try:
                while piece := await wire.reader.read(1000):
                    got += piece
            except ConnectionResetError:
                assert reset
            else:
                assert not reset

        # What was sent just before a reset may be lost.
        assert len(got) == (at if of == "head" else head + at) or (reset and not got)
        assert [True, True] == [call.accepted for call in exchange.calls]

    async def test_cut_at_every_byte_of_a_purchase(self) -> None:
        """Wherever its answer is cut, a purchase has happened once, and only a whole answer is read as one."""
        async with Emulator(now=lambda: NOW) as exchange, aiohttp.ClientSession() as http:
            whole = None
            for at in range(400):
                user = exchange.add_user()
                staker = Staker(http, exchange, user.credentials)
                staker.timestamp = iso(NOW)
                exchange.fail_next(Cut(at, of="head"), user=user)
                try:
                    status, _ = await staker.post("purchase", {"amt": "1"})
                except (aiohttp.ClientError, ValueError):
                    status = 0

                assert 1 == len(user.orders)
                if status == 200:
                    whole = at
                    break

        assert whole is not None
        assert whole > 150

    async def test_a_cut_beyond_the_end(self, exchange: Emulator) -> None:
        """An answer that is shorter than its cut comes whole."""
        exchange.fail_next(Cut(10_000))
        async with Wire(exchange) as wire:
            wire.send()
            assert (await wire.everything()).partition(b"\r\n\r\n")[2].startswith(ROW)

    async def test_drip(self, exchange: Emulator) -> None:
        """A slow answer comes whole, bit by bit."""
        exchange.fail_next(Drip(2000))
        async with Wire(exchange) as wire:
            began = asyncio.get_running_loop().time()
            wire.send()
            pieces = [await wire.reader.read(10_000)]
            while not pieces[-1].endswith(b"]}"):
                pieces.append(await wire.reader.read(10_000))
            took = asyncio.get_running_loop().time() - began

        assert len(pieces) > 1
        assert ROW in b"".join(pieces)
        assert took > len(b"".join(pieces)) / 2000 * 0.5

    async def test_delay(self, exchange: Emulator) -> None:
        """A call is counted later, and answered later still."""
        exchange.fail_next(Delay(there=0.1, back=0.15))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await raw(exchange)
        [arrived] = exchange.arrivals()

        assert arrived - began >= 0.1
        assert loop.time() - arrived >= 0.15

    @pytest.mark.parametrize(
        ("value", "date"),
        [
            (0, b"Thu, 15 Jan 2026 14:00:00 GMT"),
            (600.0, b"Thu, 15 Jan 2026 14:10:00 GMT"),
            (-45, b"Thu, 15 Jan 2026 13:59:15 GMT"),
            ("yesterday", b"yesterday"),
            (None, None),
        ],
    )
    async def test_date(self, exchange: Emulator, value: float | str | None, date: bytes | None) -> None:
        """Date may lie, be nonsense or be missing, while the exchange's clock is right."""
        exchange.fail_next(DateHeader(value))
        head, body = await raw(exchange)

        assert body.startswith(ROW)
        assert ([] if date is None else [b"Date: " + date]) == [x for x in head.split(b"\r\n") if x.startswith(b"Date")]

    @pytest.mark.parametrize(("seconds", "code"), [(-31, "50102"), (-30, "0"), (30, "0"), (600, "50102")])
    async def test_wrong_clock(self, exchange: Emulator, staker: Staker, seconds: float, code: str) -> None:
        """The exchange's clock may be off: it refuses what is signed with the right time, and says its own."""
        with exchange.fail_next(WrongClock(seconds), times=None):
            assert code == await staker.code("balance")
            async with staker.http.get(exchange.url + "/api/v5/public/time") as response:
                assert str(round((NOW + seconds) * 1000)) == (await response.json())["data"][0]["ts"]
        assert "0" == await staker.code("balance")

    async def test_extra_headers(self, exchange: Emulator) -> None:
        """Headers may come twice."""
        exchange.fail_next(ExtraHeader("Content-Length", "3"), ExtraHeader("Date", "x"))
        head, _ = await raw(exchange)

        assert 2 == head.count(b"Content-Length: ")
        assert 2 == head.count(b"Date: ")

    async def test_close_idle(self, exchange: Emulator) -> None:
        """A connection that was to be kept is closed after the answer."""
        exchange.fail_next(CloseIdle(0.05))
        async with Wire(exchange) as wire:
            wire.send()
            head, body = await wire.one()
            assert b"Connection" not in head
            assert body.startswith(ROW)
            assert b"" == await wire.everything()

    async def test_close_at_once(self, exchange: Emulator) -> None:
        """It may be closed in the same moment, with the answer whole."""
        exchange.fail_next(CloseIdle())
        async with Wire(exchange) as wire:
            wire.send()
            assert (await wire.everything()).partition(b"\r\n\r\n")[2].startswith(ROW)

    async def test_stale_connection(self, exchange: Emulator) -> None:
        """A kept connection is dead when the next call comes over it; a new connection is not."""
        injection = exchange.fail_next(StaleConnection())
        async with Wire(exchange) as kept:
            kept.send()
            await kept.one()

            assert 0 == injection.hits

            kept.send()

            assert b"" == await kept.everything()
        assert 1 == injection.hits

    @pytest.mark.shows_secrets("it signs by hand, so aiohttp's frames hold plain headers")
    async def test_aiohttp_sends_again_on_a_stale_connection(self, exchange: Emulator, staker: Staker) -> None:
        """The client of aiohttp sends a read again by itself, and a write not."""
        exchange.fail_next(StaleConnection(), times=2)
        await staker.get("balance")
        await staker.get("balance")
        with pytest.raises(aiohttp.ClientError):
            await staker.post("purchase", {"amt": "1"})

        assert Tally(received=4, accepted=2, refused=0, rejected=2, faulted=2) == exchange.tally()
        assert () == exchange.user.orders

    async def test_several_at_once(self, exchange: Emulator) -> None:
        """Several faults may befall one call."""
        exchange.fail_next(Refusal("50001"), DateHeader(3600), Cut(5), Delay(back=0.05))
        async with Wire(exchange) as wire:
            wire.send()
            head, _, body = (await wire.everything()).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 503")
        assert b"15:00:00 GMT" in head
        assert b'{"msg' == body


class TestConnections:
    @pytest.mark.parametrize(
        ("version", "asked", "told"),
        [
            ("1.1", "", None),
            ("1.1", "Connection: close", b"Connection: close"),
            ("1.0", "", b"Connection: close"),
            ("1.0", "Connection: keep-alive", b"Connection: keep-alive"),
        ],
    )
    async def test_kept_or_not(self, exchange: Emulator, version: str, asked: str, told: bytes | None) -> None:
        """A connection is kept if the client wants it."""
        kept = told != b"Connection: close"
        async with Wire(exchange) as wire:
            wire.send(version=version, more=asked)
            head, body = await wire.one()
            assert ([] if told is None else [told]) == [x for x in head.split(b"\r\n") if x.startswith(b"Connection")]
            assert body.startswith(ROW)
            if kept:
                wire.send(version=version, more="Connection: close")
            assert kept == bool(await wire.everything())

    async def test_a_head_has_no_body(self, exchange: Emulator) -> None:
        """The answer to a HEAD is a head."""
        head, body = await raw(exchange, method="HEAD")

        assert head.startswith(b"HTTP/1.1 404 Not Found")
        assert b"" == body

    async def test_requests_in_one_piece(self, exchange: Emulator) -> None:
        """Requests that come together are answered in their order, and faults befall one each."""
        exchange.fail_next(Refusal("50001"))
        async with Wire(exchange) as wire:
            wire.send()
            wire.send()
            first, second = await wire.one(), await wire.one()

        assert first[0].startswith(b"HTTP/1.1 503")
        assert second[1].startswith(ROW)


class TestChoosing:
    """Which calls a fault befalls."""

    async def test_script(self, exchange: Emulator, staker: Staker) -> None:
        """What is added first befalls the first call, so often as it says, and then the next."""
        first = exchange.fail_next(Refusal("50001"), times=2)
        second = exchange.fail_next(Refusal("50013"))

        assert ["50001", "50001", "50013", "0"] == [await staker.code("balance") for _ in range(4)]
        assert (2, 1) == (first.hits, second.hits)
        assert 0 == first.left == second.left
        assert [1, 1, 1, 0] == [len(call.faults) for call in exchange.calls]

    async def test_endpoint_and_user(self, exchange: Emulator, staker: Staker) -> None:
        """A fault waits for its endpoint and its user."""
        other = exchange.add_user()
        injection = exchange.fail_next(Refusal("50001"), endpoint=BALANCE, user=other)

        assert ["0", "0"] == [await staker.code("balance"), await staker.code("product-info")]
        staker.credentials = other.add_key()
        assert "0" == await staker.code("product-info")
        assert 1 == injection.left
        assert "50001" == await staker.code("balance")
        assert [other.uid] == [call.uid for call in exchange.calls if call.faults]

    async def test_until_stopped(self, exchange: Emulator, staker: Staker) -> None:
        """A fault may befall every call until it is stopped, or its block ends."""
        with exchange.fail_next(Refusal("50001"), times=None) as injection:
            assert isinstance(injection, Injection)
            assert ["50001"] * 3 == [await staker.code("balance") for _ in range(3)]
        assert "0" == await staker.code("balance")

        for _ in range(2):
            exchange.fail_next(Refusal("50001"), times=None)
        exchange.stop_failing()

        assert "0" == await staker.code("balance")

    async def test_probability(self) -> None:
        """By probability, a seed repeats which calls fail, and another fault does not change that."""

        async def failed(seed: int, *, more: bool = False) -> list[int]:
            async with Emulator(seed=seed, now=lambda: NOW) as exchange, aiohttp.ClientSession() as http:
                exchange.fail_sometimes(Refusal("50001"), probability=0.3, endpoint=BALANCE)
                if more:
                    exchange.fail_sometimes(Refusal("50013"), probability=0.5, endpoint=BALANCE)
                numbers = []
                for number in range(60):
                    staker = Staker(http, exchange, exchange.add_user().credentials)
                    staker.timestamp = iso(NOW)
                    if await staker.code("balance") == "50001":
                        numbers.append(number)
                return numbers

        once = await failed(1)

        assert 8 <= len(once) <= 30
        assert once == await failed(1) == await failed(1, more=True)
        assert once != await failed(2)

    async def test_never_and_always(self, exchange: Emulator, staker: Staker) -> None:
        """The probabilities 0 and 1 are never and always, and may be counted too."""
        exchange.fail_sometimes(Refusal("50013"), probability=0.0)
        exchange.fail_sometimes(Refusal("50001"), probability=1, times=2)

        assert ["50001", "50001", "0"] == [await staker.code("balance") for _ in range(3)]

    async def test_faults_count_against_the_limit(self, exchange: Emulator, staker: Staker) -> None:
        """A call that meets a fault is counted by the rate limit, so faults never let a client be faster."""
        exchange.fail_next(Refusal("50001"), times=6)
        codes = [await staker.code("balance") for _ in range(7)]

        assert Counter({"50001": 6, "50011": 1}) == Counter(codes)
        assert 7 == exchange.most_within(1.0) == len(exchange.arrivals())

    @pytest.mark.shows_secrets("it signs by hand, so aiohttp's frames hold plain headers")
    async def test_a_fault_needs_no_valid_request(self, exchange: Emulator, staker: Staker) -> None:
        """A gateway fails before it looks at anything, and the call is the user's all the same."""
        staker.timestamp = "nonsense"
        exchange.fail_next(Page(502))
        with pytest.raises(aiohttp.ContentTypeError):
            await staker.get("balance")

        assert exchange.user.uid == exchange.calls[0].uid
        assert "50112" == await staker.code("balance")

    def test_from_another_thread(self) -> None:
        """A test in another thread adds faults to an exchange in the background."""
        with Emulator(now=lambda: NOW) as exchange:
            exchange.fail_next(HangUp())
            with socket.create_connection(("127.0.0.1", URL(exchange.url).port or 0)) as connection:
                connection.sendall(b"GET /api/v5/public/time HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"" == connection.recv(10)


async def refused(exchange: Emulator) -> bool:
    try:
        async with Wire(exchange):
            return False
    except ConnectionRefusedError:
        return True


class TestOutages:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_outage(self, host: str) -> None:
        """In an outage connections are refused and open ones reset; after it the same address answers at once."""
        async with Emulator(now=lambda: NOW, host=host) as exchange, Wire(exchange) as kept:
            kept.send()
            await kept.one()
            with exchange.outage() as outage:
                assert await refused(exchange)
                with pytest.raises(ConnectionResetError):
                    await kept.everything()
            for _ in range(3):
                head, _ = await raw(exchange)
                assert head.startswith(b"HTTP/1.1 200")
            outage.end()

            assert not await refused(exchange)

    async def test_again_and_again(self, exchange: Emulator) -> None:
        """Outages may follow each other without a pause, and overlap."""
        for _ in range(20):
            exchange.outage().end()
        first, second = exchange.outage(), exchange.outage()
        first.end()
        first.end()

        assert await refused(exchange)

        second.end()

        assert (await raw(exchange))[0].startswith(b"HTTP/1.1 200")

        third = exchange.outage()
        third.end()
        fourth = exchange.outage()
        await asyncio.sleep(0.01)

        assert await refused(exchange)

        fourth.end()

        assert (await raw(exchange))[0].startswith(b"HTTP/1.1 200")

    async def test_for_a_time(self, exchange: Emulator) -> None:
        """An outage of a given length ends by itself."""
        exchange.outage(0.1)

        assert await refused(exchange)

        await asyncio.sleep(0.09)

        assert await refused(exchange)

        await asyncio.sleep(0.02)

        assert (await raw(exchange))[0].startswith(b"HTTP/1.1 200")

    @pytest.mark.real_clock
    async def test_in_the_background(self) -> None:
        """A test in another thread begins and ends an outage."""
        with Emulator(now=lambda: NOW) as exchange:
            with exchange.outage():
                assert await refused(exchange)
            assert (await raw(exchange))[0].startswith(b"HTTP/1.1 200")

    @pytest.mark.parametrize("background", [False, pytest.param(True, marks=pytest.mark.real_clock)])
    async def test_closing_in_an_outage(self, *, background: bool) -> None:
        """An exchange may close in an outage, and an outage may end after the exchange."""
        exchange = Emulator(now=lambda: NOW)
        if background:
            with exchange:
                outage = exchange.outage()
        else:
            async with exchange:
                exchange.outage().end()
                outage = exchange.outage(30)
        outage.end()

        assert await refused(exchange)
        with pytest.raises(ConfigurationError, match="outage"):
            exchange.outage()

    def test_on_uvloop(self) -> None:
        """The exchange and its faults are the same on uvloop."""

        async def main() -> list[bool]:
            async with Emulator(now=lambda: NOW) as exchange:
                for _ in range(10):
                    exchange.outage().end()
                with exchange.outage():
                    seen = [await refused(exchange)]
                seen.append((await raw(exchange))[0].startswith(b"HTTP/1.1 200"))
                exchange.fail_next(Reset())
                async with Wire(exchange) as wire:
                    wire.send()
                    try:
                        await wire.everything()
                    except ConnectionResetError:
                        seen.append(True)
                return seen

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert [True, True, True] == runner.run(main())


class TestArguments:
    @pytest.mark.parametrize(
        ("kind", "arguments"),
        [
            (Refusal, {"code": 1.5}),
            (Refusal, {"code": "1", "status": 99}),
            (Page, {"status": "502"}),
            (Page, {"content_type": "text/html\r\nX: y"}),
            (Body, {"body": {"code": "0"}}),
            (Body, {"body": b"", "encoding": 5}),
            (HugeBody, {"size": -1}),
            (HugeBody, {"declared": "no"}),
            (GzipBomb, {"size": 1.5}),
            (Redirect, {"url": "a\nb"}),
            (Reset, {"processed": 1}),
            (Cut, {"at": -1}),
            (Cut, {"at": 1, "of": "tail"}),
            (Drip, {"bytes_per_second": 0}),
            (Drip, {"bytes_per_second": float("inf")}),
            (Delay, {"back": -1}),
            (DateHeader, {"value": float("nan")}),
            (DateHeader, {"value": "a\rb"}),
            (WrongClock, {"seconds": "5"}),
            (ExtraHeader, {"value": "x", "name": "a\nb"}),
            (CloseIdle, {"after": -0.1}),
        ],
    )
    def test_wrong_fault(self, kind: type[Any], arguments: dict[str, Any]) -> None:
        """A wrong value is named."""
        with pytest.raises(ConfigurationError, match=list(arguments)[-1]):
            kind(**arguments)

    @pytest.mark.parametrize(
        ("given", "arguments", "named"),
        [
            ((), {}, "faults"),
            ((Reset,), {}, "faults"),
            (("50011",), {}, "faults"),
            ((Reset(),), {"times": 0}, "times"),
            ((Reset(),), {"times": 1.5}, "times"),
            ((Reset(),), {"endpoint": "purchase"}, "endpoint"),
            ((Reset(),), {"user": "me"}, "user"),
        ],
    )
    def test_wrong_injection(self, given: tuple[Any, ...], arguments: dict[str, Any], named: str) -> None:
        """A wrong argument is named."""
        exchange = Emulator()
        with pytest.raises(ConfigurationError, match=named):
            exchange.fail_next(*given, **arguments)
        with pytest.raises(ConfigurationError, match=named):
            exchange.fail_sometimes(*given, probability=0.5, **arguments)

    @pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), "0.5", True])
    def test_wrong_probability(self, probability: Any) -> None:  # noqa: ANN401 - that is the point
        """A probability is from 0 to 1."""
        with pytest.raises(ConfigurationError, match="probability"):
            Emulator().fail_sometimes(Reset(), probability=probability)

    @pytest.mark.parametrize("host", ["0.0.0.0", "example.org", "192.0.2.1", "", 5, None])  # noqa: S104 - refused
    def test_wrong_host(self, host: Any) -> None:  # noqa: ANN401 - that is the point
        """The exchange serves this machine only."""
        with pytest.raises(ConfigurationError, match="host"):
            Emulator(host=host)

    @pytest.mark.parametrize("seconds", [-1, "1", float("inf")])
    async def test_wrong_outage(self, exchange: Emulator, seconds: Any) -> None:  # noqa: ANN401 - that is the point
        """An outage lasts for a number of seconds."""
        with pytest.raises(ConfigurationError, match="seconds"):
            exchange.outage(seconds)

    @pytest.mark.parametrize("kind", ALL)
    def test_faults_are_values(self, kind: type[Fault]) -> None:
        """Faults are frozen, compare by value, and say what they do."""
        assert attrs.has(kind)
        assert kind.__doc__
        assert issubclass(kind, Fault)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            Delay(1).there = 2  # type: ignore[misc]
        assert Delay(1) == Delay(1) != Delay(2)


async def test_many_calls_with_faults_leave_nothing_behind() -> None:
    """After many calls of all kinds no task and no connection is left."""
    async with Emulator(seed=1, now=lambda: NOW, product=Product()) as exchange:
        for fault in (Reset(), HangUp(), Cut(20), Silence(), Refusal("50001"), CloseIdle(), Drip(100_000)):
            exchange.fail_sometimes(fault, probability=0.12)
        timeout = aiohttp.ClientTimeout(total=0.05)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            for _ in range(300):
                staker = Staker(http, exchange, exchange.add_user().credentials)
                staker.timestamp = iso(NOW)
                with suppress(aiohttp.ClientError, TimeoutError):
                    await staker.get("balance")
        await asyncio.sleep(0.05)

        assert exchange.tally().faulted > 100
        assert {asyncio.current_task()} == asyncio.all_tasks()
        port = exchange._server.port
        assert port is not None
        assert {} == port._connections
