"""A read that fails for a moment is tried again; what cannot be healed is told at once; a write moves once."""

import asyncio
import contextlib
import gc
import json
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import attrs
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, web
from aiohttp.client_reqrep import ConnectionKey

from okx_sol_async import (
    BALANCE,
    APIError,
    ConfigurationError,
    Credentials,
    DecodeError,
    Endpoint,
    LocalLimiter,
    OKXError,
    OutcomeUnknown,
    RateLimit,
    Rejected,
    Scope,
    Session,
    SessionClosed,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Refusal
from okx_sol_async.errors import CODES
from okx_sol_async.transport import budget as retries
from okx_sol_async.transport import recovery, resend
from tests.support.serving import http_answer, request_of, serving, serving_raw
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")
ROW = {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "0", "totalInterestAccrual": "0"}
GOOD = json.dumps({"code": "0", "msg": "", "data": [ROW]}).encode()
FAST = RateLimit(1000, 0.001, Scope.USER)
READ = attrs.evolve(BALANCE, limit=FAST)
WRITE: Endpoint[object] = Endpoint(
    "POST", "/api/v5/finance/staking-defi/sol/purchase", FAST, decode=lambda data: data, safe_to_resend=False
)
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def page(status: int, body: bytes, content_type: str = "text/html") -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type)

    return answer


def coded(code: str, status: int = 200) -> Answer:
    return page(status, json.dumps({"code": code, "msg": "no", "data": []}).encode(), "application/json")


async def reset(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + GOOD[:30])
    request.transport.close()
    return web.Response()


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


