"""The session and its calls, against the emulator over real sockets."""

import asyncio
import contextlib
import logging
from datetime import datetime
from decimal import Decimal

import aiohttp
import attrs
import pytest
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, web

from okx_sol_async import (
    BALANCE,
    AuthenticationError,
    Balance,
    BucketKey,
    CallReport,
    ConfigurationError,
    Counters,
    Credentials,
    Endpoint,
    Lease,
    LocalLimiter,
    OKXError,
    OutcomeUnknown,
    QueueTimeout,
    RateLimit,
    RateLimited,
    Region,
    Rejected,
    Scope,
    Session,
    SessionClosed,
    SolStaking,
    Timeout,
    TokenBucket,
    TransportError,
    apy_history,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport.clock import ServerClock
from okx_sol_async.transport.resend import MAX_REFUSALS
from tests.support.serving import serving
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))
CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")


async def test_the_balance_end_to_end(exchange: Emulator) -> None:
    """Signed, limited, decoded."""
    async with Session(base_url=exchange.url) as session:
        balance = await SolStaking(exchange.credentials, session).balance()

    assert EXPECTED == balance
    assert 1 == exchange.tally().accepted


async def test_no_oksol_is_a_balance_of_zero(exchange: Emulator, session: Session) -> None:
    """OKX answers without a row."""
    exchange.user.balance = None

    assert (
        Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0))
        == await SolStaking(exchange.credentials, session).balance()
    )


async def test_demo_trading() -> None:
    """Demo calls carry the header, and mixing demo with live is named."""
    async with Emulator(demo=True) as exchange:
        async with Session(base_url=exchange.url, demo=True) as session:
            assert EXPECTED == await session.call(BALANCE, exchange.credentials)
        async with Session(base_url=exchange.url) as session:
            with pytest.raises(AuthenticationError, match="OKX_DEMO=1") as caught:
                await session.call(BALANCE, exchange.credentials)

    assert "50101" == caught.value.code


async def test_public_endpoints_need_no_key(exchange: Emulator, session: Session) -> None:
    """What is not signed carries no header of a key."""
    public = Endpoint(
        "GET", "/api/v5/public/time", RateLimit(10, 2.0, Scope.IP), decode=lambda data: data, signed=False
    )

    rows = await session.call(public)

    assert [["ts"]] == [list(row) for row in rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            {"api_key": "8f1c2d3e-dead-beef-9c6d-7e8f90a1b2c3"},
            "50119",
            ["us (https://us.okx.com)", "eea (https://eea.okx.com)"],
        ),
        ({"secret_key": "wrong-secret"}, "50113", ["secret key", "OKX_SECRET_KEY"]),
        ({"passphrase": "wrong-passphrase"}, "50105", ["passphrase", "OKX_PASSPHRASE"]),
    ],
)
async def test_a_wrong_key_is_told_apart(
    exchange: Emulator, session: Session, change: dict[str, str], code: str, words: list[str]
) -> None:
    """Each wrong value of the three is named, with all that support would ask for."""
    wrong = {field: getattr(exchange.credentials, field) for field in ("api_key", "secret_key", "passphrase")}

    with pytest.raises(AuthenticationError) as caught:
        await session.call(BALANCE, Credentials(**(wrong | change)))

    error = caught.value
    assert (code, 401, str(BALANCE)) == (error.code, error.status, error.endpoint)
    assert exchange.calls[-1].trace_id == error.trace_id
    assert [] == [word for word in words if word not in str(error)]
    assert "\n" not in str(error)


# The limit.


async def test_sixty_calls_at_once_are_never_refused() -> None:
    """One user, two keys and two sessions share one bucket, and the exchange refuses nothing."""
    async with Emulator(latency=0.005, jitter=0.01) as exchange:
        other_key = exchange.user.add_key()
        async with Session(base_url=exchange.url) as one, Session(base_url=exchange.url) as two:
            users = [SolStaking(exchange.credentials, one), SolStaking(other_key, two)]
            began = now()
            await asyncio.gather(*(users[number % 2].balance() for number in range(20)))

        assert now() - began >= 3.0
        assert 6 == exchange.most_within(1.0)
        assert 0 == exchange.tally().refused


