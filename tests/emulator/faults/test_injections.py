"""Which faults apply to which calls."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from typing import Any

import aiohttp
import attrs
import pytest
from yarl import URL

from okx_sol_async.emulator import Emulator, Injection, Product, faults
from okx_sol_async.emulator.faults import (
    Body,
    CloseConnection,
    CloseIdle,
    DateHeader,
    Delay,
    ExtraHeader,
    Fault,
    GzipBomb,
    HugeBody,
    NoResponse,
    Page,
    Redirect,
    Refusal,
    Reset,
    SlowResponse,
    TruncateResponse,
    WrongClock,
)
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOW,
    STAKING,
    Staker,
    iso,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


PURCHASE = f"POST {STAKING}/purchase"


ALL = [getattr(faults, name) for name in faults.__all__ if name != "Fault"]


class TestChoosing:
    """Which calls a fault applies to."""

    async def test_script(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """What is added first applies to the first calls, `times` of them, and then the next."""
        first = frozen_exchange.fail_next(Refusal("50001"), times=2)
        second = frozen_exchange.fail_next(Refusal("50013"))

        assert ["50001", "50001", "50013", "0"] == [await staker.code("balance") for _ in range(4)]
        assert (2, 1) == (first.hits, second.hits)
        assert 0 == first.left == second.left
        assert [1, 1, 1, 0] == [len(call.faults) for call in frozen_exchange.calls]

    async def test_endpoint_and_user(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A fault waits for its endpoint and its user."""
        other = frozen_exchange.add_user()
        injection = frozen_exchange.fail_next(Refusal("50001"), endpoint=BALANCE, user=other)

        assert ["0", "0"] == [await staker.code("balance"), await staker.code("product-info")]
        staker.credentials = other.add_key()
        assert "0" == await staker.code("product-info")
        assert 1 == injection.left
        assert "50001" == await staker.code("balance")
        assert [other.uid] == [call.uid for call in frozen_exchange.calls if call.faults]

    async def test_until_stopped(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A fault may apply to every call until it is stopped, or its block ends."""
        with frozen_exchange.fail_next(Refusal("50001"), times=None) as injection:
            assert isinstance(injection, Injection)
            assert ["50001"] * 3 == [await staker.code("balance") for _ in range(3)]
        assert "0" == await staker.code("balance")

        for _ in range(2):
            frozen_exchange.fail_next(Refusal("50001"), times=None)
        frozen_exchange.stop_failing()

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

    async def test_never_and_always(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """The probabilities 0 and 1 are never and always, and may be counted too."""
        frozen_exchange.fail_sometimes(Refusal("50013"), probability=0.0)
        frozen_exchange.fail_sometimes(Refusal("50001"), probability=1, times=2)

        assert ["50001", "50001", "0"] == [await staker.code("balance") for _ in range(3)]

    async def test_faults_count_against_the_limit(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A call with a fault is counted by the rate limit, so faults never let a client be faster."""
        frozen_exchange.fail_next(Refusal("50001"), times=6)
        codes = [await staker.code("balance") for _ in range(7)]

        assert Counter({"50001": 6, "50011": 1}) == Counter(codes)
        assert 7 == frozen_exchange.most_within(1.0) == len(frozen_exchange.arrivals())

    @pytest.mark.shows_secrets("it signs by hand, so aiohttp's frames hold plain headers")
    async def test_a_fault_needs_no_valid_request(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """A gateway fails before it looks at anything, and the call is the user's all the same."""
        staker.timestamp = "nonsense"
        frozen_exchange.fail_next(Page(502))
        with pytest.raises(aiohttp.ContentTypeError):
            await staker.get("balance")

        assert frozen_exchange.user.uid == frozen_exchange.calls[0].uid
        assert "50112" == await staker.code("balance")

    def test_from_another_thread(self) -> None:
        """A test in another thread adds faults to an exchange in the background."""
        with Emulator(now=lambda: NOW) as exchange:
            exchange.fail_next(CloseConnection())
            with socket.create_connection(("127.0.0.1", URL(exchange.url).port or 0)) as connection:
                connection.sendall(b"GET /api/v5/public/time HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"" == connection.recv(10)


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
            (TruncateResponse, {"at": -1}),
            (TruncateResponse, {"at": 1, "of": "tail"}),
            (SlowResponse, {"bytes_per_second": 0}),
            (SlowResponse, {"bytes_per_second": float("inf")}),
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
    async def test_wrong_outage(self, frozen_exchange: Emulator, seconds: Any) -> None:  # noqa: ANN401 - that is the point
        """An outage lasts for a number of seconds."""
        with pytest.raises(ConfigurationError, match="seconds"):
            frozen_exchange.outage(seconds)

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
        for fault in (
            Reset(),
            CloseConnection(),
            TruncateResponse(20),
            NoResponse(),
            Refusal("50001"),
            CloseIdle(),
            SlowResponse(100_000),
        ):
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
