"""What is measured of a call, event by event, whatever keeps the values."""

from datetime import UTC, datetime

import attrs
import pytest

from okx_sol_async import CallReport, OKXError, QueueTimeout, Unavailable
from okx_sol_async.transport._events import CallInfo, ResendReason, ResponseEvent, SendEvent
from okx_sol_async.transport._measurements import (
    ACTIVE,
    CLOCK_OFFSET,
    DURATION,
    INSTRUMENTS,
    QUEUED,
    REFUSALS,
    RESENDS,
    RETRY_BUDGET,
    SENDS,
    SHARED_LIMIT_UP,
    TIME_IN_QUEUE,
    Attributes,
    Instrument,
    Measurements,
)

CALL = {
    "http.request.method": "GET",
    "server.address": "openapi.okx.com",
    "server.port": 443,
    "url.template": "/api/v5/x",
}
Value = tuple[Instrument, float, Attributes]


class Kept:
    """Keeps each value with its attributes."""

    def __init__(self) -> None:
        self.values: list[Value] = []

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        self.values.append((instrument, value, dict(attributes)))

    def taken(self) -> list[Value]:
        values, self.values = self.values, []
        return values


def info(origin: str = "https://openapi.okx.com", user: str | None = "me") -> CallInfo:
    return CallInfo("GET", "/api/v5/x", origin, user)


def report(call: CallInfo, error: OKXError | None = None, **changes: object) -> CallReport:
    made = CallReport(
        call.endpoint,
        0.5,
        0.2,
        2,
        1,
        error,
        cancelled=False,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration=0.9,
        id=call.id,
    )
    return attrs.evolve(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(name="kept")
def _kept() -> Kept:
    return Kept()


@pytest.fixture(name="measurements")
def _measurements(kept: Kept) -> Measurements:
    return Measurements(kept, label_users=False)


def test_a_call_that_is_refused_and_sent_again(kept: Kept, measurements: Measurements) -> None:
    """Each turn in the queue, each send and the call have their values."""
    call = info()
    measurements.queued(call)
    measurements.sent(SendEvent(call, 1, 0.1, None))
    assert [(QUEUED, 1, CALL), (QUEUED, -1, CALL), (ACTIVE, 1, CALL)] == kept.values[:3]
    assert [(TIME_IN_QUEUE, 0.1, {**CALL, "result": "acquired"})] == kept.taken()[3:]
    measurements.responded(ResponseEvent(call, 1, 0.05, 429, "50011", None, "RateLimited"))
    measurements.refused(call)
    assert [
        (ACTIVE, -1, CALL),
        (SENDS, 0.05, {**CALL, "http.response.status_code": 429, "error.type": "RateLimited"}),
        (REFUSALS, 1, CALL),
    ] == kept.taken()
    measurements.queued(call)
    measurements.sent(SendEvent(call, 2, 0.4, ResendReason.REFUSED))
    assert (RESENDS, 1, {**CALL, "reason": "refused"}) == kept.taken()[-1]
    measurements.responded(ResponseEvent(call, 2, 0.15, 200, "0", None, None))
    assert (SENDS, 0.15, {**CALL, "http.response.status_code": 200}) == kept.taken()[-1]
    measurements.ended(report(call, retries_left=49.5, clock_offset=0.25, shared_limit_up=True))
    assert [
        (DURATION, 0.9, CALL),
        (RETRY_BUDGET, 49.5, {}),
        (CLOCK_OFFSET, 0.25, {}),
        (SHARED_LIMIT_UP, 1, {}),
    ] == kept.taken()


@pytest.mark.parametrize(
    ("error", "cancelled", "name", "result"),
    [
        (QueueTimeout("late"), False, "QueueTimeout", "queue_timeout"),
        (None, True, "CancelledError", "request_canceled"),
        (Unavailable("no"), False, "Unavailable", "failed"),
    ],
)
def test_a_call_that_ends_in_the_queue(
    kept: Kept,
    measurements: Measurements,
    *,
    error: OKXError | None,
    cancelled: bool,
    name: str,
    result: str,
) -> None:
    """It has left the queue, after the seconds since it was sent the last time."""
    call = info()
    measurements.queued(call)
    measurements.sent(SendEvent(call, 1, 0.2, None))
    measurements.responded(ResponseEvent(call, 1, 0.1, None, None, None, "Timeout"))
    assert {**CALL, "error.type": "Timeout"} == kept.taken()[-1][2]
    measurements.queued(call)
    kept.taken()
    measurements.ended(report(call, error, cancelled=cancelled))

    queued, waited, duration, budget = kept.taken()
    assert (QUEUED, -1, CALL) == queued
    assert (TIME_IN_QUEUE, pytest.approx(0.3), {**CALL, "result": result}) == waited
    assert (DURATION, 0.9, {**CALL, "error.type": name}) == duration
    assert (RETRY_BUDGET, 0.0, {}) == budget


def test_a_call_without_the_network(kept: Kept, measurements: Measurements) -> None:
    """A mock took its place, so it was queued and ended; it has waited for no turn, and never less than no time."""
    call = info()
    measurements.queued(call)
    kept.taken()
    measurements.ended(report(call, shared_limit_up=False))
    assert [QUEUED, DURATION, RETRY_BUDGET, SHARED_LIMIT_UP] == [instrument for instrument, _, _ in kept.values]
    assert (SHARED_LIMIT_UP, 0, {}) == kept.taken()[-1]

    measurements.queued(call)
    kept.taken()
    measurements.ended(report(call, Unavailable("no"), waited=-0.1))
    assert (TIME_IN_QUEUE, 0.0) == kept.taken()[1][:2]


@pytest.mark.parametrize(
    ("origin", "address", "port"),
    [
        ("https://eea.okx.com", "eea.okx.com", 443),
        ("http://127.0.0.1", "127.0.0.1", 80),
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
    ],
)
def test_the_host_of_a_call(measurements: Measurements, origin: str, address: str, port: int) -> None:
    """With its port, which a URL may leave out."""
    found = measurements.attributes_of(info(origin))

    assert (address, port) == (found["server.address"], found["server.port"])


@pytest.mark.parametrize(
    ("label_users", "user", "shown"), [(False, "me", None), (True, "me", "me"), (True, None, None)]
)
def test_who_a_user_is(kept: Kept, label_users: bool, user: str | None, shown: str | None) -> None:  # noqa: FBT001
    """Only if it is asked for, and the user has a label: each one makes more time series."""
    assert shown == Measurements(kept, label_users=label_users).attributes_of(info(user=user)).get("okx.user")


def test_the_bounds_of_the_histograms() -> None:
    """Those of the semantic conventions for HTTP, and longer ones for what waits in the queue."""
    http = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

    assert http == SENDS.bounds
    assert [(*http, 30.0, 60.0, 120.0)] * 2 == [DURATION.bounds, TIME_IN_QUEUE.bounds]
    assert {RETRY_BUDGET, CLOCK_OFFSET, SHARED_LIMIT_UP} == {one for one in INSTRUMENTS if not one.of_calls}