async def test_a_client_made_again_finds_its_history(exchange: Emulator) -> None:
    """Closing and opening does not refill the bucket."""
    waited = []
    for _ in range(2):
        async with Session(base_url=exchange.url) as session:
            began = now()
            await asyncio.gather(*(session.call(BALANCE, exchange.credentials) for _ in range(6)))
            waited.append(now() - began)

    assert waited[0] < 0.9 < waited[1]
    assert 0 == exchange.tally().refused


def test_a_second_event_loop_finds_the_history_too(background_exchange: Emulator) -> None:
    """Nor does a second `asyncio.run`."""
    exchange = background_exchange

    async def spend() -> None:
        async with SolStaking(exchange.credentials, Session(base_url=exchange.url)) as staking:
            await asyncio.gather(*(staking.balance() for _ in range(6)))
            await staking._session.aclose()

    asyncio.run(spend())
    asyncio.run(spend())

    assert 12 == exchange.tally().accepted
    assert 0 == exchange.tally().refused


async def test_users_do_not_wait_for_each_other(exchange: Emulator, session: Session) -> None:
    """Ten users make sixty calls in no time."""
    users = [SolStaking(exchange.add_user().credentials, session) for _ in range(10)]
    began = now()

    await asyncio.gather(*(user.balance() for user in users for _ in range(6)))

    assert now() - began < 0.9
    assert 60 == exchange.tally().accepted


