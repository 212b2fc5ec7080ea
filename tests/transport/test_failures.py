"""An error says what went wrong, also where a server echoes what it was sent."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from aiohttp import web

from okx_sol_async import (
    APIError,
    AuthenticationError,
    ClockSkew,
    Credentials,
    DecodeError,
    OKXError,
    OutcomeUnknown,
    PermissionDenied,
    RateLimited,
    Rejected,
    Unavailable,
)
from tests.support.scripted import CREDENTIALS, READ, ROW, WRITE, Reply, Script, good, session_of

pytestmark = pytest.mark.virtual_clock

#: What servers echo: one header, all of them as JSON, or all of them as Python writes them.
ECHOES: dict[str, Callable[[web.BaseRequest], str]] = {
    "passphrase": lambda request: request.headers["OK-ACCESS-PASSPHRASE"],
    "signature": lambda request: request.headers["OK-ACCESS-SIGN"],
    "key": lambda request: request.headers["OK-ACCESS-KEY"],
    "headers": lambda request: json.dumps(dict(request.headers)),
}


def refusing(code: str, status: int, echo: Callable[[web.BaseRequest], str]) -> Reply:
    """Return what refuses with a code, and with an echo in its message."""

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        answer = {"code": code, "msg": f"no: {echo(request)}", "data": []}
        return web.json_response(answer, status=status, headers={"x-trace-id": "abc"})

    return reply


def page_of(status: int, echo: Callable[[web.BaseRequest], str]) -> Reply:
    """Return what replies with a page that echoes."""

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=f"<html>{echo(request)}", headers={"x-trace-id": "abc"})

    return reply


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("51000", 200, Rejected),
        ("51000", 400, Rejected),
        ("50113", 401, AuthenticationError),
        ("50105", 401, AuthenticationError),
        ("50110", 401, PermissionDenied),
        ("50102", 401, ClockSkew),
        ("50061", 429, RateLimited),
        ("50001", 503, Unavailable),
    ],
)
async def test_a_refusal_that_echoes_keeps_its_class(code: str, status: int, kind: type[APIError], echo: str) -> None:
    """Taking the secrets out of a response changes neither its class nor its code, status and trace id."""
    async with session_of(Script(refusing(code, status, ECHOES[echo])), attempts=1) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(READ, CREDENTIALS)

    error = caught.value
    assert kind is type(error)
    assert (code, status, "abc", str(READ)) == (error.code, error.status, error.trace_id, error.endpoint)
    assert error.hint is not None or code == "51000"
    assert "no: " in error.message


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    ("status", "kind"), [(200, DecodeError), (302, Rejected), (401, Rejected), (404, Rejected), (502, Unavailable)]
)
async def test_a_page_that_echoes_keeps_its_class(status: int, kind: type[OKXError], echo: str) -> None:
    """A page without an envelope is what its status says, whatever stands on it."""
    async with session_of(Script(page_of(status, ECHOES[echo])), attempts=1) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(READ, CREDENTIALS)

    assert kind is type(caught.value)
    assert (None, status, "abc") == (caught.value.code, caught.value.status, caught.value.trace_id)


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("endpoint", [READ, WRITE], ids=["read", "write"])
async def test_a_refusal_of_the_limit_that_echoes_is_recovered(endpoint: object, echo: str) -> None:
    """A 50011 is one, echo or not, so the call is sent again."""
    script = Script(refusing("50011", 429, ECHOES[echo]), good)
    async with session_of(script) as session:
        await session.call(endpoint, CREDENTIALS)  # type: ignore[arg-type]

    assert 2 == len(script.timestamps)


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(("code", "certain"), [("51736", True), ("50001", False)])
async def test_a_write_that_is_refused_with_an_echo(code: str, echo: str, *, certain: bool) -> None:
    """Whether it may have happened does not depend on the echo."""
    async with session_of(Script(refusing(code, 400, ECHOES[echo]))) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert certain is not isinstance(caught.value, OutcomeUnknown)


async def test_a_row_that_echoes_says_where_it_is_wrong() -> None:
    """A broken row is a `DecodeError` with the place, without the secret that stands there."""

    async def echo_row(request: web.BaseRequest) -> web.StreamResponse:
        row = {**ROW, "amt": request.headers["OK-ACCESS-PASSPHRASE"]}
        return web.json_response({"code": "0", "msg": "", "data": [row]})

    async with session_of(Script(echo_row)) as session:
        with pytest.raises(DecodeError, match=r"data\[0\]\.amt must be") as caught:
            await session.call(READ, CREDENTIALS)

    assert 200 == caught.value.status
    assert CREDENTIALS.passphrase not in str(caught.value)


async def test_a_good_balance_that_echoes_is_a_balance() -> None:
    """An unknown field may echo what it likes."""

    async def echo_beside(request: web.BaseRequest) -> web.StreamResponse:
        row = {**ROW, "debug": dict(request.headers)}
        return web.json_response({"code": "0", "msg": "", "data": [row]})

    async with session_of(Script(echo_beside)) as session:
        assert 1 == (await session.call(READ, CREDENTIALS)).amt


async def test_no_part_of_an_echo_is_quoted() -> None:
    """An error quotes the beginning of a value, and a part of a secret would not be recognised there."""
    echoed: list[str] = []

    async def echo_value(request: web.BaseRequest) -> web.StreamResponse:
        echoed.append(request.headers["OK-ACCESS-SIGN"])
        return web.json_response(echoed[0])

    async with session_of(Script(echo_value), attempts=1) as session:
        with pytest.raises(DecodeError, match="must be an object") as caught:
            await session.call(READ, CREDENTIALS)

    assert echoed[0][:8] not in str(caught.value)


async def test_amounts_that_look_like_a_secret_are_exact() -> None:
    """Only what errors quote is redacted: a result may have the digits of a passphrase in it."""
    amt = "12345678.000000001"
    credentials = Credentials(CREDENTIALS.api_key, CREDENTIALS.secret_key, "12345678")

    async def reply(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"code": "0", "msg": "", "data": [{**ROW, "amt": amt}]})

    async with session_of(Script(reply)) as session:
        balance = await session.call(READ, credentials)

    assert Decimal(amt) == balance.amt