class Script:
    """A server that gives each answer once, and the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.timestamps: list[str] = []
        self.bodies: list[bytes] = []
        self.asked = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.timestamps.append(request.headers.get("OK-ACCESS-TIMESTAMP", ""))
        self.bodies.append(await request.read())
        self.asked.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.0)


@asynccontextmanager
async def session_of(
    script: Script,
    *,
    timeout: float = 0.5,  # noqa: ASYNC109 - the session's
    attempts: int = 3,
) -> AsyncIterator[Session]:
    async with (
        serving(script.handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=timeout, attempts=attempts) as session,
    ):
        yield session


PASSING = {
    "reset": reset,
    "cut": cut,
    "hang": hang,
    "html 200": page(200, b"<html>just a moment</html>"),
    "html 502": page(502, b"<html>Bad gateway</html>"),
    "empty 503": page(503, b""),
    **{code: coded(code) for code, rule in CODES.items() if rule.exception is Unavailable},
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_read_is_tried_again_after_what_passes(name: str) -> None:
    """Two failures are healed unseen, each attempt with a fresh timestamp and a lease of its own."""
    script = Script(PASSING[name], PASSING[name], page(200, GOOD, "application/json"))
    async with session_of(script) as session:
        balance = await session.call(READ, CREDENTIALS)
        resends = session.counters.resends

    assert Decimal(1) == balance.amt
    assert 2 == resends
    assert 3 == len(script.timestamps)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reset", TransportError),
        ("hang", Timeout),
        ("html 200", DecodeError),
        ("html 502", Unavailable),
        ("50001", Unavailable),
    ],
)
async def test_what_does_not_pass_is_told_with_its_attempts(name: str, kind: type[OKXError]) -> None:
    """After as many attempts as were allowed, the last failure says how often the call was sent."""
    script = Script(PASSING[name])
    async with session_of(script, timeout=0.1, attempts=2) as session:
        with pytest.raises(kind) as caught:
            await session.call(READ, CREDENTIALS)

    assert 2 == len(script.timestamps) == caught.value.attempts
    assert caught.value.waited is not None
    assert "sent 2 times" in str(caught.value)
    assert caught.value.transient


@pytest.mark.parametrize("code", sorted(code for code, rule in CODES.items() if not rule.exception.transient))
async def test_what_cannot_be_healed_is_sent_once(code: str) -> None:
    """Wrong keys, missing permissions and bad input are told at once; a timestamp is signed again, once."""
    script = Script(coded(code, 401))
    async with session_of(script) as session:
        with pytest.raises(APIError) as caught:
            await session.call(READ, CREDENTIALS)

    # It has no Date to learn from, so OKX is asked for its time, which is not signed.
    assert (2 if code == "50102" else 1) == len([stamp for stamp in script.timestamps if stamp])
    assert not caught.value.transient


async def test_a_row_that_is_broken_is_not_asked_for_again() -> None:
    """OKX answered, and would answer the same."""
    script = Script(page(200, b'{"code":"0","msg":"","data":[{}]}', "application/json"))
    async with session_of(script) as session:
        with pytest.raises(DecodeError, match=r"data\[0\].amt is missing.*newer version"):
            await session.call(READ, CREDENTIALS)

    assert 1 == len(script.timestamps)


async def test_one_attempt_is_one() -> None:
    """With ``attempts=1`` nothing is tried again."""
    script = Script(coded("50001", 503))
    async with session_of(script, attempts=1) as session:
        with pytest.raises(Unavailable):
            await session.call(READ, CREDENTIALS)

    assert 1 == len(script.timestamps)


@pytest.mark.parametrize("name", PASSING)
async def test_a_write_is_never_sent_again_after_what_may_have_happened(name: str) -> None:
    """It ends in `OutcomeUnknown`, which tells when it was sent and what came instead of an answer."""
    script = Script(PASSING[name])
    async with session_of(script, timeout=0.1) as session:
        with pytest.raises(OutcomeUnknown) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1.5"})

    assert [b'{"amt":"1.5"}'] == script.bodies
    assert isinstance(caught.value.reason, OKXError)
    assert caught.value.sent_at is not None
    assert caught.value.sent_at.isoformat(timespec="milliseconds")[:-6] + "Z" == script.timestamps[0]


@pytest.mark.parametrize(("code", "sends"), [("50011", 2), ("50102", 3), ("51736", 1)])
async def test_a_write_is_sent_again_when_it_was_certainly_refused(code: str, sends: int) -> None:
    """A full bucket and a wrong clock are healed, with the same body; a refusal of the write itself is told."""
    script = Script(*[coded(code, 429)] * (sends - 1), coded("51736" if sends == 1 else "0"))
    async with session_of(script) as session:
        if sends == 1:
            with pytest.raises(Rejected):
                await session.call(WRITE, CREDENTIALS, {"amt": "1"})
        else:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert {b'{"amt":"1"}'} == {body for body in script.bodies if body}


@pytest.mark.parametrize("status", [408, 429, 499])
async def test_a_write_that_a_gateway_gave_up_may_have_happened(status: int) -> None:
    """It may have passed the call on before it lost its patience."""
    async with session_of(Script(page(status, b"<html>"))) as session:
        with pytest.raises(OutcomeUnknown):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})


@pytest.mark.parametrize("status", [200, 302, 400, 403, 404, 429, 502])
async def test_a_page_that_is_not_okxs_says_what_to_do(status: int) -> None:
    """A person gets a hint with every status."""
    async with session_of(Script(page(status, b"<html>")), attempts=1) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(WRITE if status == 429 else READ, CREDENTIALS)

    assert caught.value.hint


async def test_a_write_that_found_no_connection_did_not_happen() -> None:
    """Nothing was sent, so its outcome is known."""
    async with Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter()) as session:
        with pytest.raises(TransportError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert 1 == caught.value.attempts


#: What a middleware may meet elsewhere, at another host or in a rule of its own, after the call was answered or lost.
ELSEWHERE: dict[str, Callable[[], Exception]] = {
    "no connection": lambda: aiohttp.ClientConnectorDNSError(
        ConnectionKey(
            "audit.invalid", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
        ),
        OSError(None, "unknown"),
    ),
    "no connection in time": lambda: aiohttp.ConnectionTimeoutError("audit"),
    "a refusal": lambda: Rejected("no", code="51000"),
    "settings": lambda: ConfigurationError("no"),
}


@pytest.mark.parametrize("borrows", [False, True])
@pytest.mark.parametrize("answer", ["good", "reset"])
@pytest.mark.parametrize("name", ELSEWHERE)
async def test_what_a_middleware_meets_elsewhere_says_nothing_of_a_write(
    name: str,
    answer: str,
    borrows: bool,  # noqa: FBT001
) -> None:
    """The write has arrived, so nobody is told that it did not happen."""

    async def audit(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        with contextlib.suppress(aiohttp.ClientError):
            await handler(request)
        error = ELSEWHERE[name]()
        raise error

    script = Script(page(200, GOOD, "application/json") if answer == "good" else reset)
    async with (
        serving(script.handle) as url,
        aiohttp.ClientSession() as http,
        Session(
            base_url=url, limiter=LocalLimiter(), http=http if borrows else None, middlewares=[audit], timeout=0.5
        ) as session,
    ):
        with pytest.raises(OutcomeUnknown):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert 1 == len(script.bodies)


@pytest.mark.parametrize("borrows", [False, True])
async def test_a_middleware_may_try_a_write_again_that_found_no_connection(borrows: bool) -> None:  # noqa: FBT001
    """Nothing has left each time, and that is what its caller is told, even in a wrapping of the middleware's own."""
    tries = []

    async def persist(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        for number in range(3):
            tries.append(number)
            with contextlib.suppress(aiohttp.ClientConnectorError):
                return await handler(request)
        raise aiohttp.ClientPayloadError

    async with (
        aiohttp.ClientSession() as http,
        Session(
            base_url="http://127.0.0.1:9",
            limiter=LocalLimiter(),
            http=http if borrows else None,
            middlewares=[persist],
        ) as session,
    ):
        with pytest.raises(TransportError) as caught:
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert [0, 1, 2] == tries
    assert 3 == caught.value.attempts


async def test_a_write_that_a_proxy_does_not_connect_did_not_happen() -> None:
    """A proxy that does not lead to OKX has been told OKX's name, and nothing of the write."""
    heard = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await request_of(reader))
        writer.write(http_answer(b"", 407))

    async with (
        serving_raw(refuse) as proxy,
        aiohttp.ClientSession(proxy=proxy) as http,
        Session(base_url="https://okx.invalid", limiter=LocalLimiter(), http=http) as session,
    ):
        with pytest.raises(TransportError, match="407"):
            await session.call(WRITE, CREDENTIALS, {"amt": "1"})

    assert [b"CONNECT"] == [request.split()[0] for request in heard]


