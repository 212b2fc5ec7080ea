import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import ConfigurationError, Credentials, Region, Signer, sign
from okx_sol_async.signing._signer import timestamp_of

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "signing-vectors.json").read_text())
CREDENTIALS = Credentials(VECTORS["key"], VECTORS["secret"], VECTORS["passphrase"])


@pytest.mark.parametrize("vector", VECTORS["vectors"] + VECTORS["docs_secret_vectors"])
@pytest.mark.parametrize("as_bytes", [True, False])
def test_golden_vectors(vector: dict[str, str], as_bytes: bool) -> None:  # noqa: FBT001
    """`sign` agrees with signatures that other implementations computed."""
    body = vector["body"].encode() if as_bytes else vector["body"]
    timestamp = vector.get("timestamp", VECTORS["timestamp"])

    assert vector["sign"] == sign(timestamp, vector["method"], vector["request_path"], body, VECTORS["secret"])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1607418537.715, "2020-12-08T09:08:57.715Z"),
        (1607418537.0, "2020-12-08T09:08:57.000Z"),
        (1607418537.9999, "2020-12-08T09:08:57.999Z"),
        (0.999999, "1970-01-01T00:00:00.999Z"),
        (0.0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_timestamps_always_have_milliseconds(seconds: float, expected: str) -> None:
    """OKX wants three digits, also on whole seconds."""
    assert expected == timestamp_of(seconds)


class Recorder:
    """A server that keeps what arrived."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.requests.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return web.Response(text="{}")


@pytest.fixture(name="recorder")
async def _recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = TestServer(_app(recorder))
    await server.start_server()
    recorder.url = server.make_url("/")
    yield recorder
    await server.close()


def _app(recorder: Recorder) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", recorder.handle)
    return app


@pytest.mark.parametrize(
    ("method", "path", "arguments"),
    [
        ("GET", "/api/v5/finance/staking-defi/sol/balance", {}),
        ("GET", "/api/v5/account/balance", {"params": {"ccy": "BTC,ETH"}}),
        ("GET", "/api/v5/x", {"params": {"a": "x y", "b": "1+2", "c": "ü", "d": "#/?&="}}),
        ("GET", "/api/v5/x?b=x%2Cy", {}),
        ("POST", "/api/v5/finance/staking-defi/sol/redeem", {"data": b'{"amt":"10"}'}),
        ("POST", "/api/v5/finance/staking-defi/sol/redeem", {"json": {"amt": "10"}}),
    ],
)
async def test_what_leaves_is_what_is_signed(recorder: Recorder, method: str, path: str, arguments: dict) -> None:
    """The signature is over the bytes of the path, the query and the body that arrive at the server."""
    signer = Signer(CREDENTIALS, recorder.url, now=lambda: 1607418537.715)

    async with aiohttp.ClientSession(middlewares=(signer,)) as http:
        await http.request(method, recorder.url.join(type(recorder.url)(path)), **arguments)

    [(seen_method, raw_path, headers, body)] = recorder.requests
    assert VECTORS["key"] == headers["OK-ACCESS-KEY"]
    assert VECTORS["passphrase"] == headers["OK-ACCESS-PASSPHRASE"]
    assert "2020-12-08T09:08:57.715Z" == headers["OK-ACCESS-TIMESTAMP"]
    assert sign("2020-12-08T09:08:57.715Z", seen_method, raw_path, body, VECTORS["secret"]) == headers["OK-ACCESS-SIGN"]
    assert "x-simulated-trading" not in headers


async def test_demo_trading_is_one_header(recorder: Recorder) -> None:
    """Demo calls say so, and are signed the same."""
    signer = Signer(CREDENTIALS, str(recorder.url), demo=True)

    async with aiohttp.ClientSession(middlewares=(signer,)) as http:
        await http.get(recorder.url)

    assert "1" == recorder.requests[0][2]["x-simulated-trading"]


async def test_a_header_that_is_there_already_is_replaced(recorder: Recorder) -> None:
    """A borrowed session's own headers cannot double the signature's."""
    http = aiohttp.ClientSession(headers={"OK-ACCESS-KEY": "theirs"}, middlewares=(Signer(CREDENTIALS, recorder.url),))

    async with http, http.get(recorder.url) as response:
        sent = response.request_info.headers.getall("OK-ACCESS-KEY")

    assert [VECTORS["key"]] == sent


@pytest.mark.parametrize("origin", ["https://openapi.okx.com", "http://localhost:1", "http://127.0.0.1:1"])
async def test_no_other_origin_is_signed_for(recorder: Recorder, origin: str) -> None:
    """A request to anywhere else is refused before anything is sent: host, port and scheme all count."""
    async with aiohttp.ClientSession(middlewares=(Signer(CREDENTIALS, origin),)) as http:
        with pytest.raises(ConfigurationError, match="refused to sign"):
            await http.get(recorder.url)

    assert [] == recorder.requests


async def test_a_redirect_to_another_origin_gets_no_signature(recorder: Recorder) -> None:
    """Even where redirects are followed, the signer stays with its origin."""
    app = web.Application()

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(recorder.url)

    app.router.add_get("/", elsewhere)
    server = TestServer(app)
    await server.start_server()
    try:
        async with aiohttp.ClientSession(middlewares=(Signer(CREDENTIALS, server.make_url("/")),)) as http:
            with pytest.raises(ConfigurationError, match="refused to sign"):
                await http.get(server.make_url("/"))
    finally:
        await server.close()

    assert [] == recorder.requests


async def test_what_aiohttp_shows_of_a_request_holds_no_secret(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """The headers that carry secrets are hidden in the reprs that aiohttp makes of them."""
    caplog.set_level(logging.DEBUG)

    async with (
        aiohttp.ClientSession(middlewares=(Signer(CREDENTIALS, recorder.url),)) as http,
        http.get(recorder.url) as response,
    ):
        shown = repr(response.request_info) + repr(dict(response.request_info.headers)) + caplog.text

    assert "OK-ACCESS-PASSPHRASE" in shown
    for secret in (VECTORS["key"], VECTORS["secret"], VECTORS["passphrase"]):
        assert secret not in shown


def test_signers_are_hashable_and_never_interchanged() -> None:
    """Equal signers are two signers: a cache of middlewares must not give one user's to another."""
    one, other = Signer(CREDENTIALS, Region.US.value), Signer(CREDENTIALS, Region.US.value)

    assert one != other
    assert 2 == len({one, other})
    assert VECTORS["secret"] not in repr(one)


@given(st.text(st.characters(codec="utf-8")), st.binary())
def test_any_path_and_body_can_be_signed(path: str, body: bytes) -> None:
    """A signature has 44 characters of Base64, whatever it is over."""
    assert 44 == len(sign("2020-12-08T09:08:57.715Z", "GET", path, body, "secret"))


@pytest.mark.parametrize("wrong", ["method", "secret", "body"])
def test_an_argument_that_cannot_be_signed_is_named(wrong: str) -> None:
    """The error names the argument, and holds none of the values."""
    arguments = {"timestamp": "t", "method": "GET", "request_path": "/x", "body": "", "secret": "s" * 32}

    with pytest.raises(ConfigurationError) as caught:
        sign(**arguments | {wrong: 5})  # type: ignore[arg-type]
    assert wrong == caught.value.argument


def test_settings_of_a_signer_are_named() -> None:
    """A third argument by position could be taken for anything; a repr leaves out the clock."""
    with pytest.raises(TypeError):
        Signer(CREDENTIALS, Region.US.value, True)  # type: ignore[misc] # noqa: FBT003
    assert "now=" not in repr(Signer(CREDENTIALS, Region.US.value))
