"""A clock that is off is corrected unseen; a `Date` that lies breaks nothing."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
from aiohttp import web

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
from okx_sol_async.transport import _clock_sync as clock_sync
from okx_sol_async.transport._clock import RoundTrip, ServerClock
from tests.support.scripted import CREDENTIALS
from tests.support.serving import serving
from tests.support.skewed import NOW, TIME, SkewedServer, http_date, session_with

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("clocks_of_the_loop")]


@pytest.fixture(name="new_york")
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("off", [45.0, -45.0, 600.0, -600.0, -840.0, 3600.0, 86_400.0])
async def test_a_clock_that_is_off_is_healed_by_the_first_call(off: float) -> None:
    """One refusal, one call that is signed again, and none for the next ones; `Date` says it without asking."""
    exchange = SkewedServer(off)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        assert [BALANCE.path] * 2 == exchange.paths
        await session.call(BALANCE, CREDENTIALS)

        assert 3 == exchange.signed
        assert session.clock_offset == pytest.approx(off, abs=0.6)


@pytest.mark.parametrize("date_off", [None, -45.0], ids=["no Date", "a Date of this machine"])
async def test_where_date_does_not_help_okx_is_asked(date_off: float | None) -> None:
    """`Date` is missing, or is written by something with the clock of this machine."""
    exchange = SkewedServer(45.0, date_off)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        await session.call(BALANCE, CREDENTIALS)

    assert [BALANCE.path, TIME, BALANCE.path, BALANCE.path] == exchange.paths


# As in the tests of the AWS SDKs: what a response may hold beside a time that is of use.
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
    exchange = SkewedServer(3600.0)
    exchange.headers = headers
    async with session_with(exchange) as session:
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
    exchange = SkewedServer(600.0)
    async with session_with(exchange) as session:
        exchange.headers = {"Date": time.strftime(form, time.gmtime(exchange.now()))}
        await session.call(BALANCE, CREDENTIALS)
        assert session.clock_offset == pytest.approx(600.0, abs=1.5)

    assert [BALANCE.path, BALANCE.path] == exchange.paths


async def test_of_several_slow_responses_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """OKX is asked up to three times while it is slow, and the middle of the shortest way is taken."""
    monkeypatch.setattr(clock_sync, "QUICK", 0.01)
    exchange = SkewedServer(45.0, None)
    exchange.delays = [0.4, 0.02, 0.2]
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)

        assert session.clock_offset == pytest.approx(45.0 - 0.01, abs=0.04)
    assert [BALANCE.path, TIME, TIME, TIME, BALANCE.path] == exchange.paths


@pytest.mark.parametrize("off", [10.0, 20.0, -28.0])
async def test_how_far_a_clock_is_off_that_okx_accepts(off: float) -> None:
    """It is reported, and does not change the signatures."""
    exchange = SkewedServer(off)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)

        assert session.clock_offset == pytest.approx(off, abs=0.6)
    assert [BALANCE.path] == exchange.paths


@pytest.mark.parametrize("off", [3.0, 10.0, -10.0, 20.0, -28.0])
async def test_a_clock_that_was_never_corrected_is_that_of_this_machine(off: float) -> None:
    """What OKX accepts is signed by this machine's clock, whatever `Date` says, call after call."""
    exchange = SkewedServer(off)
    async with session_with(exchange) as session:
        for _ in range(4):
            await session.call(BALANCE, CREDENTIALS)
            # Each response has another `Date` then.
            await asyncio.sleep(1.5)

    assert [0.0] * 4 == pytest.approx(exchange.signed_ahead, abs=0.1)


@pytest.mark.parametrize("drift", [5.0, -5.0, 12.0])
async def test_a_clock_that_was_corrected_follows_date(drift: float) -> None:
    """Once it is OKX's clock, it stays OKX's clock: a `Date` that is near is followed."""
    exchange = SkewedServer(600.0)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        exchange.off += drift
        for _ in range(2):
            await asyncio.sleep(1.5)
            await session.call(BALANCE, CREDENTIALS)

    assert 4 == exchange.signed
    assert exchange.signed_ahead[-1] == pytest.approx(600.0 + drift, abs=0.7)