class Foreign:
    """Another program that spends the same user's quota."""

    def __init__(
        self, refusals: int, status: int = 429, body: bytes = b'{"msg":"Too Many Requests","code":"50011"}'
    ) -> None:
        self.refusals = refusals
        self.status = status
        self.body = body
        self.timestamps: list[str] = []
        self.came_at: list[float] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.came_at.append(now())
        self.timestamps.append(request.headers["OK-ACCESS-TIMESTAMP"])
        if len(self.timestamps) <= self.refusals:
            return web.Response(status=self.status, body=self.body, content_type="application/json")
        return web.json_response(
            {
                "code": "0",
                "msg": "",
                "data": [
                    {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "", "totalInterestAccrual": ""},
                ],
            }
        )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"msg":"Too Many Requests","code":"50011"}'),
        (200, b'{"msg":"Rate limit reached.","code":50011,"data":[]}'),
        (429, b"Too Many Requests"),
    ],
)
async def test_a_refusal_is_healed_unseen(status: int, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a 50011 the bucket pauses for a second, and the call is signed and sent again."""
    # The clock of this machine stands on that of the loop, so that a signature tells when it was made.
    monkeypatch.setattr(ServerClock.__init__, "__defaults__", (lambda: 1.7e9 + now(), now))
    foreign = Foreign(1, status, body)

    async with serving(foreign.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        balance = await session.call(BALANCE, CREDENTIALS)

    assert Decimal(1) == balance.amt
    first, second = foreign.came_at
    assert 1.0 <= second - first < 1.1
    signed = [datetime.fromisoformat(timestamp).timestamp() - 1.7e9 for timestamp in foreign.timestamps]
    assert foreign.came_at == pytest.approx(signed, abs=0.1)


async def test_two_programs_that_spend_one_limit_both_get_their_balances(exchange: Emulator) -> None:
    """Neither knows of the other; what is refused is healed unseen, in both."""
    async with (
        Session(base_url=exchange.url, limiter=LocalLimiter()) as one,
        Session(base_url=exchange.url, limiter=LocalLimiter()) as other,
    ):
        calls = [session.call(BALANCE, exchange.credentials) for session in (one, other) for _ in range(9)]
        assert [EXPECTED] * 18 == await asyncio.gather(*calls)

        assert one.counters.refusals + other.counters.refusals == exchange.tally().refused > 0


class InstantLimiter:
    """Hands out leases at once and notes what becomes of them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.keys: list[BucketKey] = []

    def bucket(self, key: BucketKey, limit: RateLimit) -> "InstantLimiter":
        self.keys.append(key)
        return self

    async def acquire(self, deadline: float | None) -> "InstantLimiter":
        self.events.append("acquire")
        return self

    def answered(self) -> None:
        self.events.append("answered")

    def abandoned(self) -> None:
        self.events.append("abandoned")

    def refused(self) -> None:
        self.events.append("refused")


async def test_ten_refusals_are_told() -> None:
    """The caller learns of it only when one call was refused ten times."""
    foreign, limiter = Foreign(refusals=1000), InstantLimiter()

    async with serving(foreign.handle) as url, Session(base_url=url, limiter=limiter) as session:
        with pytest.raises(RateLimited) as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert "50011" == caught.value.code
    assert MAX_REFUSALS == len(foreign.timestamps)
    assert ["acquire", "answered", "refused"] * MAX_REFUSALS == limiter.events


async def test_a_refusal_that_max_wait_cannot_heal_is_told() -> None:
    """The pause is longer than the call may wait, so what OKX said is raised."""
    foreign = Foreign(refusals=1000)

    async with serving(foreign.handle) as url, Session(base_url=url, max_wait=0.5, limiter=LocalLimiter()) as session:
        with pytest.raises(RateLimited):
            await session.call(BALANCE, CREDENTIALS)

    assert 1 == len(foreign.timestamps)


@pytest.mark.parametrize(
    ("status", "body", "safe_to_resend", "failure"),
    [
        (200, b'{"msg":"the limit of orders","code":"50061"}', True, RateLimited),
        (429, b"Too Many Requests", False, OutcomeUnknown),
    ],
)
async def test_what_is_not_certainly_uncounted_is_not_sent_again(
    status: int,
    body: bytes,
    safe_to_resend: bool,  # noqa: FBT001
    failure: type[OKXError],
) -> None:
    """A limit on orders is not this one, and a page without a code does not say what became of a write."""
    foreign, limiter = Foreign(1, status, body), InstantLimiter()
    endpoint = attrs.evolve(BALANCE, safe_to_resend=safe_to_resend)

    async with serving(foreign.handle) as url, Session(base_url=url, limiter=limiter) as session:
        with pytest.raises(failure):
            await session.call(endpoint, CREDENTIALS)

    assert ["acquire", "answered"] == limiter.events


@pytest.mark.parametrize("kept_by", ["origin", "demo", "owner", "method", "path"])
async def test_who_shares_a_bucket(exchange: Emulator, kept_by: str) -> None:
    """The key of a bucket is the origin, the mode, the user and the endpoint, and holds no key of the user's."""
    limiter = InstantLimiter()
    async with Session(base_url=exchange.url, limiter=limiter) as session:
        await session.call(BALANCE, exchange.credentials)

    [key] = limiter.keys
    expected = {
        "origin": exchange.url,
        "demo": False,
        "owner": f"user:{exchange.user.uid}",
        "method": "GET",
        "path": "/api/v5/finance/staking-defi/sol/balance",
    }
    assert expected[kept_by] == getattr(key, kept_by)
    assert exchange.credentials.api_key not in repr(key)


async def test_by_ip_everybody_shares_a_bucket(exchange: Emulator) -> None:
    """Where OKX counts by IP address, the user is not part of the key."""
    limiter = InstantLimiter()
    by_ip = attrs.evolve(BALANCE, limit=RateLimit(6, 1.0, Scope.IP))
    async with Session(base_url=exchange.url, limiter=limiter) as session:
        await session.call(by_ip, exchange.credentials)

    assert limiter.keys[0].owner is None


async def test_by_ip_demo_and_live_share_a_bucket(exchange: Emulator) -> None:
    """A public call of demo trading is the same request as a live one, and comes from the same address."""
    async with Session(base_url=exchange.url) as live, Session(base_url=exchange.url, demo=True) as demo:
        await asyncio.gather(*(apy_history(1, session) for session in (live, demo) for _ in range(4)))

    assert (8, 0) == (exchange.tally().accepted, exchange.tally().refused)


# Time.


async def test_max_wait_counts_the_queue_only() -> None:
    """A call that would wait too long fails at once; those on the wire have all their time."""
    async with (
        Emulator(latency=0.2) as exchange,
        Session(base_url=exchange.url, max_wait=0.1) as session,
    ):
        calls = [session.call(BALANCE, exchange.credentials) for _ in range(8)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [EXPECTED] * 6 == outcomes[:6]
    assert [QueueTimeout, QueueTimeout] == [type(outcome) for outcome in outcomes[6:]]
    assert "max_wait" in str(outcomes[6])
    assert 6 == exchange.tally().received


class SlowLimiter:
    """Lets each caller stand in the queue until it gives up."""

    def bucket(self, key: BucketKey, limit: RateLimit) -> "SlowLimiter":
        return self

    async def acquire(self, deadline: float | None) -> Lease:
        loop = asyncio.get_running_loop()
        await asyncio.sleep((deadline or loop.time() + 5) - loop.time())
        raise Timeout("late")


async def test_who_gives_up_in_the_queue_has_waited_too() -> None:
    """The error, the report and the counters tell how long a call waited in vain."""
    reports: list[CallReport] = []
    async with Session(limiter=SlowLimiter(), max_wait=0.05, observe=reports.append) as session:
        with pytest.raises(Timeout) as caught:
            await session.call(BALANCE, CREDENTIALS)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.call(BALANCE, CREDENTIALS), 0.03)
        counters = session.counters

    assert 0.04 < (caught.value.waited or 0.0)
    assert [True, True] == [report.waited > 0.02 for report in reports]
    assert 2 == counters.waits


async def test_timeout_counts_the_wire_only() -> None:
    """A call may stand in the queue for longer than it may be on the wire."""
    async with Emulator() as exchange, Session(base_url=exchange.url, timeout=0.5) as session:
        outcomes = await asyncio.gather(*(session.call(BALANCE, exchange.credentials) for _ in range(13)))

    assert [EXPECTED] * 13 == outcomes


async def test_a_server_that_never_answers() -> None:
    """The attempt ends after ``timeout``, with the time in the error, and its task is not left cancelled."""
    async with Emulator(latency=30) as exchange, Session(base_url=exchange.url, timeout=0.1, attempts=1) as session:
        began = now()
        outcomes = await asyncio.gather(
            *(session.call(BALANCE, exchange.credentials) for _ in range(3)), return_exceptions=True
        )

        assert 0.09 < now() - began < 2
        assert [Timeout] * 3 == [type(outcome) for outcome in outcomes]
        assert "0.1 s" in str(outcomes[0])
        task = asyncio.current_task()
        assert task is not None
        assert 0 == task.cancelling()


async def test_a_timeout_of_the_callers_own_passes_through() -> None:
    """`asyncio.timeout` around a call ends it as it ends anything."""
    async with Emulator(latency=30) as exchange, Session(base_url=exchange.url) as session:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await session.call(BALANCE, exchange.credentials)

    assert not isinstance(caught.value, OKXError)


async def test_cancellation_passes_through_untouched() -> None:
    """A cancelled call is cancelled, in the queue and in flight."""
    async with Emulator(latency=30) as exchange, Session(base_url=exchange.url) as session:
        tasks = [asyncio.create_task(session.call(BALANCE, exchange.credentials)) for _ in range(8)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

        assert [True] * 8 == [task.cancelled() for task in tasks]
        assert "0 calls in flight" in repr(session)


# Transport.


async def test_nothing_listens() -> None:
    """A refused connection says so and what to check."""
    async with Emulator() as exchange:
        url = exchange.url

    async with Session(base_url=url) as session:
        with pytest.raises(TransportError, match="Cannot connect") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert caught.value.hint is not None
    assert str(BALANCE) == caught.value.endpoint
    assert caught.value.__cause__ is None is caught.value.__context__


async def test_aiohttps_hidden_resend_takes_a_lease_and_a_fresh_signature() -> None:
    """A GET on a dead keep-alive connection is sent twice, so it is limited and signed twice."""
    seen: list[str] = []
    answered = b'{"code":"0","data":[],"msg":""}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        # Each connection answers once, and dies when it is used again.
        for number in range(2):
            with contextlib.suppress(asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                seen.append(head.decode().split("OK-ACCESS-SIGN: ")[1].split("\r\n")[0])
                if number == 0:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answered), answered))
                await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()

    connections: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    limiter = InstantLimiter()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Session(base_url=url, limiter=limiter) as session:
        await session.call(BALANCE, CREDENTIALS)
        await asyncio.sleep(0.02)
        await session.call(BALANCE, CREDENTIALS)
    await asyncio.gather(*filter(None, connections))

    assert ["acquire", "answered", "acquire", "abandoned", "acquire", "answered"] == limiter.events
    assert 3 == len(seen) == len(set(seen))


