"""Faults that replace the response of the exchange."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from okx_sol_async.emulator import Emulator, Tally
from okx_sol_async.emulator.faults import (
    Body,
    CloseConnection,
    Fault,
    GzipBomb,
    HugeBody,
    NoResponse,
    Page,
    Redirect,
    Refusal,
    Reset,
    SlowResponse,
)
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOW,
    STAKING,
    Staker,
)
from tests.support.virtual_time import now
from tests.support.wire import Wire, raw

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


PURCHASE = f"POST {STAKING}/purchase"


class TestResponses:
    """Faults that send another response."""

    @pytest.mark.parametrize(
        ("fault", "status", "body"),
        [
            (Refusal("50011"), 429, {"msg": "Too Many Requests", "code": "50011"}),
            (Refusal(50011, status=200), 200, {"msg": "Too Many Requests", "code": 50011}),
            (
                Refusal("50001"),
                503,
                {"msg": "Service temporarily unavailable. Please try again later.", "code": "50001", "data": []},
            ),
            (Refusal("50004"), 400, {"msg": "API endpoint request timeout ", "code": "50004", "data": []}),
            (Refusal("50013"), 429, {"msg": "Systems are busy. Please try again later.", "code": "50013", "data": []}),
            (Refusal("50026"), 500, {"msg": "System error. Try again later", "code": "50026", "data": []}),
            (Refusal("50102"), 401, {"msg": "Timestamp request expired", "code": "50102"}),
            (Refusal("50110"), 401, {"msg": "Invalid IP", "code": "50110"}),
            (
                Refusal("51008_1000", msg="服务暂时不可用"),
                200,
                {"msg": "服务暂时不可用", "code": "51008_1000", "data": []},
            ),
            (Refusal(1), 200, {"msg": "Operation failed.", "code": 1, "data": []}),
        ],
    )
    async def test_refusal(
        self, frozen_exchange: Emulator, staker: Staker, fault: Refusal, status: int, body: dict[str, object]
    ) -> None:
        """Any code of OKX, as text or as a number, with OKX's status and text or others, and without data."""
        frozen_exchange.fail_next(fault)

        assert (status, body) == await staker.get("balance")
        [call] = frozen_exchange.calls
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
        self, frozen_exchange: Emulator, fault: Fault, status: int, content_type: str, body: bytes
    ) -> None:
        """Any bytes with any status and type."""
        frozen_exchange.fail_next(fault)
        head, got = await raw(frozen_exchange)

        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert f"Content-Type: {content_type}".encode() in head
        assert body in got
        if isinstance(fault, Body):
            assert body == got
        assert [(status, "")] == [(call.status, call.code) for call in frozen_exchange.calls]

    async def test_body_without_a_type(self, frozen_exchange: Emulator) -> None:
        """The type may be missing, and the encoding may be a lie."""
        frozen_exchange.fail_next(Body(b"plain", content_type=None, encoding="br"))
        head, body = await raw(frozen_exchange)

        assert b"Content-Type" not in head
        assert b"Content-Encoding: br" in head
        assert b"plain" == body

    @pytest.mark.parametrize("declared", [True, False])
    async def test_huge_body(self, frozen_exchange: Emulator, *, declared: bool) -> None:
        """A body of any size is made while it is sent; its size is declared, or the end of the connection is its end."""
        frozen_exchange.fail_next(HugeBody(3_000_000, declared=declared))
        async with Wire(frozen_exchange) as wire:
            wire.send(more="Connection: close" if declared else "")
            head, _, body = (await wire.everything()).partition(b"\r\n\r\n")

        assert declared == (b"Content-Length: 3000000" in head)
        assert 3_000_000 == len(body)
        assert "0" == json.loads(body)["code"]

    async def test_a_huge_body_is_not_held(self, frozen_exchange: Emulator) -> None:
        """Who stops reading a body of a terabyte costs the exchange nothing more."""
        frozen_exchange.fail_next(HugeBody(10**12))
        async with Wire(frozen_exchange) as wire:
            wire.send()
            await wire.reader.readexactly(1_000_000)
        async with Wire(frozen_exchange) as wire:
            wire.send()
            assert (await wire.one())[1].startswith(b'{"code":"0","msg":"","data":[{"amt":"0.01100012"')

    async def test_gzip_bomb(self, frozen_exchange: Emulator) -> None:
        """What is sent is small, and unpacks to a valid response that is huge."""
        frozen_exchange.fail_next(GzipBomb(20_000_000))
        head, body = await raw(frozen_exchange)

        assert b"Content-Encoding: gzip" in head
        assert len(body) < 100_000
        unpacked = gzip.decompress(body)
        assert 20_000_000 <= len(unpacked) < 22_000_000
        assert "0" == json.loads(unpacked)["code"]

    async def test_redirect(self, frozen_exchange: Emulator) -> None:
        """A redirect to any place."""
        frozen_exchange.fail_next(Redirect("https://elsewhere.example/?a=b", status=307))
        head, body = await raw(frozen_exchange)

        assert head.startswith(b"HTTP/1.1 307 Temporary Redirect\r\n")
        assert b"\r\nLocation: https://elsewhere.example/?a=b" in head
        assert b"" == body


