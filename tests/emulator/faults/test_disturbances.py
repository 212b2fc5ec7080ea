"""Faults that let the exchange respond, and change how the response arrives."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from okx_sol_async.emulator import Emulator, Tally
from okx_sol_async.emulator.faults import (
    CloseConnection,
    CloseIdle,
    DateHeader,
    Delay,
    ExtraHeader,
    Fault,
    HugeBody,
    Refusal,
    Reset,
    SlowResponse,
    StaleConnection,
    TruncateResponse,
    WrongClock,
)
from tests.support.machines import until
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOW,
    Staker,
    iso,
)
from tests.support.wire import Wire, raw

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


ROW_BYTES = b'{"code":"0","msg":"","data":[{"amt":"0.01100012","ccy":"OKSOL","latestInterestAccrual":"0.00000012",'


class TestDisturbances:
    """Faults that let the exchange respond."""

    @pytest.mark.parametrize("reset", [False, True])
    @pytest.mark.parametrize("of", ["head", "body"])
    @pytest.mark.parametrize("at", [0, 1, 17, 100])
    async def test_cut(self, frozen_exchange: Emulator, at: int, of: str, *, reset: bool) -> None:
        """The response ends after any byte of the head or the body; the exchange has done what was asked for."""
        whole = b"\r\n\r\n".join(await raw(frozen_exchange))
        head = whole.index(b"\r\n\r\n") + 4 - len(b"Connection: close\r\n")
        frozen_exchange.fail_next(TruncateResponse(at, of=of, reset=reset))  # type: ignore[arg-type]
        async with Wire(frozen_exchange) as wire:
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
        assert [True, True] == [call.accepted for call in frozen_exchange.calls]

    async def test_cut_at_every_byte_of_a_purchase(self) -> None:
        """Wherever its response is truncated, a purchase has happened once, and only a whole response is read as one."""
        async with Emulator(now=lambda: NOW) as exchange, aiohttp.ClientSession() as http:
            whole = None
            for at in range(400):
                user = exchange.add_user()
                staker = Staker(http, exchange, user.credentials)
                staker.timestamp = iso(NOW)
                exchange.fail_next(TruncateResponse(at, of="head"), user=user)
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

    async def test_a_cut_beyond_the_end(self, frozen_exchange: Emulator) -> None:
        """A response that is shorter than its limit is sent whole."""
        frozen_exchange.fail_next(TruncateResponse(10_000))
        async with Wire(frozen_exchange) as wire:
            wire.send()
            assert (await wire.everything()).partition(b"\r\n\r\n")[2].startswith(ROW_BYTES)

    async def test_drip(self, frozen_exchange: Emulator) -> None:
        """A slow response is sent whole, bit by bit."""
        frozen_exchange.fail_next(SlowResponse(2000))
        async with Wire(frozen_exchange) as wire:
            began = asyncio.get_running_loop().time()
            wire.send()
            pieces = [await wire.reader.read(10_000)]
            while not pieces[-1].endswith(b"]}"):
                pieces.append(await wire.reader.read(10_000))
            took = asyncio.get_running_loop().time() - began

        assert len(pieces) > 1
        assert ROW_BYTES in b"".join(pieces)
        assert took > len(b"".join(pieces)) / 2000 * 0.5

    async def test_delay(self, frozen_exchange: Emulator) -> None:
        """A call is counted later, and answered later still."""
        frozen_exchange.fail_next(Delay(there=0.1, back=0.15))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await raw(frozen_exchange)
        [arrived] = frozen_exchange.arrivals()

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
    async def test_date(self, frozen_exchange: Emulator, value: float | str | None, date: bytes | None) -> None:
        """Date may lie, be nonsense or be missing, while the exchange's clock is right."""
        frozen_exchange.fail_next(DateHeader(value))
        head, body = await raw(frozen_exchange)

        assert body.startswith(ROW_BYTES)
        assert ([] if date is None else [b"Date: " + date]) == [x for x in head.split(b"\r\n") if x.startswith(b"Date")]

    @pytest.mark.parametrize(("seconds", "code"), [(-31, "50102"), (-30, "0"), (30, "0"), (600, "50102")])
    async def test_wrong_clock(self, frozen_exchange: Emulator, staker: Staker, seconds: float, code: str) -> None:
        """The exchange's clock may be off: it refuses what is signed with the right time, and says its own."""
        with frozen_exchange.fail_next(WrongClock(seconds), times=None):
            assert code == await staker.code("balance")
            async with staker.http.get(frozen_exchange.url + "/api/v5/public/time") as response:
                assert str(round((NOW + seconds) * 1000)) == (await response.json())["data"][0]["ts"]
        assert "0" == await staker.code("balance")

    async def test_extra_headers(self, frozen_exchange: Emulator) -> None:
        """Headers may come twice."""
        frozen_exchange.fail_next(ExtraHeader("Content-Length", "3"), ExtraHeader("Date", "x"))
        head, _ = await raw(frozen_exchange)

        assert 2 == head.count(b"Content-Length: ")
        assert 2 == head.count(b"Date: ")

    async def test_close_idle(self, frozen_exchange: Emulator) -> None:
        """A connection that was to be kept is closed after the response."""
        frozen_exchange.fail_next(CloseIdle(0.05))
        async with Wire(frozen_exchange) as wire:
            wire.send()
            head, body = await wire.one()
            assert b"Connection" not in head
            assert body.startswith(ROW_BYTES)
            assert b"" == await wire.everything()

    async def test_close_at_once(self, frozen_exchange: Emulator) -> None:
        """It may be closed in the same moment, with the response whole."""
        frozen_exchange.fail_next(CloseIdle())
        async with Wire(frozen_exchange) as wire:
            wire.send()
            assert (await wire.everything()).partition(b"\r\n\r\n")[2].startswith(ROW_BYTES)

    async def test_stale_connection(self, frozen_exchange: Emulator) -> None:
        """A kept connection is dead when the next call comes over it; a new connection is not."""
        injection = frozen_exchange.fail_next(StaleConnection())
        async with Wire(frozen_exchange) as kept:
            kept.send()
            await kept.one()

            assert 0 == injection.hits

            kept.send()

            assert b"" == await kept.everything()
        assert 1 == injection.hits

    @pytest.mark.parametrize(
        "fault", [SlowResponse(100), CloseIdle(1), Reset(), CloseConnection(), HugeBody(100_000_000)]
    )
    async def test_a_client_that_leaves_early(
        self, frozen_exchange: Emulator, caplog: pytest.LogCaptureFixture, fault: Fault
    ) -> None:
        """It ends the response, whatever was to come, and nothing is logged or left."""
        frozen_exchange.fail_next(fault, Delay(back=0.1))
        async with Wire(frozen_exchange) as wire:
            wire.send()
            await until(lambda: frozen_exchange.calls)
            if fault == SlowResponse(100):
                await wire.reader.read(1)
        await asyncio.sleep(2)

        assert [] == caplog.record_tuples
        assert 1 == len(asyncio.all_tasks())

    @pytest.mark.shows_secrets("it signs by hand, so aiohttp's frames hold plain headers")
    async def test_aiohttp_sends_again_on_a_stale_connection(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """The client of aiohttp sends a read again by itself, and a write not."""
        frozen_exchange.fail_next(StaleConnection(), times=2)
        await staker.get("balance")
        await staker.get("balance")
        with pytest.raises(aiohttp.ClientError):
            await staker.post("purchase", {"amt": "1"})

        assert Tally(received=4, accepted=2, refused=0, rejected=2, faulted=2) == frozen_exchange.tally()
        assert () == frozen_exchange.user.orders

    async def test_several_at_once(self, frozen_exchange: Emulator) -> None:
        """Several faults may apply to one call."""
        frozen_exchange.fail_next(Refusal("50001"), DateHeader(3600), TruncateResponse(5), Delay(back=0.05))
        async with Wire(frozen_exchange) as wire:
            wire.send()
            head, _, body = (await wire.everything()).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 503")
        assert b"15:00:00 GMT" in head
        assert b'{"cod' == body


class TestConnections:
    @pytest.mark.parametrize(
        ("version", "asked", "shown"),
        [
            ("1.1", "", None),
            ("1.1", "Connection: close", b"Connection: close"),
            ("1.0", "", b"Connection: close"),
            ("1.0", "Connection: keep-alive", b"Connection: keep-alive"),
        ],
    )
    async def test_kept_or_not(self, frozen_exchange: Emulator, version: str, asked: str, shown: bytes | None) -> None:
        """A connection is kept if the client wants it."""
        kept = shown != b"Connection: close"
        async with Wire(frozen_exchange) as wire:
            wire.send(version=version, more=asked)
            head, body = await wire.one()
            assert ([] if shown is None else [shown]) == [x for x in head.split(b"\r\n") if x.startswith(b"Connection")]
            assert body.startswith(ROW_BYTES)
            if kept:
                wire.send(version=version, more="Connection: close")
            assert kept == bool(await wire.everything())

    async def test_a_head_has_no_body(self, frozen_exchange: Emulator) -> None:
        """The response to a HEAD is a head."""
        head, body = await raw(frozen_exchange, method="HEAD")

        assert head.startswith(b"HTTP/1.1 405 Method Not Allowed")
        assert b"" == body

    async def test_requests_in_one_piece(self, frozen_exchange: Emulator) -> None:
        """Requests that arrive together are answered in order, and each fault applies to one of them."""
        frozen_exchange.fail_next(Refusal("50001"))
        async with Wire(frozen_exchange) as wire:
            wire.send()
            wire.send()
            first, second = await wire.one(), await wire.one()

        assert first[0].startswith(b"HTTP/1.1 503")
        assert second[1].startswith(ROW_BYTES)