async def test_a_redirect_is_not_followed() -> None:
    """It would carry the signature away; it is named instead."""
    seen = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with serving(elsewhere) as url, Session(base_url=url) as session:
        with pytest.raises(Rejected, match="Redirects") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert (None, 307) == (caught.value.code, caught.value.status)
    assert [BALANCE.path] == seen


async def test_an_answer_without_end_is_cut_off() -> None:
    """No more than a mebibyte is read, and the connection is not used again."""

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65536)
        return response

    async with serving(flood) as url, Session(base_url=url) as session:
        with pytest.raises(OKXError, match="longer than") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert 200 == caught.value.status


async def test_an_answer_that_is_cut_off_is_no_answer() -> None:
    """Half an answer is a `TransportError`, and its slot is counted from its head."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"code":"0"')
        assert request.transport is not None
        request.transport.abort()
        return response

    limiter = InstantLimiter()
    async with serving(cut) as url, Session(base_url=url, limiter=limiter) as session:
        with pytest.raises(TransportError):
            await session.call(BALANCE, CREDENTIALS)

    assert "answered" == limiter.events[-1]


async def test_the_user_agent_is_our_own(exchange: Emulator) -> None:
    """With the version, in a session of our own and in a borrowed one."""
    agents = []

    async def note(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.json_response({"code": "0", "data": []})

    async with serving(note) as url, aiohttp.ClientSession() as http:
        for session in (Session(base_url=url), Session(base_url=url, http=http)):
            async with session:
                await session.call(BALANCE, CREDENTIALS)

    assert ["okx-sol-async/0.1.0"] * 2 == agents


# The life of a session.


async def test_a_borrowed_session_is_never_closed(exchange: Emulator) -> None:
    """It may have other uses, and its own settings do not reach our calls."""
    async with aiohttp.ClientSession(
        raise_for_status=True, timeout=aiohttp.ClientTimeout(total=0.001), headers={"OK-ACCESS-KEY": "theirs"}
    ) as http:
        async with Session(base_url=exchange.url, http=http) as session:
            assert EXPECTED == await session.call(BALANCE, exchange.credentials)

        assert not http.closed


async def test_a_borrowed_session_that_was_closed_is_named(exchange: Emulator) -> None:
    """Before anything is sent."""
    http = aiohttp.ClientSession()
    await http.close()

    async with Session(base_url=exchange.url, http=http) as session:
        with pytest.raises(ConfigurationError, match="passed as http is closed"):
            await session.call(BALANCE, exchange.credentials)


async def test_middlewares_run_outside_the_limit_outermost_first(exchange: Emulator) -> None:
    """They see a call before it is signed, in the order in which they were given."""
    seen: list[object] = []

    def watching(name: str) -> ClientMiddlewareType:
        async def watch(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
            seen.append((name, "OK-ACCESS-SIGN" in request.headers, len(limiter.events)))
            return await handler(request)

        return watch

    limiter = InstantLimiter()
    async with Session(
        base_url=exchange.url, limiter=limiter, middlewares=[watching("outer"), watching("inner")]
    ) as session:
        await session.call(BALANCE, exchange.credentials)

    assert [("outer", False, 0), ("inner", False, 0)] == seen


async def test_a_middleware_may_read_the_answer(exchange: Emulator) -> None:
    """Aiohttp keeps what was read, and so it is there for the call."""

    async def read(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        seen.append(await response.json())
        return response

    seen: list[dict[str, object]] = []
    async with Session(base_url=exchange.url, middlewares=[read]) as session:
        assert EXPECTED == await session.call(BALANCE, exchange.credentials)

    assert "0" == seen[0]["code"]


async def test_a_middleware_may_wait_before_it_sends_again() -> None:
    """Its wait is neither on the wire nor in the queue."""

    async def again(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            await asyncio.sleep(0.4)
            return await handler(request)

    async def cut_twice(request: web.Request) -> web.Response:
        seen.append(request.path)
        if len(seen) <= 2:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"code": "0", "data": []})

    seen: list[str] = []
    async with serving(cut_twice) as url, Session(base_url=url, middlewares=[again], timeout=0.3) as session:
        assert 0 == (await session.call(BALANCE, CREDENTIALS)).amt


async def test_a_middleware_that_swallows_a_cancellation_leaves_the_task_as_it_was() -> None:
    """The time of the next attempt still counts, and the task of the caller is not left cancelled."""

    async def stubborn(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except asyncio.CancelledError:
            return await handler(request)

    async with (
        Emulator(latency=30) as exchange,
        Session(base_url=exchange.url, middlewares=[stubborn], timeout=0.1, attempts=1) as session,
    ):
        began = now()
        with pytest.raises(Timeout):
            await session.call(BALANCE, exchange.credentials)

    assert now() - began < 2
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_nothing_is_sent_once_the_session_closes() -> None:
    """Not even by a middleware that takes the end of its call for a reason to send again."""

    async def stubborn(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except (asyncio.CancelledError, SessionClosed):
            return await handler(request)

    limiter = InstantLimiter()
    async with Emulator(latency=0.5) as exchange:
        session = Session(base_url=exchange.url, middlewares=[stubborn], limiter=limiter)
        task = asyncio.create_task(session.call(BALANCE, exchange.credentials))
        await asyncio.sleep(0.05)
        await session.aclose()
        with pytest.raises(SessionClosed, match="closed during"):
            await task

    assert ["acquire", "abandoned"] == limiter.events
    assert exchange.tally().received <= 1


async def test_closing_twice_at_once_waits_once() -> None:
    """Both wait for the same calls."""
    async with Emulator(latency=30) as exchange:
        session = Session(base_url=exchange.url)
        task = asyncio.create_task(session.call(BALANCE, exchange.credentials))
        await asyncio.sleep(0.05)
        began = now()
        await asyncio.gather(session.aclose(), session.aclose())

        assert now() - began < 0.9
        with pytest.raises(SessionClosed):
            await task


async def test_a_closed_session_refuses_calls(exchange: Emulator) -> None:
    """With a clear error, and closing again does nothing."""
    session = Session(base_url=exchange.url)
    await session.call(BALANCE, exchange.credentials)
    await session.aclose()
    await session.aclose()

    with pytest.raises(SessionClosed, match="this session is closed"):
        await session.call(BALANCE, exchange.credentials)

    assert "closed" in repr(session)


async def test_calls_in_flight_end_when_the_session_closes() -> None:
    """In the queue and on the wire, each with a clear error, and nothing is sent afterwards."""
    async with Emulator(latency=30) as exchange:
        session = Session(base_url=exchange.url)
        tasks = [asyncio.create_task(session.call(BALANCE, exchange.credentials)) for _ in range(9)]
        await asyncio.sleep(0.05)
        began = now()
        await session.aclose()
        ended = [task.done() for task in tasks]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert now() - began < 0.9
    assert [True] * 9 == ended
    assert [SessionClosed] * 9 == [type(outcome) for outcome in outcomes]
    assert "closed during the call" in str(outcomes[0])


async def test_a_session_closes_after_an_error(exchange: Emulator) -> None:
    """What it opened is closed, once."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it must be raised inside the session
        async with Session(base_url=exchange.url) as session:
            await session.call(BALANCE, exchange.credentials)
            http = session._connections._reads
            raise ZeroDivisionError

    assert http is not None
    assert http.closed


