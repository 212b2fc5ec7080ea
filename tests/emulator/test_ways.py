"""What goes wrong on the way to the local exchange, before there is a connection or because there is none."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import pytest
from yarl import URL

from okx_sol_async import LocalLimiter, Session, SolStaking, Timeout, TransportError
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import (
    BrokenHandshake,
    Cut,
    Delay,
    Fault,
    Held,
    Refusal,
    UnknownName,
    WrongCertificate,
)
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.transport import resend
from okx_sol_async.transport.http import CONNECT_TIMEOUT
from tests.support.virtual_time import run_with_sockets

BALANCE = "GET /api/v5/finance/staking-defi/sol/balance"


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.0)


def received(exchange: Emulator) -> int:
    return exchange.tally().received


async def until(happens: Callable[[], object]) -> None:
    while not happens():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


@asynccontextmanager
async def trusting(exchange: Emulator, *, connections: int = 100) -> AsyncIterator[Session]:
    """Open a session that trusts the exchange, and has so many connections, none of which it keeps."""
    context = ssl.create_default_context(cadata=exchange.certificate)
    connector = aiohttp.TCPConnector(limit=connections, ssl=context, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        Session(base_url=exchange.url, http=http, limiter=LocalLimiter()) as session,
    ):
        yield session


class TestHandshakes:
    """TLS, and what may be wrong with it."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_who_trusts_the_exchange_gets_along_with_it(self, host: str) -> None:
        """By its address and by its name."""
        async with Emulator(tls=True, host=host) as exchange, trusting(exchange) as session:
            assert exchange.url.startswith("https://")
            assert (await SolStaking(exchange.credentials, session).balance()).amt == Decimal("0.01100012")

    async def test_nobody_else_does(self) -> None:
        """It is told at once, and nothing is sent."""
        async with Emulator(tls=True) as exchange, Session(base_url=exchange.url) as session:
            with pytest.raises(TransportError, match=r"no safe connection.*self-signed") as caught:
                await SolStaking(exchange.credentials, session).balance()

        assert 1 == caught.value.attempts
        assert not caught.value.transient
        assert 0 == received(exchange)

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (WrongCertificate(), "self-signed"),
            (WrongCertificate("untrusted"), "self-signed"),
            (WrongCertificate("ended"), "expired"),
            (WrongCertificate("of another host"), "mismatch"),
        ],
    )
    async def test_a_wrong_certificate_for_the_next_connection(self, fault: Fault, words: str) -> None:
        """A read and a write are told, and nothing is sent; the next connection is a good one."""
        async with Emulator(tls=True) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            injection = exchange.fail_next(fault, times=2)
            with pytest.raises(TransportError, match=f"no safe connection.*{words}"):
                await staking.balance()
            with pytest.raises(TransportError, match=f"no safe connection.*{words}"):
                await staking.purchase("1")
            assert (2, 0) == (injection.hits, received(exchange))
            await staking.balance()

    async def test_a_handshake_that_is_broken_off(self) -> None:
        """A read heals it, and a write has certainly not happened."""
        async with Emulator(tls=True) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            read = exchange.fail_next(BrokenHandshake(), times=2)
            await staking.balance()
            write = exchange.fail_next(BrokenHandshake())
            with pytest.raises(TransportError, match="no whole response") as caught:
                await staking.purchase("1")

        assert caught.value.transient
        assert (2, 1) == (read.hits, write.hits)
        assert 1 == received(exchange)

    async def test_a_script_and_luck_and_the_faults_of_calls(self) -> None:
        """Handshakes have their own order, and calls theirs."""
        async with Emulator(tls=True, seed=1) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            exchange.fail_next(BrokenHandshake())
            exchange.fail_next(Refusal("50001"))
            exchange.fail_next(WrongCertificate("ended"))
            # Broken off, refused by the exchange, and shown what has ended.
            with pytest.raises(TransportError, match="expired"):
                await staking.balance()
            luck = exchange.fail_sometimes(WrongCertificate(), probability=0.5)
            outcomes = await asyncio.gather(*(staking.balance() for _ in range(20)), return_exceptions=True)
            exchange.stop_failing()
            await staking.balance()

        assert 0 < sum(isinstance(outcome, TransportError) for outcome in outcomes) == luck.hits < 20

    async def test_an_outage_and_its_end(self) -> None:
        """An exchange over TLS goes away and comes back as any other."""
        async with Emulator(tls=True) as exchange, trusting(exchange) as session:
            staking = SolStaking(exchange.credentials, session)
            with exchange.outage(), pytest.raises(TransportError, match="Cannot connect"):
                await staking.balance()
            await staking.balance()

    async def test_an_exchange_without_tls_makes_no_handshakes(self, exchange: Emulator) -> None:
        """Such a fault would await its handshake for ever."""
        with pytest.raises(ConfigurationError, match="this exchange makes none") as caught:
            exchange.fail_next(BrokenHandshake())
        assert "tls=True" in str(caught.value)

    def test_what_is_shown_is_checked(self) -> None:
        """A mistake is named."""
        with pytest.raises(ConfigurationError, match="shown must be one of 'untrusted', 'ended', 'of another host'"):
            WrongCertificate("expired")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="tls must be True or False"):
            Emulator(tls="yes")  # type: ignore[arg-type]


