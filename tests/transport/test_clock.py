"""A clock that is off is healed unseen; a `Date` that lies breaks nothing."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async import (
    BALANCE,
    CallReport,
    ClockSkew,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    PermissionDenied,
    Session,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import DateHeader, Refusal
from okx_sol_async.endpoint import SYSTEM_TIME
from okx_sol_async.transport import clock_sync
from okx_sol_async.transport.clock import TOLERANCE, RoundTrip, ServerClock
from tests.support.serving import serving
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1")
ROW = {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "0", "totalInterestAccrual": "0"}
NOW = 1_700_000_000.0
TIME = "/api/v5/public/time"


@pytest.fixture(autouse=True)
def _clocks_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clocks of this machine stand on that of the loop, where no machine is slow."""
    monkeypatch.setattr(ServerClock.__init__, "__defaults__", (wall, now))


@pytest.fixture(name="new_york")
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def wall() -> float:
    return NOW + now()


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


class Exchange:
    """A server with a clock of its own, and a `Date` that follows it, lies, or is missing."""

    def __init__(self, off: float, date_off: float | None = 0.0) -> None:
        self.off = off
        #: What `Date` is off this server's own clock; `None` for no `Date` at all.
        self.date_off = date_off
        #: Headers of its answers besides.
        self.headers: dict[str, str] = {}
        self.paths: list[str] = []
        self.refuse_always = False
        self.tells_time = True
        #: What each signed request was ahead of the clock of this machine, in seconds.
        self.signed_ahead: list[float] = []
        #: How long each answer on the time takes, one after the other, on its way back.
        self.delays: list[float] = []

    def now(self) -> float:
        return wall() + self.off

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path)
        status, answer = 200, {"code": "0", "msg": "", "data": [ROW]}
        if request.path == TIME and not self.tells_time:
            # Long enough that many calls need it meanwhile.
            await asyncio.sleep(0.1)
            status, answer = 400, {"code": "50000", "msg": "no"}
        elif request.path == TIME:
            answer = {"code": "0", "msg": "", "data": [{"ts": str(int(self.now() * 1000))}]}
            await asyncio.sleep(self.delays.pop(0) if self.delays else 0)
        else:
            signed = datetime.fromisoformat(request.headers["OK-ACCESS-TIMESTAMP"]).timestamp()
            self.signed_ahead.append(signed - wall())
            if abs(self.now() - signed) > TOLERANCE or self.refuse_always:
                status, answer = 401, {"code": "50102", "msg": "Timestamp request expired"}
        response = web.Response(status=status, body=json.dumps(answer).encode(), content_type="application/json")
        if self.date_off is not None:
            response.headers["Date"] = http_date(self.now() + self.date_off)
        else:
            response.headers["Date"] = "soon"
        if request.path != TIME:
            response.headers.update(self.headers)
        return response

    @property
    def signed(self) -> int:
        return len(self.paths) - self.paths.count(TIME)