async def test_a_write_that_was_refused_when_the_session_closes() -> None:
    """Its timestamp was refused, and it waits for OKX's time: it has certainly not happened, and its caller is told so."""
    asked_time = asyncio.Event()

    async def time_that_never_comes(request: web.BaseRequest) -> web.StreamResponse:
        asked_time.set()
        return await hang(request)

    script = Script(coded("50102", 401), time_that_never_comes)
    async with session_of(script, timeout=5) as session:
        call = asyncio.ensure_future(session.call(WRITE, CREDENTIALS, {"amt": "1"}))
        await asked_time.wait()
        await session.aclose()
        with pytest.raises(SessionClosed):
            await call

    assert [b'{"amt":"1"}', b""] == script.bodies


async def test_a_write_on_the_wire_when_the_session_closes() -> None:
    """Nobody knows what became of it, so its caller is not told that nothing was sent."""
    script = Script(hang)
    async with session_of(script, timeout=5) as session:
        call = asyncio.ensure_future(session.call(WRITE, CREDENTIALS, {"amt": "1"}))
        await script.asked.wait()
        began = now()
        await session.aclose()
        with pytest.raises(OutcomeUnknown):
            await call

        assert now() - began < 0.5


@pytest.mark.parametrize("name", ["reset", "html 502", "html 200", "hang"])
async def test_a_failure_keeps_nothing_alive(name: str) -> None:
    """An error that nobody holds is gone at once, with its frames, and needs no garbage collector."""
    gone = []
    async with session_of(Script(PASSING[name]), timeout=0.1, attempts=1) as session:
        gc.disable()
        try:
            try:
                await session.call(READ, CREDENTIALS)
            except OKXError as error:
                gone.append(weakref.ref(error))
            [reference] = gone
            assert reference() is None
        finally:
            gc.enable()


async def test_a_failure_after_retries_shows_no_frames_of_theirs() -> None:
    """Its traceback leads to the call, and not through the libraries that made it again."""
    async with session_of(Script(coded("50001", 503))) as session:
        with pytest.raises(Unavailable) as caught:
            await session.call(READ, CREDENTIALS)

    assert ["call", "run"] == [entry.name for entry in caught.traceback[1:]]