def test_a_session_belongs_to_one_event_loop(background_exchange: Emulator) -> None:
    """A second loop is refused by name, not by a crash inside aiohttp."""
    exchange = background_exchange
    session = Session(base_url=exchange.url)

    async def use() -> None:
        await session.call(BALANCE, exchange.credentials)

    with asyncio.Runner() as first:
        first.run(use())
        with asyncio.Runner() as second, pytest.raises(ConfigurationError, match="another event loop"):
            second.run(use())
        first.run(session.aclose())


async def test_credentials_are_needed_where_they_are(session: Session) -> None:
    """A signed endpoint without a key is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="needs credentials"):
        await session.call(BALANCE)


async def test_staking_closes_only_a_session_of_its_own(exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared session stays open; one that `SolStaking` made is closed with it."""
    async with Session(base_url=exchange.url) as session:
        async with SolStaking(exchange.credentials, session) as staking:
            await staking.balance()

        assert EXPECTED == await session.call(BALANCE, exchange.credentials)

    for name in ("api_key", "secret_key", "passphrase"):
        monkeypatch.setenv(f"OKX_{name.upper()}", getattr(exchange.credentials, name))
    monkeypatch.setenv("OKX_BASE_URL", exchange.url)
    async with SolStaking.from_env() as staking:
        assert EXPECTED == await staking.balance()

    with pytest.raises(SessionClosed, match="closed"):
        await staking.balance()


