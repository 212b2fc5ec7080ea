"""A write moves money once, and its error says truly whether it may have happened."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from okx_sol_async import (
    APIError,
    LocalLimiter,
    OKXError,
    OutcomeUnknown,
    Rejected,
    Session,
    SolStaking,
)
from okx_sol_async.emulator import Emulator
from tests.support.scripted import CREDENTIALS, WRITE, Script, coded, cut, good, page, reset, session_of
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock


@pytest.fixture(name="borrowed", params=[False, True], ids=["own connections", "borrowed connections"])
async def _borrowed(request: pytest.FixtureRequest) -> AsyncIterator[aiohttp.ClientSession | None]:
    """Offer an aiohttp session to borrow, or `None`."""
    if not request.param:
        yield None
        return
    async with aiohttp.ClientSession() as http:
        yield http


async def send_twice(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send whatever comes twice, and return the second response."""
    await handler(request)
    return await handler(request)


async def send_until_it_works(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send again after a lost connection, as middlewares that retry do."""
    for _ in range(2):
        with contextlib.suppress(aiohttp.ClientError):
            return await handler(request)
    return await handler(request)


async def test_a_middleware_cannot_purchase_twice(exchange: Emulator, borrowed: aiohttp.ClientSession | None) -> None:
    """A middleware that sends a purchase again moves the money once, and its caller sees `OutcomeUnknown`."""
    async with Session(base_url=exchange.url, http=borrowed, middlewares=[send_twice]) as session:
        with pytest.raises(OutcomeUnknown):
            await SolStaking(exchange.credentials, session).purchase("1")

        assert 1 == len([order async for order in SolStaking(exchange.credentials, session).history()])
    assert 1 == sum(call.endpoint.startswith("POST") for call in exchange.calls)


@pytest.mark.parametrize("reply", [reset, cut, good], ids=["reset", "cut", "good"])
@pytest.mark.parametrize("middleware", [send_twice, send_until_it_works], ids=["twice", "until it works"])
async def test_a_write_that_has_left_is_never_sent_again(
    reply: object, middleware: object, borrowed: aiohttp.ClientSession | None
) -> None:
    """Whatever came of it, and whatever a middleware does about it."""
    script = Script(reply)  # type: ignore[arg-type]
    expects_success = reply is good and middleware is send_until_it_works
    async with (
        serving(script.handle) as url,
        Session(base_url=url, http=borrowed, limiter=LocalLimiter(), middlewares=[middleware]) as session,  # type: ignore[list-item]
    ):
        with contextlib.nullcontext() if expects_success else pytest.raises(OutcomeUnknown):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert [b'{"amt":"1"}'] == script.bodies


async def test_a_middleware_may_send_a_read_again() -> None:
    """The guard is for writes only."""
    script = Script(good)
    async with session_of(script, middlewares=[send_twice]) as session:
        assert 1 == (await SolStaking(CREDENTIALS, session).balance()).amt

    assert 2 == len(script.timestamps)


@pytest.mark.parametrize("status", [302, 307, 400, 401, 403, 404, 405, 410, 413, 451])
async def test_a_write_that_is_answered_by_a_page_of_refusal_did_not_happen(status: int) -> None:
    """A status from 300 to 499 that says no without OKX's envelope is a certain refusal, and is sent once."""
    script = Script(page(status, b"<html><title>no</title></html>"))
    async with session_of(script) as session:
        with pytest.raises(APIError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert Rejected is type(caught.value)
    assert (None, status, 1) == (caught.value.code, caught.value.status, caught.value.attempts)
    assert 1 == len(script.bodies)


@pytest.mark.parametrize("status", [200, 204, 408, 429, 499, 500, 502, 503, 504, 520])
async def test_a_write_that_is_answered_by_another_page_may_have_happened(status: int) -> None:
    """A gateway that gave up waiting, or failed, may have passed the write on."""
    script = Script(page(status, b"<html>" if status != 204 else b""))
    async with session_of(script) as session:
        with pytest.raises(OutcomeUnknown) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert caught.value.reason is not None
    assert status == caught.value.status == caught.value.reason.status
    assert 1 == len(script.bodies)


@pytest.mark.parametrize(
    ("code", "status", "certain"),
    [
        ("51736", 200, True),
        ("51736", 400, True),
        ("51736", 429, True),
        ("50113", 401, True),
        ("50030", 408, True),
        ("50061", 429, True),
        ("50001", 503, False),
        ("50004", 400, False),
        ("99999", 500, False),
        ("99999", 400, True),
    ],
)
async def test_a_code_decides_whether_a_write_may_have_happened(code: str, status: int, *, certain: bool) -> None:
    """OKX's own refusal is certain with every status, and its own failure is not."""
    script = Script(coded(code, status))
    async with session_of(script) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert certain is not isinstance(caught.value, OutcomeUnknown)
    assert code == caught.value.code
    assert 1 == len(script.bodies)