@asynccontextmanager
async def session_of(exchange: Exchange) -> AsyncIterator[Session]:
    async with serving(exchange.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        yield session


@pytest.mark.parametrize("off", [45.0, -45.0, 600.0, -600.0, -840.0, 3600.0, 86_400.0])
async def test_a_clock_that_is_off_is_healed_by_the_first_call(off: float) -> None:
    """One refusal, one call that is signed again, and none for those that follow; `Date` tells without asking."""
    exchange = Exchange(off)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        assert [BALANCE.path] * 2 == exchange.paths
        await session.call(BALANCE, CREDENTIALS)

        assert 3 == exchange.signed
        assert session.clock_offset == pytest.approx(off, abs=0.6)


@pytest.mark.parametrize("date_off", [None, -45.0], ids=["no Date", "a Date of this machine"])
async def test_where_date_does_not_help_okx_is_asked(date_off: float | None) -> None:
    """`Date` is missing, or is written by something with the clock of this machine."""
    exchange = Exchange(45.0, date_off)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        await session.call(BALANCE, CREDENTIALS)

    assert [BALANCE.path, TIME, BALANCE.path, BALANCE.path] == exchange.paths


# As in the tests of the AWS SDKs: what an answer may tell beside a time that is of use.
USELESS = {
    "the end of all time": {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"},
    "the beginning of all time": {"Date": "Mon, 01 Jan 0001 00:00:00 GMT"},
    "no date": {"Date": "X"},
    "out of a cache": {"Date": http_date(NOW), "Age": "86400"},
    "out of a cache at once": {"Date": http_date(NOW), "Age": "0"},
}


@pytest.mark.parametrize("headers", USELESS.values(), ids=USELESS)
async def test_a_date_that_cannot_be_okxs_time_is_not_signed_by(headers: dict[str, str]) -> None:
    """OKX is asked instead, so the first call is healed all the same."""
    exchange = Exchange(3600.0)
    exchange.headers = headers
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        assert session.clock_offset == pytest.approx(3600.0, abs=1.5)
        await session.call(BALANCE, CREDENTIALS)

    assert [BALANCE.path, TIME, BALANCE.path, BALANCE.path] == exchange.paths


WITHOUT_ZONE = {
    "asctime": "%a %b %d %H:%M:%S %Y",
    "no zone": "%a, %d %b %Y %H:%M:%S",
    "-0000": "%d %b %Y %H:%M:%S -0000",
}


@pytest.mark.parametrize("form", WITHOUT_ZONE.values(), ids=WITHOUT_ZONE)
async def test_a_date_without_a_zone_is_that_of_greenwich(form: str, new_york: None) -> None:
    """One of HTTP's three forms names no zone, and it is never that of this machine."""
    exchange = Exchange(600.0)
    async with session_of(exchange) as session:
        exchange.headers = {"Date": time.strftime(form, time.gmtime(exchange.now()))}
        await session.call(BALANCE, CREDENTIALS)
        assert session.clock_offset == pytest.approx(600.0, abs=1.5)

    assert [BALANCE.path, BALANCE.path] == exchange.paths


async def test_of_several_slow_answers_the_soonest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """OKX is asked up to three times while it is slow, and the middle of the shortest way is taken."""
    monkeypatch.setattr(clock_sync, "QUICK", 0.01)
    exchange = Exchange(45.0, None)
    exchange.delays = [0.4, 0.02, 0.2]
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)

        assert session.clock_offset == pytest.approx(45.0 - 0.01, abs=0.04)
    assert [BALANCE.path, TIME, TIME, TIME, BALANCE.path] == exchange.paths


@pytest.mark.parametrize("off", [10.0, 20.0, -28.0])
async def test_how_far_a_clock_is_off_that_okx_accepts(off: float) -> None:
    """It is told, and signed by as it is."""
    exchange = Exchange(off)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)

        assert session.clock_offset == pytest.approx(off, abs=0.6)
    assert [BALANCE.path] == exchange.paths


@pytest.mark.parametrize("off", [3.0, 10.0, -10.0, 20.0, -28.0])
async def test_a_clock_that_was_never_corrected_is_that_of_this_machine(off: float) -> None:
    """What OKX accepts is signed by this machine's clock, whatever `Date` says, call after call."""
    exchange = Exchange(off)
    async with session_of(exchange) as session:
        for _ in range(4):
            await session.call(BALANCE, CREDENTIALS)
            # Each response has another `Date` then.
            await asyncio.sleep(1.5)

    assert [0.0] * 4 == pytest.approx(exchange.signed_ahead, abs=0.1)


@pytest.mark.parametrize("drift", [5.0, -5.0, 12.0])
async def test_a_clock_that_was_corrected_follows_date(drift: float) -> None:
    """Once it is OKX's clock, it stays OKX's clock: a `Date` that is near is followed."""
    exchange = Exchange(600.0)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        exchange.off += drift
        for _ in range(2):
            await asyncio.sleep(1.5)
            await session.call(BALANCE, CREDENTIALS)

    assert 4 == exchange.signed
    assert exchange.signed_ahead[-1] == pytest.approx(600.0 + drift, abs=0.7)


async def test_clocks_that_agree_need_no_synchronising() -> None:
    """A refusal that has another cause does not send anybody to set a clock that is right."""
    exchange = Exchange(0.0)
    exchange.refuse_always = True
    async with session_of(exchange) as session:
        with pytest.raises(ClockSkew, match="The clocks agree") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert "synchronise" not in str(caught.value)