async def test_closing_ends_a_call_between_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for its next attempt."""
    monkeypatch.setattr(recovery.random, "uniform", lambda low, high: 60.0)
    script = Script(coded("50001", 503))
    async with session_of(script) as session:
        call = asyncio.ensure_future(session.call(READ, CREDENTIALS))
        await script.asked.wait()
        await asyncio.sleep(0.05)
        began = now()
        await session.aclose()
        with pytest.raises(OKXError, match="closed"):
            await call

        assert now() - began < 0.5


@pytest.mark.virtual_clock
async def test_waits_grow_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait is drawn from nothing up to twice the last bound."""
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.5)
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr(recovery.random, "uniform", uniform)

    async with (
        Emulator() as exchange,
        Session(base_url=exchange.url, limiter=LocalLimiter(), attempts=8) as session,
    ):
        exchange.fail_next(Refusal("50001"), times=None)
        began = now()
        with pytest.raises(Unavailable):
            await session.call(BALANCE, exchange.credentials)
        took = now() - began

    assert [(0.0, bound) for bound in (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0)] == bounds
    assert took == pytest.approx(35.5, abs=0.5)


def test_an_outage_is_not_answered_by_a_storm() -> None:
    """Of ten thousand calls that fail within a second, about a tenth is tried again, and the reserve."""
    budget = retries.RetryBudget()
    spent = 0
    for number in range(10_000):
        budget.earn()
        spent += budget.spend(number / 10_000)
        spent += budget.spend(number / 10_000)

    assert 1000 <= spent <= 1000 + retries.RESERVE + 2


async def test_a_storm_of_lost_connections_is_held_back_too() -> None:
    """What aiohttp sends again by itself is taken from the budget where it was no kept connection that was dead."""
    script = Script(reset)
    keys = [Credentials(f"storm-{number}", "secret-secret", "passphrase") for number in range(300)]
    kinds = set()
    async with session_of(script, timeout=5) as session:
        # No more at once than a server lets wait to be accepted: the kernel would try the others again in a second.
        for some in (keys[:100], keys[100:200], keys[200:]):
            outcomes = await asyncio.gather(*(session.call(READ, key) for key in some), return_exceptions=True)
            kinds |= {type(outcome) for outcome in outcomes}

    assert {TransportError} == kinds
    # A tenth more, and the reserve.
    assert 300 <= len(script.timestamps) <= 300 + 30 + retries.RESERVE


def test_connections_that_were_kept_may_all_be_dead() -> None:
    """As many as have carried an answer, and no more than are kept."""
    budget = retries.RetryBudget()
    assert not budget.spend_on_kept()
    for _ in range(2):
        budget.kept()
    assert [True, True, False] == [budget.spend_on_kept() for _ in range(3)]
    for _ in range(1000):
        budget.kept()
    assert retries.KEPT == sum(budget.spend_on_kept() for _ in range(1000))


async def test_a_retry_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no logging is set up, as pytest's is not for this one logger here, a resend is silent."""
    monkeypatch.setattr(logging.getLogger("okx_sol_async"), "propagate", False)
    script = Script(coded("50001", 503), page(200, GOOD, "application/json"))
    async with session_of(script) as session:
        await session.call(READ, CREDENTIALS)

    assert ("", "") == capsys.readouterr()


async def test_a_retry_is_taken_from_the_budget_once() -> None:
    """Each further attempt takes one."""
    script = Script(coded("50001", 503))
    async with session_of(script, attempts=3) as session:
        budget = session._state.budget
        budget._left = 10.0
        with pytest.raises(Unavailable):
            await session.call(READ, CREDENTIALS)

        assert 8.0 <= budget._left < 8.9


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A retry that drips in meanwhile is no end of it; half a reserve is."""
    budget = retries.RetryBudget()

    def fail(begin: float, seconds: int) -> None:
        for number in range(seconds * 100):
            budget.spend(begin + number / 100)

    fail(0.0, 60)
    assert 1 == len(caplog.records)

    fail(1000.0, 60)
    assert 2 == len(caplog.records)


def test_a_lone_bot_never_runs_out_of_retries() -> None:
    """A call each ten seconds may be tried three times, for as long as an outage lasts."""
    budget = retries.RetryBudget()
    for number in range(1000):
        budget.earn()
        assert budget.spend(number * 10.0)
        assert budget.spend(number * 10.0 + 1)