# Settings.


@pytest.mark.parametrize(
    ("base_url", "problem"),
    [
        ("http://openapi.okx.com", "https"),
        ("http://10.0.0.1:8080", "https"),
        ("http://127.0.0.1.example.com", "https"),
        ("http://localhost.example.com", "https"),
        ("openapi.okx.com", "URL"),
        ("ftp://openapi.okx.com", "URL"),
        ("https://", "URL"),
        ("", "URL"),
        (5, "URL"),
        ("https://host:port", "URL"),
        ("https://user:hunter2@openapi.okx.com", "user"),
        ("https://openapi.okx.com/api/v5", "end after the host"),
        ("https://openapi.okx.com/?a=b", "end after the host"),
        ("https://openapi.okx.com.", "dot"),
        (f"https://{'a' * 64}.okx.com", "URL"),
        ("https://openapi..com", "URL"),
        ("https://xn--a.okx.com", "URL"),
        ("https://okx.com:99999", "URL"),
    ],
)
def test_a_base_url_that_would_leak_or_break_is_refused(base_url: object, problem: str) -> None:
    """Signatures go over https, except to this very machine."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Session(base_url=base_url)  # type: ignore[arg-type]

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://openapi.okx.com",
        "https://openapi.okx.com/",
        "http://127.0.0.1:1",
        "http://127.9.9.9",
        "http://[::1]:1",
        "http://localhost:1",
        "HTTP://LocalHost:1",
    ],
)
def test_a_base_url_may_be_any_https_host_or_this_machine(base_url: str) -> None:
    """Loopback addresses are where emulators live."""
    Session(base_url=base_url)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"region": "eea"}, "region"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "10"}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": float("nan")}, "max_wait"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"http": "x"}, "http"),
        ({"limiter": 5}, "limiter"),
        ({"middlewares": None}, "middlewares"),
        ({"observe": 5}, "observe"),
        ({"middlewares": ["x"]}, "middlewares"),
    ],
)
def test_settings_are_checked(arguments: dict[str, object], field: str) -> None:
    """A setting that means nothing is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"{field} must "):
        Session(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, {}, "https://openapi.okx.com"),
        ({"OKX_REGION": "eea"}, {}, "https://eea.okx.com"),
        ({"OKX_REGION": "US", "OKX_DEMO": "1"}, {}, "https://us.okx.com, demo"),
        ({"OKX_REGION": "US"}, {"region": Region.EEA}, "https://eea.okx.com"),
        ({"OKX_BASE_URL": "http://127.0.0.1:5"}, {}, "http://127.0.0.1:5"),
        ({"OKX_BASE_URL": "http://127.0.0.1:5"}, {"region": Region.US}, "https://us.okx.com"),
        ({"OKX_BASE_URL": "", "OKX_DEMO": "0"}, {"base_url": "http://127.0.0.1:6"}, "http://127.0.0.1:6"),
        ({"OKX_DEMO": "true"}, {"demo": False}, "https://openapi.okx.com"),
    ],
)
def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: dict[str, object],
    expected: str,
) -> None:
    """What is given wins over the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert f"<Session {expected}, 0 calls in flight>" == repr(Session.from_env(**arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("OKX_REGION", "mars"), ("OKX_DEMO", "maybe"), ("OKX_BASE_URL", "x")])
def test_a_bad_setting_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The error names the variable, or the argument that it stands for."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"{name}|{name.removeprefix('OKX_').lower()}"):
        Session.from_env()


async def test_nothing_is_logged_when_all_is_well(
    exchange: Emulator, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """The library is silent by default."""
    with caplog.at_level(logging.INFO, logger="okx_sol_async"):
        await session.call(BALANCE, exchange.credentials)

    assert [] == [record for record in caplog.records if record.name.startswith("okx_sol_async")]


async def test_at_debug_each_call_is_one_structured_line(
    exchange: Emulator, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """What became of it, and its seconds in the queue and on the wire."""
    with caplog.at_level(logging.DEBUG, logger="okx_sol_async"):
        await session.call(BALANCE, exchange.credentials)
        with pytest.raises(AuthenticationError):
            await session.call(BALANCE, CREDENTIALS)

    told = [vars(record) for record in caplog.records if record.name == "okx_sol_async"]
    assert ["answered", "AuthenticationError"] == [record["outcome"] for record in told]
    assert {(str(BALANCE), 1, 0)} == {(record["endpoint"], record["sends"], record["refusals"]) for record in told}


async def test_a_refusal_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody should find out what else spends the limit. It is said once for each call."""
    foreign = Foreign(refusals=3)
    async with serving(foreign.handle) as url, Session(base_url=url, limiter=InstantLimiter()) as session:
        await session.call(BALANCE, CREDENTIALS)

    told = [record for record in caplog.records if record.name == "okx_sol_async"]
    [record] = [record for record in told if record.levelno > logging.INFO]
    assert "WARNING" == record.levelname
    assert "other calls spend the same limit" in record.getMessage()


