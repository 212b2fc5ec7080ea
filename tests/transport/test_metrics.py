"""What a session logs, counts and reports."""

import asyncio
import logging
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest

from okx_sol_async import (
    BALANCE,
    AuthenticationError,
    Balance,
    CallReport,
    Counters,
    LocalLimiter,
    Session,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport._metrics import CallRecord, EndedCall, Observers
from tests.support.foreign import Foreign
from tests.support.limiters import InstantLimiter
from tests.support.scripted import CREDENTIALS
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


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

    shown = [vars(record) for record in caplog.records if record.name == "okx_sol_async"]
    assert ["answered", "AuthenticationError"] == [record["outcome"] for record in shown]
    assert {(str(BALANCE), 1, 0)} == {(record["endpoint"], record["sends"], record["refusals"]) for record in shown}


async def test_a_refusal_is_logged_where_it_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Its reason is something else that spends the limit. It is said once for each call, and a resend is no warning."""
    foreign = Foreign(refusals=3)
    async with serving(foreign.handle) as url, Session(base_url=url, limiter=InstantLimiter()) as session:
        await session.call(BALANCE, CREDENTIALS)

    shown = [record for record in caplog.records if record.name == "okx_sol_async"]
    [record] = [record for record in shown if record.levelno > logging.DEBUG]
    assert "INFO" == record.levelname
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


async def test_an_observer_sees_each_call(exchange: Emulator) -> None:
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


async def test_an_observer_that_fails_does_no_harm(exchange: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged, and the caller has its balance."""

    def fail(report: CallReport) -> None:
        raise ZeroDivisionError

    async with Session(base_url=exchange.url, observe=fail) as session:
        assert EXPECTED == await session.call(BALANCE, exchange.credentials)

    assert "observe raised an error" in caplog.text


def test_a_report_that_a_test_makes() -> None:
    """What an observer need not look at has a default."""
    report = CallReport("GET /x", 0.0, 0.0, 1, 0, None, cancelled=False, started_at=datetime(2026, 1, 1, tzinfo=UTC))

    assert (0.0, 0.0, 0) == (report.retries_left, report.duration, report.id)
    assert (None, None, None, None) == (report.status, report.code, report.user, report.shared_limit_up)


@pytest.mark.parametrize(
    ("sends", "waited", "counted"),
    [(0, 0.0, (1, 0, 0)), (1, 0.001, (1, 0, 0)), (2, 0.0011, (1, 1, 1)), (3, 1.0, (1, 1, 2))],
)
def test_what_is_counted_of_a_call(
    caplog: pytest.LogCaptureFixture, sends: int, waited: float, counted: tuple[int, int, int]
) -> None:
    """Each wait of more than a millisecond, and each send after the first."""
    caplog.set_level(logging.INFO, logger="okx_sol_async")
    observers = Observers()
    observers.ended(cast("EndedCall", SimpleNamespace(record=CallRecord(0.0, sends=sends, waited=waited))), None)
    counters = observers.counters

    assert counted == (counters.calls, counters.waits, counters.resends)
    assert CallRecord(0.0) == CallRecord(0.0, sends=0, refusals=0, waited=0.0, took=0.0)
