"""What a cache, or a server whose time contradicts its refusals, says does not move a clock that was right."""

import json

import pytest
from aiohttp import web

from okx_sol_async import BALANCE, ClockSkew, OKXError
from tests.support.scripted import CREDENTIALS
from tests.support.skewed import TIME, SkewedServer, session_with

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("clocks_of_the_loop")]


class LyingServer(SkewedServer):
    """A server whose `public/time` is off its clock, and has headers of its own."""

    def __init__(self, off: float, *, time_off: float, headers: dict[str, str]) -> None:
        # No `Date` that could help.
        super().__init__(off, None)
        self.time_off = time_off
        self.time_headers = headers

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await super().handle(request)
        if request.path == TIME:
            assert isinstance(response, web.Response)
            stamp = str(int((self.now() + self.time_off) * 1000))
            response.body = json.dumps({"code": "0", "msg": "", "data": [{"ts": stamp}]}).encode()
            response.headers.update(self.time_headers)
        return response


def nothing_moved(exchange: SkewedServer) -> bool:
    """Return whether each request was signed by the clock of this machine."""
    return all(abs(ahead) < 1 for ahead in exchange.signed_ahead)


async def check_that_no_clock_moves(exchange: LyingServer) -> None:
    """Let a call be refused for its timestamp, which is raised, and the next one be accepted by the same clock."""
    exchange.refuse_always = True
    async with session_with(exchange) as session:
        with pytest.raises(ClockSkew):
            await session.call(BALANCE, CREDENTIALS)
        exchange.refuse_always = False
        await session.call(BALANCE, CREDENTIALS)

    assert TIME in exchange.paths
    assert nothing_moved(exchange)


@pytest.mark.parametrize("age", ["0", "86400"])
@pytest.mark.parametrize("time_off", [-3600.0, 40.0])
async def test_a_time_with_an_age_is_not_set(age: str, time_off: float) -> None:
    """Setting the clock by it fails, and the next call is signed as before."""
    exchange = LyingServer(0.0, time_off=time_off, headers={"Age": age})
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        with pytest.raises(OKXError, match="cache"):
            await session.synchronize_clock()
        await session.call(BALANCE, CREDENTIALS)

    assert nothing_moved(exchange)


@pytest.mark.parametrize("age", ["0", "86400"])
async def test_a_time_with_an_age_moves_no_clock_after_a_refusal(age: str) -> None:
    """A refusal that has another cause is raised, and the next call is accepted."""
    exchange = LyingServer(0.0, time_off=-3600.0, headers={"Age": age})
    await check_that_no_clock_moves(exchange)


@pytest.mark.parametrize("time_off", [0.0, 20.0, -20.0])
async def test_a_time_that_contradicts_the_refusal_moves_no_clock(time_off: float) -> None:
    """OKX accepts timestamps this far from that time, so the refusal has another cause or the time is not OKX's."""
    exchange = LyingServer(0.0, time_off=time_off, headers={})
    await check_that_no_clock_moves(exchange)


async def test_a_time_of_okx_that_explains_the_refusal_is_followed() -> None:
    """The same server corrects a clock that is off."""
    exchange = LyingServer(3600.0, time_off=0.0, headers={})
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        assert session.clock_offset == pytest.approx(3600.0, abs=1.5)
