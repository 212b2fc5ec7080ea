"""Endpoints that a test adds, faults of chosen calls, and a clock that moves the limits too."""

from __future__ import annotations

import json
from collections.abc import Callable

import aiohttp
import pytest

from okx_sol_async.emulator import Emulator, Window
from okx_sol_async.emulator.faults import Refusal
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import BALANCE_PATH, NOON, STAKING, Staker, iso

TICKER = "/api/v5/market/ticker"


async def test_a_stub(frozen_exchange: Emulator, staker: Staker) -> None:
    """A stub is sent as it is: JSON with its status and code, text, or bytes."""
    for response, status in (({"code": "7", "data": []}, 418), ("plain", 200), (b"\x00", 200)):
        frozen_exchange.stub("GET", TICKER, response, status=status)
        async with staker.http.get(frozen_exchange.url + TICKER) as received:
            body = await received.read()
        expected = response if isinstance(response, bytes) else None
        expected = expected or (response if isinstance(response, str) else json.dumps(response)).encode()
        assert (status, expected.replace(b" ", b"")) == (received.status, body.replace(b" ", b""))

    assert ["7", "", ""] == [call.code for call in frozen_exchange.calls]


async def test_a_callback(frozen_exchange: Emulator, staker: Staker) -> None:
    """A function makes the response of each request, of its method, path, query, headers and body."""
    frozen_exchange.stub(
        "POST",
        "/echo",
        lambda request: {"code": "0", "sent": [request.method, request.query, json.loads(request.body)]},
        signed=True,
    )
    _, echoed = await staker.send("POST", "/echo?a=1", '{"b": 2}')
    assert ["POST", "a=1", {"b": 2}] == echoed["sent"]
    async with staker.http.post(frozen_exchange.url + "/echo") as received:
        assert "50103" == (await received.json())["code"]


async def test_a_stub_in_place_of_an_endpoint(frozen_exchange: Emulator, staker: Staker) -> None:
    """A stub may stand in for what the exchange has, until a reset."""
    frozen_exchange.stub("GET", BALANCE_PATH, {"code": "0", "msg": "", "data": []}, signed=True)
    assert [] == await staker.data("balance")
    frozen_exchange.reset()

    assert 1 == len(await staker.data("balance"))


async def test_a_fault_of_a_stub(frozen_exchange: Emulator, staker: Staker) -> None:
    """Faults apply to stubs by their endpoint, and to no other."""
    frozen_exchange.stub("GET", TICKER, {"code": "0"})
    frozen_exchange.fail_next(Refusal("50001"), endpoint=f"GET {TICKER}")
    assert "0" == await staker.code("balance")

    assert [503, 200] == [(await staker.send("GET", TICKER))[0] for _ in range(2)]


async def test_accept_some_and_then_fail(frozen_exchange: Emulator, staker: Staker) -> None:
    """``after`` leaves a number of calls alone, and ``times`` says how many fail then."""
    failing = frozen_exchange.fail_next(
        Refusal("50001"), after=2, times=2, endpoint=f"GET {STAKING}/balance", user=frozen_exchange.user
    )
    await staker.get("product-info")

    assert ["0", "0", "50001", "50001", "0"] == [await staker.code("balance") for _ in range(5)]
    assert (2, 0) == (failing.hits, failing.left)


async def test_unused_faults(frozen_exchange: Emulator, staker: Staker) -> None:
    """A fault that no call has used is listed, until one has; one that comes by probability never is."""
    never = frozen_exchange.fail_next(Refusal("50001"), endpoint=f"GET {STAKING}/product-info")
    frozen_exchange.fail_next(Refusal("50001"))
    frozen_exchange.fail_sometimes(Refusal("50001"), probability=0.5, endpoint=f"POST {STAKING}/redeem")
    await staker.get("balance")

    assert (never,) == frozen_exchange.unused_faults


@pytest.mark.virtual_clock
@pytest.mark.parametrize("window", ["sliding", "fixed", "token", "counter"])
async def test_a_clock_that_moves_the_limits(window: Window) -> None:
    """``limits=True`` moves the rate limits with the clock; without it a full limit stays full."""
    async with Emulator(window=window, now=NOON.timestamp) as exchange, aiohttp.ClientSession() as http:
        staker = Staker(http, exchange)
        staker.timestamp = iso(NOON.timestamp())
        assert ["0"] * 6 + ["50011"] == [await staker.code("balance") for _ in range(7)]
        exchange.advance(2)
        assert "50011" == await staker.code("balance")
        exchange.advance(2, limits=True)
        assert "0" == await staker.code("balance")


@pytest.mark.parametrize(
    ("method", "path", "response", "argument"),
    [
        ("", "/x", {}, "method"),
        ("GET", "x", {}, "path"),
        ("GET", "/x?a", {}, "path"),
        ("GET", "/x", {1, 2}, "response"),
    ],
)
def test_wrong_stubs(method: str, path: str, response: object, argument: str) -> None:
    """A wrong argument is named."""
    with pytest.raises(ConfigurationError) as caught:
        Emulator().stub(method, path, response)  # type: ignore[arg-type]
    assert argument == caught.value.argument


@pytest.mark.parametrize("make", [lambda _: {1, 2}, lambda _: 1 / 0], ids=["no JSON", "an exception"])
async def test_a_callback_that_fails(
    frozen_exchange: Emulator, staker: Staker, make: Callable[[object], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A callback that raises is a 500 for the client, and its traceback is in the log."""
    frozen_exchange.stub("GET", TICKER, make)  # type: ignore[arg-type]
    async with staker.http.get(frozen_exchange.url + TICKER) as response:
        assert 500 == response.status

    assert "Error handling request" in caplog.text