class TestNoResponse:
    """Faults that leave a call without a response."""

    @pytest.mark.parametrize("processed", [False, True])
    @pytest.mark.parametrize("kind", [Reset, CloseConnection, NoResponse, Page, Body, Refusal])
    async def test_processed_or_not(
        self, frozen_exchange: Emulator, staker: Staker, kind: type[Any], *, processed: bool
    ) -> None:
        """A write that fails has happened or not, which only the exchange knows."""
        what = {Body: (b"{",), Refusal: ("50004",)}.get(kind, ())
        frozen_exchange.fail_next(kind(*what, processed=processed))
        with suppress(aiohttp.ClientError, ValueError, TimeoutError):
            async with asyncio.timeout(0.2):
                await staker.post("purchase", {"amt": "1"})

        assert processed == (Decimal(99) == frozen_exchange.user.sol)
        assert int(processed) == len(frozen_exchange.user.orders)
        [call] = frozen_exchange.calls
        assert processed == call.accepted
        assert Tally(1, int(processed), 0, int(not processed), faulted=1) == frozen_exchange.tally()

    async def test_reset(self, frozen_exchange: Emulator) -> None:
        """A reset is a reset, and not an orderly end."""
        frozen_exchange.fail_next(Reset())
        async with Wire(frozen_exchange) as wire:
            wire.send()
            with pytest.raises(ConnectionResetError):
                await wire.everything()

    async def test_hang_up(self, frozen_exchange: Emulator) -> None:
        """Hanging up is an orderly end without a byte."""
        frozen_exchange.fail_next(CloseConnection())
        async with Wire(frozen_exchange) as wire:
            wire.send()
            assert b"" == await wire.everything()

    async def test_silence(self, frozen_exchange: Emulator) -> None:
        """NoResponse lasts until the client hangs up, and leaves nothing running."""
        tasks = len(asyncio.all_tasks())
        frozen_exchange.fail_next(NoResponse())
        async with Wire(frozen_exchange) as wire:
            wire.send()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.reader.read(1), 0.1)
        for _ in range(10):
            await asyncio.sleep(0.01)

        assert len(asyncio.all_tasks()) <= tasks
        assert [(0, "")] == [(call.status, call.code) for call in frozen_exchange.calls]

    async def test_closing_ends_silence(self) -> None:
        """An exchange closes at once, also while it is silent or slow."""
        began = now()
        async with Emulator(now=lambda: NOW) as exchange:
            exchange.fail_next(NoResponse())
            exchange.fail_next(SlowResponse(1))
            async with Wire(exchange) as silent, Wire(exchange) as slow:
                silent.send()
                await asyncio.sleep(0.02)
                slow.send()
                await slow.reader.readexactly(1)

                assert 2 == exchange.tally().faulted
                await exchange.__aexit__(None, None, None)

                assert b"" == await silent.everything()
        assert now() - began < 2.0