class TestNames:
    """The DNS does not answer."""

    async def test_a_name_that_is_not_found(self, exchange: Emulator) -> None:
        """A read is tried again, and heals when the name is found."""
        injection = exchange.fail_next(UnknownName(), times=2)
        async with Session(base_url=exchange.named_url) as session:
            await SolStaking(exchange.credentials, session).balance()

        assert 2 == injection.hits
        assert 1 == received(exchange)

    async def test_a_name_that_is_never_found(self, exchange: Emulator) -> None:
        """A read ends as what it is, and a write has certainly not happened."""
        async with Session(base_url=exchange.named_url) as session:
            staking = SolStaking(exchange.credentials, session)
            with exchange.fail_next(UnknownName(), times=None) as injection:
                with pytest.raises(TransportError, match=r"localhost.*Name or service not known") as caught:
                    await staking.balance()
                with pytest.raises(TransportError, match="Name or service not known"):
                    await staking.purchase("1")
            assert 3 == caught.value.attempts
            assert caught.value.transient
            assert (4, 0) == (injection.hits, received(exchange))
            await staking.balance()

    async def test_nobody_else_is_not_found(self, exchange: Emulator) -> None:
        """Another exchange is, and so is this one by its address; in the end, look-ups are as they were."""
        async with Emulator() as one, Emulator() as other:
            for each in (one, other):
                each.fail_next(UnknownName(), times=None)
            for url in (exchange.named_url, one.url):
                async with Session(base_url=url) as session:
                    await session.synchronize_clock(1)
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("localhost", URL(one.url).port)
            assert socket.getaddrinfo("127.0.0.1", URL(one.url).port)
        # Nothing stands in its place any more.
        assert "socket" == socket.getaddrinfo.__module__

    @pytest.mark.parametrize("host", ["localhost", b"localhost", "LOCALHOST"])
    @pytest.mark.parametrize("written", [int, str, lambda port: f"{port}".encode()])
    async def test_however_it_is_asked_for(
        self, exchange: Emulator, host: str | bytes, written: Callable[[int], int | str | bytes]
    ) -> None:
        """So anyio and trio, and those who read the port out of a text, do not find it either."""
        port = written(URL(exchange.url).port or 0)
        with exchange.fail_next(UnknownName()) as injection, pytest.raises(socket.gaierror):
            socket.getaddrinfo(host, port)
        assert 1 == injection.hits
        assert socket.getaddrinfo(host, port)

    async def test_who_asks_whether_it_is_an_address_looks_nothing_up(self, exchange: Emulator) -> None:
        """Trio does so before each look-up, and the fault is for that."""
        port = URL(exchange.url).port
        with exchange.fail_next(UnknownName()) as injection:
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("localhost", port, flags=socket.AI_NUMERICHOST)
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("localhost", port, 0, 0, 0, socket.AI_NUMERICHOST)
            assert 0 == injection.hits

    async def test_a_test_that_stands_in_for_it_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each asks who was there before it, each fault befalls one look-up, and in the end nobody is left."""
        before = socket.getaddrinfo
        async with Emulator() as one:
            port = URL(one.url).port
            one.fail_next(UnknownName())
            with monkeypatch.context() as patch:
                patched, seen = socket.getaddrinfo, []
                patch.setattr(socket, "getaddrinfo", lambda *how: seen.append(how) or patched(*how))
                async with Emulator() as other:
                    other.fail_next(UnknownName())
                    sometimes = one.fail_next(UnknownName(), times=1)
                    for _ in range(2):
                        with pytest.raises(socket.gaierror):
                            socket.getaddrinfo("localhost", port)
                    assert 1 == sometimes.hits
                    never = one.fail_sometimes(UnknownName(), probability=0)
                    assert socket.getaddrinfo("localhost", port)
                    assert (0, [("localhost", port)]) == (never.hits, seen)
        assert socket.getaddrinfo is before

    async def test_what_was_patched_for_a_while_does_not_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The exchange puts back what it found only as long as it is there itself."""
        before = socket.getaddrinfo
        async with Emulator() as one, Emulator() as other:
            one.fail_next(UnknownName())
            with monkeypatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", functools.partial(before))
                other.fail_next(UnknownName())
            with pytest.raises(socket.gaierror):
                socket.getaddrinfo("localhost", URL(other.url).port)
        assert socket.getaddrinfo is before

    def test_a_program_without_an_event_loop(self, background_exchange: Emulator) -> None:
        """Whatever looks names up by Python's own means does not find it."""
        address = "localhost", URL(background_exchange.url).port or 0
        with background_exchange.fail_next(UnknownName()), pytest.raises(socket.gaierror):
            socket.create_connection(address)
        with socket.create_connection(address):
            pass

    async def test_over_tls_the_certificate_is_for_the_name(self) -> None:
        """Name and TLS go together."""
        async with Emulator(tls=True) as exchange, trusting(exchange) as session:
            exchange.fail_next(UnknownName())
            http = session._connections._borrowed
            assert http is not None
            async with Session(base_url=exchange.named_url, http=http) as named:
                assert named.origin.startswith("https://localhost:")
                await SolStaking(exchange.credentials, named).balance()

    def test_an_exchange_that_does_not_serve_has_no_name(self) -> None:
        """Its port is not known before, and not its own after."""
        exchange = Emulator()
        with pytest.raises(ConfigurationError, match="does not serve"):
            exchange.fail_next(UnknownName())
        with pytest.raises(ConfigurationError, match="before it serves"):
            assert exchange.named_url


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Cut(20), "Response payload is not completed: Not enough data to satisfy content length header"),
        (Cut(30, of="head"), "Server disconnected"),
    ],
)
async def test_half_an_answer_is_told_without_objects_of_aiohttp(exchange: Emulator, fault: Fault, told: str) -> None:
    """What aiohttp had read, and the status that it makes up, help nobody."""
    exchange.fail_next(fault)
    async with Session(base_url=exchange.url, attempts=1) as session:
        with pytest.raises(TransportError) as caught:
            await SolStaking(exchange.credentials, session).balance()

    assert caught.value.message.startswith(f"no whole response: {told}")
    assert not set("<>=") & set(caught.value.message)