async def test_a_session_counts_what_it_sees() -> None:
    """Calls, waits, refusals and resends."""
    foreign = Foreign(refusals=1)
    async with serving(foreign.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        assert Counters() == session.counters

        await asyncio.gather(*(session.call(BALANCE, CREDENTIALS) for _ in range(3)))
        counted = session.counters

    assert (3, 1, 1) == (counted.calls, counted.refusals, counted.resends)
    assert counted.waits >= 1
    counted.calls = 0
    assert 3 == session.counters.calls


async def test_an_onlooker_is_told_of_each_call(exchange: Emulator) -> None:
    """Whatever became of it."""
    reports: list[CallReport] = []
    async with Session(base_url=exchange.url, observe=reports.append) as session:
        await session.call(BALANCE, exchange.credentials)
        with pytest.raises(AuthenticationError) as caught:
            await session.call(BALANCE, CREDENTIALS)
        task = asyncio.create_task(session.call(BALANCE, exchange.credentials))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    answered, refused, cancelled = reports
    assert (str(BALANCE), 1, 0, None, False) == (
        answered.endpoint,
        answered.sends,
        answered.refusals,
        answered.error,
        answered.cancelled,
    )
    assert answered.took > 0
    assert caught.value is refused.error
    assert (None, True) == (cancelled.error, cancelled.cancelled)


async def test_an_onlooker_that_fails_does_no_harm(exchange: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged, and the caller has its balance."""

    def fail(report: CallReport) -> None:
        raise ZeroDivisionError

    async with Session(base_url=exchange.url, observe=fail) as session:
        assert EXPECTED == await session.call(BALANCE, exchange.credentials)

    assert "observe raised an error" in caplog.text


async def test_a_bucket_can_be_looked_at(exchange: Emulator, session: Session) -> None:
    """With the limiter of this package it tells its free tokens."""
    await session.call(BALANCE, exchange.credentials)

    bucket = session.bucket(BALANCE, exchange.credentials)

    assert isinstance(bucket, TokenBucket)
    assert 5 == bucket.free
    with pytest.raises(ConfigurationError, match="needs credentials"):
        session.bucket(BALANCE)


# Whose key it is.


async def test_keys_of_one_user_share_a_limit_once_they_are_identified(exchange: Emulator) -> None:
    """Two keys without a label are two users until they are looked up, and then never refused."""
    keys = [exchange.credentials, exchange.user.add_key()]
    unlabelled = [Credentials(key.api_key, key.secret_key, key.passphrase) for key in keys]
    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        users = [SolStaking(credentials, session) for credentials in unlabelled]
        assert [exchange.user.uid] * 2 == [await user.identify() for user in users]

        await asyncio.gather(*(user.balance() for user in users * 4), session.call(BALANCE, unlabelled[0]))

    assert 0 == exchange.tally().refused
    assert 6 == exchange.most_within(1.0, endpoint=str(BALANCE))


async def test_identifying_keeps_history_and_order(exchange: Emulator) -> None:
    """Calls that wait while their keys turn out to be one user leave in the order in which they came."""
    one = Credentials(exchange.credentials.api_key, exchange.credentials.secret_key, exchange.credentials.passphrase)
    order: list[int] = []

    async def call(session: Session, number: int) -> None:
        await session.call(BALANCE, one if number % 2 else exchange.credentials)
        order.append(number)

    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        # Three of each leave at once; the rest wait in two queues.
        calls = [asyncio.create_task(call(session, number)) for number in range(6)]
        await asyncio.gather(*calls)
        assert exchange.credentials == await session.identify(one)
        await asyncio.gather(*(call(session, number) for number in range(6, 14)))

    assert list(range(14)) == sorted(order)
    assert 0 == exchange.tally(endpoint=str(BALANCE)).refused


async def test_a_limiter_of_ones_own_need_not_merge(exchange: Emulator) -> None:
    """`identify` tells the user all the same."""
    async with Session(base_url=exchange.url, limiter=InstantLimiter()) as session:
        known = await session.identify(exchange.credentials)

    assert exchange.user.uid == known.user_id
