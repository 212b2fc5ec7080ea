"""The exchange over TLS, and the handshakes that go wrong."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import pytest
import trustme

from okx_sol_async import LocalLimiter, Session, SolStaking, TransportError
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import BrokenHandshake, Delay, Fault, Refusal, WrongCertificate
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import BALANCE_PATH

pytestmark = pytest.mark.virtual_clock

BALANCE = f"GET {BALANCE_PATH}"
AUTHORITY = trustme.CA()
HOSTS = ("127.0.0.1", "::1", "localhost")


def certified(*hosts: str, authority: trustme.CA = AUTHORITY, expired: bool = False) -> ssl.SSLContext:
    """Return a context for servers with a certificate for these hosts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    expires = dt.datetime.now(dt.UTC) - dt.timedelta(days=1) if expired else None
    authority.issue_cert(*hosts, not_after=expires).configure_cert(context)
    return context


GOOD = certified(*HOSTS)
EXPIRED = WrongCertificate(certified(*HOSTS, expired=True))
UNTRUSTED = WrongCertificate(certified(*HOSTS, authority=trustme.CA()))
OTHER_HOST = WrongCertificate(certified("okx.example"))


@asynccontextmanager
async def trusting(exchange: Emulator) -> AsyncIterator[Session]:
    """Open a session that trusts the authority, and keeps no connection."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        Session(base_url=exchange.url, http=http, limiter=LocalLimiter()) as session,
    ):
        yield session


class TestHandshakes:
    """TLS, and what may be wrong with it."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_a_trusted_certificate(self, host: str) -> None:
        """A client that trusts the authority is served, over IPv4 and IPv6."""
        async with Emulator(tls=GOOD, host=host) as exchange, trusting(exchange) as session:
            assert exchange.url.startswith("https://")
            assert (await SolStaking(exchange.credentials, session).balance()).amt == Decimal("0.01100012")

    async def test_an_untrusted_authority(self) -> None:
        """A client that does not trust the authority fails at once, and sends nothing."""
        async with Emulator(tls=GOOD) as exchange, Session(base_url=exchange.url) as session:
            with pytest.raises(TransportError, match=r"no safe connection.*certificate") as caught:
                await SolStaking(exchange.credentials, session).balance()

        assert 1 == caught.value.attempts
        assert not caught.value.transient
        assert 0 == exchange.tally().received

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (UNTRUSTED, "certificate"),
            (EXPIRED, "expired"),
            (OTHER_HOST, "mismatch|not valid for"),
        ],
    )
    async def test_a_wrong_certificate_for_the_next_connection(self, fault: Fault, words: str) -> None:
        """Reads and writes fail and nothing is sent; the next connection shows the right certificate again."""
        async with Emulator(tls=GOOD) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            injection = exchange.fail_next(fault, times=2)
            with pytest.raises(TransportError, match=f"no safe connection.*({words})"):
                await staking.balance()
            with pytest.raises(TransportError, match=f"no safe connection.*({words})"):
                await staking.purchase("1")
            assert (2, 0) == (injection.hits, exchange.tally().received)
            await staking.balance()

    async def test_a_broken_handshake(self) -> None:
        """A read is sent again, and a write has certainly not happened."""
        async with Emulator(tls=GOOD) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            read = exchange.fail_next(BrokenHandshake(), times=2)
            await staking.balance()
            write = exchange.fail_next(BrokenHandshake())
            with pytest.raises(TransportError, match="no whole response") as caught:
                await staking.purchase("1")

        assert caught.value.transient
        assert (2, 1) == (read.hits, write.hits)
        assert 1 == exchange.tally().received

    async def test_scripts_probabilities_and_faults_of_calls(self) -> None:
        """Faults of handshakes and faults of calls are separate scripts."""
        async with Emulator(tls=GOOD, seed=1) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            exchange.fail_next(BrokenHandshake())
            exchange.fail_next(Refusal("50001"))
            exchange.fail_next(EXPIRED)
            # A broken handshake, a refusal, and an expired certificate.
            with pytest.raises(TransportError, match="expired"):
                await staking.balance()
            luck = exchange.fail_sometimes(UNTRUSTED, probability=0.5)
            outcomes = await asyncio.gather(*(staking.balance() for _ in range(20)), return_exceptions=True)
            exchange.stop_failing()
            await staking.balance()

        assert 0 < sum(isinstance(outcome, TransportError) for outcome in outcomes) == luck.hits < 20

    async def test_outage(self) -> None:
        """An exchange over TLS has outages like any other."""
        async with Emulator(tls=GOOD) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            with exchange.outage(), pytest.raises(TransportError, match="Cannot connect"):
                await staking.balance()
            await staking.balance()

    async def test_plain_http_has_no_handshakes(self, frozen_exchange: Emulator) -> None:
        """A fault of a handshake is refused by an exchange without TLS, where it would never apply."""
        with pytest.raises(ConfigurationError, match="serves plain HTTP") as caught:
            frozen_exchange.fail_next(BrokenHandshake())
        assert "tls=" in str(caught.value)

    async def test_one_context_serves_several_exchanges(self) -> None:
        """The faults of an exchange apply to its own handshakes, also where another has the same context."""
        async with Emulator(tls=GOOD) as one, Emulator(tls=GOOD) as other:
            injection = one.fail_next(EXPIRED, times=None)
            async with trusting(other) as session:
                await SolStaking(other.credentials, session).balance()

        assert 0 == injection.hits

    def test_arguments(self) -> None:
        """Only an SSL context is accepted."""
        with pytest.raises(ConfigurationError, match="context") as caught:
            WrongCertificate("expired")  # type: ignore[arg-type]
        assert "context" == caught.value.argument
        with pytest.raises(ConfigurationError, match="tls") as caught:
            Emulator(tls=True)  # type: ignore[arg-type]
        assert "tls" == caught.value.argument


async def test_a_broken_handshake_is_reported_as_such() -> None:
    """Asyncio reports such an end as ``None``; the error says that the handshake was broken off."""
    async with Emulator(tls=GOOD) as exchange, trusting(exchange) as session:
        exchange.fail_next(BrokenHandshake(), times=None)
        with pytest.raises(
            TransportError, match=r"no whole response: Cannot connect.* \[broken off\] \(POST"
        ) as caught:
            await SolStaking(exchange.credentials, session).purchase("1")

    assert caught.value.transient


@pytest.mark.parametrize("fault", [UNTRUSTED, BrokenHandshake()])
@pytest.mark.parametrize("more", ["endpoint", "user", "faults"])
async def test_handshake_faults_are_used_alone(fault: Fault, more: str) -> None:
    """They apply before the endpoint and the user of a call are known."""
    async with Emulator(tls=GOOD) as exchange:
        faults: Iterable[Fault] = [fault, Delay(1)] if more == "faults" else [fault]
        endpoint = BALANCE if more == "endpoint" else None
        user = exchange.user if more == "user" else None
        with pytest.raises(ConfigurationError, match=r"must be used alone|leave out endpoint and user"):
            exchange.fail_next(*faults, endpoint=endpoint, user=user)
