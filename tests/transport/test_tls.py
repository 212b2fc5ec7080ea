"""Over TLS, and when there is something wrong with it."""

import asyncio
import datetime as dt
import ssl

import aiohttp
import attrs
import pytest
import trustme
from aiohttp.client_reqrep import ConnectionKey

from okx_sol_async import BALANCE, Credentials, Endpoint, LocalLimiter, RateLimit, Scope, Session, TransportError
from okx_sol_async.transport import _resend as resend
from okx_sol_async.transport._http import ProblemKind, problem_of
from tests.support.serving import http_response, request_of, serving_raw

pytestmark = pytest.mark.virtual_clock

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")
READ = attrs.evolve(BALANCE, limit=RateLimit(1000, 0.001, Scope.USER))
WRITE: Endpoint[object] = Endpoint("POST", "/api/v5/x", READ.limit, decode=lambda data: data, safe_to_resend=False)
HERE = ConnectionKey("127.0.0.1", 443, True, True, None, None, None)  # noqa: FBT003 - aiohttp's
GOOD = http_response(b'{"code":"0","msg":"","data":[]}')


async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(GOOD)
    await writer.drain()


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.0)


@pytest.fixture(name="trusted")
def _trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def context_of(authority: trustme.CA, *names: str, ended: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    expires = dt.datetime.now(dt.UTC) - dt.timedelta(days=1) if ended else None
    authority.issue_cert(*names, not_after=expires).configure_cert(context)
    return context


async def test_a_certificate_that_is_trusted(authority: trustme.CA, trusted: ssl.SSLContext) -> None:
    """By a borrowed session that knows who issued it."""
    async with (
        serving_raw(respond, context_of(authority, "127.0.0.1")) as url,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http,
        Session(base_url=url, http=http, limiter=LocalLimiter()) as session,
    ):
        assert 0 == (await session.call(READ, CREDENTIALS)).amt


@pytest.mark.parametrize("wrong", ["it is not trusted", "it is for another host", "it has ended"])
@pytest.mark.parametrize("endpoint", [READ, WRITE], ids=["read", "write"])
async def test_a_certificate_that_is_wrong_is_raised_at_once(
    authority: trustme.CA, trusted: ssl.SSLContext, wrong: str, endpoint: Endpoint[object]
) -> None:
    """Nothing is sent, and it is not tried again: the same certificate would come again."""
    heard: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    name = "okx.example" if wrong == "it is for another host" else "127.0.0.1"
    context = context_of(authority, name, ended=wrong == "it has ended")
    connector = aiohttp.TCPConnector(ssl=True if wrong == "it is not trusted" else trusted)
    async with (
        serving_raw(note, context) as url,
        aiohttp.ClientSession(connector=connector) as http,
        Session(base_url=url, http=http, limiter=LocalLimiter()) as session,
    ):
        with pytest.raises(TransportError, match=r"no safe connection.*certificate") as caught:
            await session.call(endpoint, CREDENTIALS)

    assert 1 == caught.value.attempts
    assert not caught.value.transient
    assert "SSL_CERT_FILE" in str(caught.value)
    assert b"" == b"".join(heard)


async def test_plain_http_on_a_port_of_tls() -> None:
    """A port that does not speak TLS is no passing failure."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with (
        serving_raw(plain) as url,
        Session(base_url=url.replace("http:", "https:"), limiter=LocalLimiter()) as session,
    ):
        with pytest.raises(TransportError, match="no safe connection") as caught:
            await session.call(READ, CREDENTIALS)

    assert 1 == caught.value.attempts


async def test_a_handshake_that_is_broken_off_is_tried_again() -> None:
    """That may be the network."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)

    async with (
        serving_raw(hang_up) as url,
        Session(base_url=url.replace("http:", "https:"), limiter=LocalLimiter(), attempts=2) as session,
    ):
        with pytest.raises(TransportError) as caught:
            await session.call(READ, CREDENTIALS)

    assert 2 == caught.value.attempts
    assert "[broken off]" in caught.value.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ClientConnectorSSLError(HERE, ssl.SSLError(1, "wrong version")), ProblemKind.UNSAFE),
        (aiohttp.ClientConnectorSSLError(HERE, ssl.SSLEOFError(8, "end")), ProblemKind.NO_RESPONSE),
        (aiohttp.ClientConnectorSSLError(HERE, ssl.SSLZeroReturnError(6, "end")), ProblemKind.NO_RESPONSE),
        (aiohttp.ClientConnectorSSLError(HERE, ssl.SSLSyscallError(5, "end")), ProblemKind.NO_RESPONSE),
        (aiohttp.ClientConnectorCertificateError(HERE, ssl.SSLCertVerificationError("no")), ProblemKind.UNSAFE),
    ],
)
def test_what_a_handshake_that_fails_means(error: Exception, kind: ProblemKind) -> None:
    """It was refused, or broken off, as some event loops and OpenSSL report it."""
    problem = problem_of(error)

    assert problem is not None
    assert kind is problem[0]


async def test_a_proxy_sees_where_to_and_nothing_else(authority: trustme.CA, trusted: ssl.SSLContext) -> None:
    """A borrowed session may have a proxy: the call goes through it in a tunnel."""
    seen: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        _, port = head.split()[1].split(b":")
        there, back = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                seen.append(data)
                target.write(data)

        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()

    async with (
        serving_raw(respond, context_of(authority, "127.0.0.1")) as url,
        serving_raw(tunnel) as proxy,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted), proxy=proxy) as http,
        Session(base_url=url, http=http, limiter=LocalLimiter()) as session,
    ):
        assert 0 == (await session.call(READ, CREDENTIALS)).amt

    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    for secret in (CREDENTIALS.api_key, CREDENTIALS.passphrase, "OK-ACCESS"):
        assert secret.encode() not in b"".join(seen)