@pytest.mark.parametrize("date_off", [29.0, -29.0, 45.0, -3600.0, 1e9])
async def test_a_date_that_lies_breaks_no_good_clock(date_off: float) -> None:
    """What OKX accepts stays as it is."""
    exchange = Exchange(0.0, date_off)
    async with session_of(exchange) as session:
        for _ in range(5):
            await session.call(BALANCE, CREDENTIALS)

    assert [BALANCE.path] * 5 == exchange.paths


@pytest.mark.parametrize("date_off", [555.0, -600.0])
async def test_a_date_that_lies_about_a_wrong_clock_is_found_out(date_off: float) -> None:
    """A correction by such a Date is refused too; then OKX is asked for its time, and the same call succeeds."""
    exchange = Exchange(45.0, date_off)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        await session.call(BALANCE, CREDENTIALS)

        assert session.clock_offset == pytest.approx(45.0, abs=0.6)

    assert [BALANCE.path, BALANCE.path, TIME, BALANCE.path, BALANCE.path] == exchange.paths


async def test_a_date_that_begins_to_lie_breaks_no_healed_clock() -> None:
    """After a correction, too."""
    exchange = Exchange(600.0)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        exchange.date_off = -600.0
        for _ in range(3):
            await session.call(BALANCE, CREDENTIALS)

    assert 5 == exchange.signed


