"""Tables of responses and of failures of the network, without a server.

aioresponses stands in for the whole of aiohttp's request, middlewares included: what needs those is in test_session.py.
"""

import inspect
import json
import ssl
from collections.abc import Iterator
from unittest.mock import Mock

import aiohttp
import pytest
import yarl
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses
from multidict import CIMultiDict, CIMultiDictProxy

from okx_sol_async import (
    BALANCE,
    APIError,
    AuthenticationError,
    ClockSkew,
    Credentials,
    DecodeError,
    OKXError,
    PermissionDenied,
    RateLimited,
    Rejected,
    Session,
    SolStaking,
    Timeout,
    TransportError,
    Unavailable,
)
from tests.support.telemetry import Telemetry

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")
URL = f"https://openapi.okx.com{BALANCE.path}"
ROW = {"amt": "0.01100012", "ccy": "OKSOL", "latestInterestAccrual": "0.00000012", "totalInterestAccrual": "0.5"}


class _Response(aiohttp.ClientResponse):
    """What newer releases of aiohttp ask for and aioresponses does not give."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(name="wire")
def _wire() -> Iterator[aioresponses]:
    with aioresponses() as wire:
        yield wire


def responds(wire: aioresponses, **answer: object) -> None:
    wire.get(URL, response_class=_Response, **answer)


def envelope(code: object, msg: str = "", **others: object) -> bytes:
    return json.dumps({"code": code, "msg": msg, **others}).encode()


async def failure() -> OKXError:
    async with SolStaking(CREDENTIALS) as staking:
        with pytest.raises(OKXError) as caught:
            await staking.balance()
    return caught.value


async def test_a_balance(wire: aioresponses) -> None:
    """The mock can respond with a balance, so the failures below are failures."""
    responds(wire, payload={"code": "0", "data": [ROW], "msg": ""})

    async with SolStaking(CREDENTIALS) as staking:
        assert "OKSOL" == (await staking.balance()).ccy


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (200, envelope("51000", "Parameter ccy error", data=[]), Rejected, "51000"),
        (200, envelope("1", "Operation failed."), Rejected, "1"),
        (401, envelope("50113", "Invalid Sign"), AuthenticationError, "50113"),
        (401, envelope("50119", "API key doesn't exist"), AuthenticationError, "50119"),
        (200, envelope("50119", "API key doesn't exist"), AuthenticationError, "50119"),
        (401, envelope("50102", "Timestamp request expired"), ClockSkew, "50102"),
        (401, envelope("50110", "Invalid IP"), PermissionDenied, "50110"),
        (403, envelope("50120", "no permission"), PermissionDenied, "50120"),
        (429, envelope("50011", "Too Many Requests"), RateLimited, "50011"),
        (429, envelope(50011, "Requests too frequent."), RateLimited, "50011"),
        (200, envelope("50011", "Rate limit reached."), RateLimited, "50011"),
        (429, envelope("50013", "Systems are busy."), Unavailable, "50013"),
        (503, envelope("50001", "服务暂时不可用，请稍后重试", data=[]), Unavailable, "50001"),
        (400, envelope("50004", "API endpoint request timeout ", data=[]), Unavailable, "50004"),
        (404, envelope(404, "Not Found", data={}), Rejected, "404"),
        (500, envelope(500, "Internal Server Error", data={}), Unavailable, "500"),
        (429, b"Too Many Requests", RateLimited, None),
        (403, b"error code: 1010", Rejected, None),
        (502, b"<html><title>502 Bad Gateway</title></html>", Unavailable, None),
        (503, b"<html>nginx</html>", Unavailable, None),
        (504, b"", Unavailable, None),
        (525, b"<!DOCTYPE html>", Unavailable, None),
        (302, b"", Rejected, None),
        (404, b"\xff\xfe", Rejected, None),
        (500, b'{"error":"no code"}', Unavailable, None),
    ],
)
async def test_refusals(wire: aioresponses, status: int, body: bytes, kind: type[APIError], code: str | None) -> None:
    """Each refusal is of the class that its code, or else its status, asks for."""
    responds(wire, status=status, body=body, headers={"x-trace-id": "abc"})

    error = await failure()

    assert kind is type(error)
    assert (code, status, str(BALANCE), "abc") == (error.code, error.status, error.endpoint, error.trace_id)
    assert "html" not in str(error).lower()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"0",
        b'{"code":"0","data":[',
        envelope("0"),
        envelope("0", data={}),
        envelope("0", data=""),
        envelope("0", data=[{**ROW, "amt": 1.5}]),
        envelope("0", data=[ROW, ROW]),
        envelope(None, data=[ROW]),
    ],
)
@pytest.mark.parametrize("status", [200, 204])
async def test_a_body_that_is_no_response_of_okx(wire: aioresponses, status: int, body: bytes) -> None:
    """A status of success without a balance is a `DecodeError` with the status."""
    responds(wire, status=status, body=body)

    error = await failure()

    assert DecodeError is type(error)
    assert (status, str(BALANCE)) == (error.status, error.endpoint)


@pytest.mark.parametrize("header", ["x-trace-id", "x-request-id", "traceid", "X-TRACE-ID"])
async def test_the_trace_id_is_kept(wire: aioresponses, header: str) -> None:
    """OKX has named it in three ways."""
    responds(wire, status=500, headers={header: "abc"})

    assert "abc" == (await failure()).trace_id


async def test_a_mock_gives_a_response_with_its_data(wire: aioresponses) -> None:
    """Where a mock takes the place of the network, `Session.request` says that nothing was sent."""
    body = envelope("0", data=[{"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "0", "totalInterestAccrual": "0"}])
    responds(wire, body=body, headers={"X-Trace-Id": "mocked"})
    async with Session() as session:
        response = await session.request(BALANCE, CREDENTIALS)

    assert (200, "mocked", 0) == (response.status, response.trace_id, response.attempts)
    assert "OKSOL" == response.result.ccy


async def test_a_call_that_a_mock_responds_to_is_measured_without_a_send(wire: aioresponses) -> None:
    """It had no turn and no `Date`, so it leaves nothing in the queue, and nothing of a clock."""
    responds(wire, body=envelope("0", data=[ROW]))
    telemetry = Telemetry()
    async with Session(observe=telemetry.observer) as session:
        await session.call(BALANCE, CREDENTIALS)
    metrics = {name: list(kept.values()) for name, (_, _, kept) in telemetry.metrics().items()}

    assert [0] == metrics["okx.client.rate_limiting.queued_requests"]
    assert 1 == len(metrics["okx.client.operation.duration"])
    assert "okx.client.clock.offset" not in metrics
    assert "okx.client.rate_limiting.request.time_in_queue" not in metrics


KEY = ConnectionKey("openapi.okx.com", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)

REQUEST = aiohttp.RequestInfo(yarl.URL(URL), "GET", CIMultiDictProxy(CIMultiDict()))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ClientConnectorError(KEY, OSError(111, "Connection refused")), TransportError),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), TransportError),
        (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "bad handshake")), TransportError),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "expired")), TransportError),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), TransportError),
        (aiohttp.ServerDisconnectedError(), TransportError),
        (aiohttp.ClientPayloadError("Response payload is not completed"), TransportError),
        (aiohttp.ClientResponseError(REQUEST, (), status=400, message="bad head"), TransportError),
        (aiohttp.ClientResponseError(None, ()), TransportError),  # type: ignore[arg-type]
        (aiohttp.ConnectionTimeoutError("Connection timeout"), Timeout),
        (aiohttp.SocketTimeoutError("Timeout on reading"), Timeout),
        (TimeoutError(), Timeout),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_failures_of_the_wire(wire: aioresponses, error: Exception, kind: type[OKXError]) -> None:
    """Whatever aiohttp raises becomes an error of ours, without aiohttp's frames."""
    responds(wire, exception=error)

    shown = await failure()

    assert kind is type(shown)
    assert str(BALANCE) == shown.endpoint
    assert shown.hint
    assert shown.__cause__ is None is shown.__context__


async def test_an_error_of_a_middleware_is_named(wire: aioresponses) -> None:
    """A mistake in a caller's own middleware is an `OKXError` like all others, says what was raised, and is not resent."""
    responds(wire, exception=ZeroDivisionError("by zero"))

    async with Session() as session:
        with pytest.raises(TransportError, match="a middleware raised ZeroDivisionError: by zero") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert not caught.value.transient


async def test_what_bypasses_the_bucket_is_not_sent_again(wire: aioresponses) -> None:
    """Without a lease there is nothing that would keep a second sending within the limit."""
    responds(wire, status=429, body=envelope("50011"), repeat=True)

    assert RateLimited is type(await failure())
    assert 1 == sum(len(calls) for calls in wire.requests.values())


async def test_a_purchase_of_which_a_mock_took_the_network_has_a_time(wire: aioresponses) -> None:
    """It was never signed, so it is that of its response."""
    wire.post(URL.replace("balance", "purchase"), response_class=_Response, body=envelope("0", data=[]))
    async with Session() as session:
        before = session.okx_time
        receipt = await SolStaking(CREDENTIALS, session).purchase("1")

        assert before <= receipt.sent_at <= session.okx_time