async def test_clocks_that_agree_need_no_synchronising() -> None:
    """A refusal that has another cause does not send anybody to set a clock that is right."""
    exchange = SkewedServer(0.0)
    exchange.refuse_always = True
    async with session_with(exchange) as session:
        with pytest.raises(ClockSkew, match="The clocks agree") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert "synchronise" not in str(caught.value)


@pytest.mark.parametrize("date_off", [29.0, -29.0, 45.0, -3600.0, 1e9])
async def test_a_date_that_lies_breaks_no_good_clock(date_off: float) -> None:
    """What OKX accepts stays as it is."""
    exchange = SkewedServer(0.0, date_off)
    async with session_with(exchange) as session:
        for _ in range(5):
            await session.call(BALANCE, CREDENTIALS)

    assert [BALANCE.path] * 5 == exchange.paths


@pytest.mark.parametrize("date_off", [555.0, -600.0])
async def test_a_date_that_lies_about_a_wrong_clock_is_found_out(date_off: float) -> None:
    """A correction by such a Date is refused too; then OKX is asked for its time, and the same call succeeds."""
    exchange = SkewedServer(45.0, date_off)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        await session.call(BALANCE, CREDENTIALS)

        assert session.clock_offset == pytest.approx(45.0, abs=0.6)

    assert [BALANCE.path, BALANCE.path, TIME, BALANCE.path, BALANCE.path] == exchange.paths


async def test_a_date_that_begins_to_lie_breaks_no_healed_clock() -> None:
    """After a correction, too."""
    exchange = SkewedServer(600.0)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        exchange.date_off = -600.0
        for _ in range(3):
            await session.call(BALANCE, CREDENTIALS)

    assert 5 == exchange.signed


async def test_a_jump_is_healed_again() -> None:
    """One more refusal, one more correction."""
    exchange = SkewedServer(600.0)
    async with session_with(exchange) as session:
        await session.call(BALANCE, CREDENTIALS)
        exchange.off = -120.0
        await session.call(BALANCE, CREDENTIALS)
        await session.call(BALANCE, CREDENTIALS)

    assert 5 == exchange.signed


async def test_many_calls_share_one_correction() -> None:
    """Each call that was signed by the old clock is refused once, and OKX is asked once."""
    exchange = SkewedServer(45.0, None)
    keys = [Credentials(f"key-{number}", "secret-secret", "passphrase") for number in range(20)]
    async with session_with(exchange) as session:
        await asyncio.gather(*(session.call(BALANCE, key) for key in keys))

    assert 1 == exchange.paths.count(TIME)
    assert 20 <= exchange.signed <= 40


async def test_many_calls_share_one_failure_to_learn_the_time() -> None:
    """None of them asks again, one after the other, what the first one did not learn."""
    exchange = SkewedServer(45.0, None)
    exchange.tells_time = False
    keys = [Credentials(f"key-{number}", "secret-secret", "passphrase") for number in range(20)]
    async with session_with(exchange) as session:
        outcomes = await asyncio.gather(*(session.call(BALANCE, key) for key in keys), return_exceptions=True)

    assert {ClockSkew} == {type(outcome) for outcome in outcomes}
    assert 1 == exchange.paths.count(TIME)


async def test_an_exchange_that_refuses_to_give_its_time_delays_no_call() -> None:
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
    """An exchange that refuses every timestamp is asked twice, and the error has the difference."""
    exchange = SkewedServer(600.0)
    exchange.refuse_always = True
    async with session_with(exchange) as session:
        with pytest.raises(ClockSkew, match=r"(599|600)\.\d s behind OKX's") as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert 2 == exchange.signed
    assert 2 == caught.value.attempts