async def test_a_handshake_that_ends_without_a_word_is_said_to_be_broken_off() -> None:
    """The ``None`` that asyncio knows of it helps nobody."""
    async with Emulator(tls=True) as exchange, trusting(exchange) as session:
        exchange.fail_next(BrokenHandshake(), times=None)
        with pytest.raises(
            TransportError, match=r"no whole response: Cannot connect.* \[broken off\] \(POST"
        ) as caught:
            await SolStaking(exchange.credentials, session).purchase("1")

    assert caught.value.transient


class TestHeld:
    """Answers that wait, so that connections are busy."""

    def test_a_full_pool(self) -> None:
        """What finds no connection within five seconds is not sent, neither then nor later."""

        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            async with Emulator() as exchange, trusting(exchange, connections=2) as session:
                staking = SolStaking(exchange.credentials, session)
                with exchange.fail_next(Held(), times=2) as held:
                    busy = [asyncio.ensure_future(staking.balance()) for _ in range(2)]
                    await until(lambda: held.hits == 2)
                    began = loop.time()
                    with pytest.raises(Timeout, match="all connections are busy"):
                        await staking.purchase("1")
                    assert loop.time() - began == pytest.approx(CONNECT_TIMEOUT, abs=0.1)
                    assert 2 == received(exchange)
                await asyncio.gather(*busy)
                await staking.purchase("1")
                assert 1 == len(exchange.user.orders)

        run_with_sockets(scenario())

    @pytest.mark.parametrize("way", ["stop", "with", "stop_failing"])
    async def test_each_way_to_let_go(self, exchange: Emulator, session: Session, way: str) -> None:
        """The answer comes when it is let go, and not before; nothing is held after that."""
        held = exchange.fail_next(Held(), times=None, endpoint=BALANCE)
        call = asyncio.ensure_future(SolStaking(exchange.credentials, session).balance())
        await until(lambda: held.hits)
        # Calls that come meanwhile and are not meant are answered.
        await session.synchronize_clock(1)
        assert not call.done()
        if way == "stop":
            held.stop()
        elif way == "with":
            with held:
                pass
        else:
            exchange.stop_failing()
        await call
        await SolStaking(exchange.credentials, session).balance()

    async def test_an_exchange_in_another_thread(self, background_exchange: Emulator) -> None:
        """It is let go from here."""
        async with Session(base_url=background_exchange.url) as session:
            with background_exchange.fail_next(Held(), Delay(back=0.01)) as held:
                call = asyncio.ensure_future(SolStaking(background_exchange.credentials, session).balance())
                await until(lambda: held.hits)
            await call

    @pytest.mark.parametrize("who", ["the client", "the exchange"])
    async def test_whoever_leaves_while_it_is_held_leaves_nothing_behind(self, who: str) -> None:
        """No task waits on."""
        async with Emulator() as exchange, Session(base_url=exchange.url) as session:
            exchange.fail_next(Held(), times=None)
            call = asyncio.ensure_future(SolStaking(exchange.credentials, session).balance())
            await until(lambda: exchange.calls)
            if who == "the client":
                call.cancel()
                await asyncio.wait([call])
                await until(lambda: len(asyncio.all_tasks()) == 1)
        await asyncio.wait([call])
        await until(lambda: len(asyncio.all_tasks()) == 1)
        exchange.stop_failing()


@pytest.mark.parametrize("fault", [WrongCertificate(), BrokenHandshake(), UnknownName()])
@pytest.mark.parametrize("more", ["endpoint", "user", "faults"])
async def test_what_befalls_no_call_is_meant_for_none(fault: Fault, more: str) -> None:
    """Nobody knows yet whose call it will be."""
    async with Emulator(tls=True) as exchange:
        faults: Iterable[Fault] = [fault, Delay(1)] if more == "faults" else [fault]
        endpoint = BALANCE if more == "endpoint" else None
        user = exchange.user if more == "user" else None
        with pytest.raises(ConfigurationError, match=r"must come alone|leave out endpoint and user"):
            exchange.fail_next(*faults, endpoint=endpoint, user=user)