async def test_a_jump_is_healed_again() -> None:
    """One more refusal, one more correction."""
    exchange = Exchange(600.0)
    async with session_of(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        exchange.off = -120.0
        await session.call(BALANCE, CREDENTIALS)
        await session.call(BALANCE, CREDENTIALS)

    assert 5 == exchange.signed


async def test_many_calls_share_one_correction() -> None:
    """Each call that was signed by the old clock is refused once, and OKX is asked once."""
    exchange = Exchange(45.0, None)
    keys = [Credentials(f"key-{number}", "secret-secret", "passphrase") for number in range(20)]
    async with session_of(exchange) as session:
        await asyncio.gather(*(session.call(BALANCE, key) for key in keys))

    assert 1 == exchange.paths.count(TIME)
    assert 20 <= exchange.signed <= 40


async def test_many_calls_share_one_failure_to_learn_the_time() -> None:
    """None of them asks again, one after the other, what the first one was not told."""
    exchange = Exchange(45.0, None)
    exchange.tells_time = False
    keys = [Credentials(f"key-{number}", "secret-secret", "passphrase") for number in range(20)]
    async with session_of(exchange) as session:
        outcomes = await asyncio.gather(*(session.call(BALANCE, key) for key in keys), return_exceptions=True)

    assert {ClockSkew} == {type(outcome) for outcome in outcomes}
    assert 1 == exchange.paths.count(TIME)


async def test_an_exchange_that_refuses_to_tell_its_time_holds_nothing_up() -> None:
    """Its 50102 is for no timestamp, because nothing was signed, so there is nothing to sign again."""

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        paths.append(request.path)
        body = b'{"code":"50102","msg":"Timestamp request expired"}'
        return web.Response(status=401, body=body, headers={"Date": "soon"})

    paths: list[str] = []
    async with serving(refuse) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        async with asyncio.timeout(5):
            with pytest.raises(ClockSkew):
                await session.call(BALANCE, CREDENTIALS)

    assert [BALANCE.path, TIME, BALANCE.path] == paths


async def test_what_cannot_be_healed_says_how_far_the_clocks_are_apart() -> None:
    """An exchange that refuses every timestamp is asked twice, and the error tells the difference."""
    exchange = Exchange(600.0)
    exchange.refuse_always = True
    async with session_of(exchange) as session:
        with pytest.raises(ClockSkew, match=r"(599|600)\.\d s behind OKX's") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert 2 == exchange.signed
    assert 2 == caught.value.attempts


@pytest.mark.parametrize("tells", [True, False])
async def test_asking_for_the_time_is_a_call_that_is_counted_and_told(tells: bool) -> None:  # noqa: FBT001
    """An operator sees each call that goes out, also those that heal another, and what became of them."""
    reports: list[CallReport] = []
    async with (
        Emulator(now=lambda: time.time() + 600) as exchange,
        Session(base_url=exchange.url, limiter=LocalLimiter(), observe=reports.append) as session,
    ):
        exchange.fail_next(DateHeader(None), times=None, endpoint=str(BALANCE))
        if not tells:
            exchange.fail_next(Refusal("50030"), times=None, endpoint=str(SYSTEM_TIME))
        with contextlib.nullcontext() if tells else pytest.raises(ClockSkew):
            await session.call(BALANCE, exchange.credentials)

        assert len(exchange.calls) == sum(report.sends for report in reports)
        assert len(reports) == session.counters.calls

    assert [str(SYSTEM_TIME), str(BALANCE)] == [report.endpoint for report in reports]
    assert [None if tells else PermissionDenied, None if tells else ClockSkew] == [
        None if report.error is None else type(report.error) for report in reports
    ]


async def test_the_clock_can_be_synchronised_beforehand() -> None:
    """Then the first call is right."""
    exchange = Exchange(600.0)
    async with session_of(exchange) as session:
        assert session.clock_offset is None
        assert await session.synchronize_clock(samples=3) == pytest.approx(600.0, abs=0.2)
        await session.call(BALANCE, CREDENTIALS)
        with pytest.raises(ConfigurationError, match="samples"):
            await session.synchronize_clock(0)

    assert 1 == exchange.signed
    assert 3 == exchange.paths.count(TIME)


class Machine:
    """Two clocks that a test moves."""

    def __init__(self, wall: float = NOW, steady: float = 1000.0) -> None:
        self.wall, self.steady = wall, steady

    def clock(self) -> ServerClock:
        return ServerClock(lambda: self.wall, lambda: self.steady)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def exchange_of(machine: Machine, took: float) -> RoundTrip:
    sent = machine.steady
    machine.pass_(took)
    return RoundTrip(sent, machine.steady)


def test_setting_the_clock_of_the_machine_moves_nothing() -> None:
    """Once OKX's time is known, it runs on by itself."""
    machine = Machine()
    clock = machine.clock()
    clock.correct_by_time(NOW + 600, exchange_of(machine, 0.0))
    machine.wall -= 3600
    machine.pass_(10)

    assert clock.now() == pytest.approx(NOW + 610)
    assert clock.offset == pytest.approx(600 + 3600)


@given(
    off=st.floats(-86_400, 86_400).filter(lambda off: abs(off) > TOLERANCE),
    ways=st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.1, 5)), min_size=1, max_size=30),
)
def test_many_dates_narrow_the_difference(off: float, ways: list[tuple[float, float, float]]) -> None:
    """Whatever the ways take, OKX's real time stays within what was learnt: a second and a whole way at most."""
    machine = Machine()
    clock = machine.clock()
    for number, (there, back, pause) in enumerate(ways):
        signed_at, sent = clock.now(), machine.steady
        machine.pass_(there)
        date = http_date(machine.wall + off)
        machine.pass_(back)
        times = RoundTrip(sent, machine.steady)
        if number == 0:
            assert clock.correct_by_date(date, signed_at, times)
        else:
            clock.note_date(date, times)
        assert abs(clock.now() - (machine.wall + off)) <= 1.0
        machine.pass_(pause)


DATES = ("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.parametrize(
    "date", ["", "soon", "Mon, 99 Foo 2026 99:99:99 GMT", "0", "Sun, 06 Nov 9999999 08:49:37 GMT", *DATES]
)
def test_a_date_that_is_none_tells_nothing(date: str) -> None:
    """It is passed over, wherever it comes."""
    machine = Machine()
    clock = machine.clock()
    times = exchange_of(machine, 0.1)
    clock.note_date(date, times)

    assert clock.offset is None
    assert not clock.correct_by_date(date, NOW, times)
    assert clock.now() == pytest.approx(machine.wall)


def test_a_call_that_was_long_on_its_way_says_nothing_of_the_clock() -> None:
    """Its timestamp was right when it was made, so it is only signed again."""
    machine = Machine()
    clock = machine.clock()
    times = exchange_of(machine, 40.0)

    assert clock.correct_by_date(http_date(machine.wall), NOW, times)
    assert clock.now() == pytest.approx(machine.wall)


def test_the_default_clock_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is known."""
    monkeypatch.undo()
    before = time.time()
    found = ServerClock().now()

    assert before - 0.01 <= found <= time.time() + 0.01