@pytest.mark.parametrize("responds", [True, False])
async def test_asking_for_the_time_is_a_call_that_is_counted_and_reported(responds: bool) -> None:  # noqa: FBT001
    """An operator sees each call that goes out, also those that heal another, and what became of them."""
    reports: list[CallReport] = []
    async with (
        Emulator(now=lambda: time.time() + 600) as exchange,
        Session(base_url=exchange.url, limiter=LocalLimiter(), observe=reports.append) as session,
    ):
        exchange.fail_next(DateHeader(None), times=None, endpoint=str(BALANCE))
        if not responds:
            exchange.fail_next(Refusal("50030"), times=None, endpoint=str(SYSTEM_TIME))
        with contextlib.nullcontext() if responds else pytest.raises(ClockSkew):
            await session.call(BALANCE, exchange.credentials)

        assert len(exchange.calls) == sum(report.sends for report in reports)
        assert len(reports) == session.counters.calls

    assert [str(SYSTEM_TIME), str(BALANCE)] == [report.endpoint for report in reports]
    assert [None if responds else PermissionDenied, None if responds else ClockSkew] == [
        None if report.error is None else type(report.error) for report in reports
    ]


async def test_the_clock_can_be_synchronised_beforehand() -> None:
    """Then the first call is right."""
    exchange = SkewedServer(600.0)
    async with session_with(exchange) as session:
        assert session.clock_offset is None
        assert await session.synchronize_clock(samples=3) == pytest.approx(600.0, abs=0.2)
        await session.call(BALANCE, CREDENTIALS)
        with pytest.raises(ConfigurationError, match="samples"):
            await session.synchronize_clock(0)

    assert 1 == exchange.signed
    assert 3 == exchange.paths.count(TIME)


@pytest.mark.parametrize(("took", "asked"), [([0.25], 1), ([0.3, 0.25], 2), ([0.3, 0.251, 0.28], 3)])
async def test_how_often_okx_is_asked_for_its_time(took: list[float], asked: int) -> None:
    """Until a response takes a quarter of a second at most, three times in all; the fastest one counts."""
    samples = [clock_sync.TimeSample(NOW + number, RoundTrip(0.0, seconds)) for number, seconds in enumerate(took)]
    left = iter(samples)

    async def ask() -> clock_sync.TimeSample:
        return next(left)

    clock = ServerClock(lambda: NOW, lambda: 0.0)
    refused = clock_sync.RefusedTimestamp(NOW - 60, None, RoundTrip(-1.0, -0.5))
    synchronizer = clock_sync.ClockSynchronizer(clock)
    await synchronizer.correct(refused, ask, trust_date=False)

    assert asked == len(samples) - len(list(left))
    best = min(samples, key=lambda sample: sample.times.took)
    assert best.seconds - best.times.took / 2 == pytest.approx(clock.now())


async def test_calls_that_were_refused_together_ask_once() -> None:
    """Also where OKX's time does not explain the refusals: it would say the same again."""
    asked = 0

    async def ask() -> clock_sync.TimeSample:
        nonlocal asked
        asked += 1
        return clock_sync.TimeSample(NOW, RoundTrip(0.0, 0.0))

    synchronizer = clock_sync.ClockSynchronizer(ServerClock(lambda: NOW, lambda: 0.0))
    refused = clock_sync.RefusedTimestamp(NOW, None, RoundTrip(-1.0, -0.5))
    found = [await synchronizer.correct(refused, ask, trust_date=False) for _ in range(2)]

    assert ([clock_sync.Correction.NONE] * 2, 1) == (found, asked)


async def test_of_equally_fast_responses_the_first_counts() -> None:
    """The clock may have been set since."""
    samples = [clock_sync.TimeSample(NOW + number, RoundTrip(0.0, 0.5)) for number in range(3)]

    async def ask() -> clock_sync.TimeSample:
        return left.pop(0)

    left = list(samples)
    assert samples[0] is await clock_sync.best_sample(ask, 3, 0.25)
