"""What is measured of calls: the instruments, and the measurements that follow from the events of a call.

The names are those of OpenTelemetry. An observer for another system translates them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import attrs

from okx_sol_async.errors import QueueTimeout
from okx_sol_async.transport._events import CallInfo, CallReport, Observer, ResponseEvent, SendEvent

Attributes: TypeAlias = Mapping[str, str | int]

#: The bounds of histograms in seconds, as the semantic conventions for HTTP have them.
HTTP_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
#: Those of what may last for longer, because calls wait in the queue.
LONG_BOUNDS: Final = (*HTTP_BOUNDS, 30.0, 60.0, 120.0)


class InstrumentKind(enum.Enum):
    """What an instrument does with a value."""

    HISTOGRAM = "histogram"
    COUNTER = "counter"
    UP_DOWN_COUNTER = "up-down counter"
    GAUGE = "gauge"


@attrs.frozen(eq=False)
class Instrument:
    """One metric."""

    name: str
    kind: InstrumentKind
    unit: str
    description: str
    #: The attributes that its values have besides those of the call.
    attributes: tuple[str, ...] = ()
    #: Whether its values have the attributes of a call.
    of_calls: bool = True
    bounds: tuple[float, ...] = LONG_BOUNDS


_RATE_LIMITING: Final = "okx.client.rate_limiting"
DURATION: Final = Instrument(
    "okx.client.operation.duration",
    InstrumentKind.HISTOGRAM,
    "s",
    "Duration of calls, over queue, sends and pauses between them",
    ("error.type",),
)
TIME_IN_QUEUE: Final = Instrument(
    f"{_RATE_LIMITING}.request.time_in_queue",
    InstrumentKind.HISTOGRAM,
    "s",
    "Time in the queue of the rate limit, for each send",
    ("result",),
)
QUEUED: Final = Instrument(
    f"{_RATE_LIMITING}.queued_requests", InstrumentKind.UP_DOWN_COUNTER, "{request}", "Calls in the queue"
)
ACTIVE: Final = Instrument(
    f"{_RATE_LIMITING}.active_request_leases", InstrumentKind.UP_DOWN_COUNTER, "{request}", "Sends in flight"
)
REFUSALS: Final = Instrument(
    f"{_RATE_LIMITING}.refusals",
    InstrumentKind.COUNTER,
    "{refusal}",
    "Responses that refuse a call for the rate (50011)",
)
RESENDS: Final = Instrument("okx.client.resends", InstrumentKind.COUNTER, "{resend}", "Resends", ("reason",))
SENDS: Final = Instrument(
    "http.client.request.duration",
    InstrumentKind.HISTOGRAM,
    "s",
    "Duration of sends on the network",
    ("http.response.status_code", "error.type"),
    bounds=HTTP_BOUNDS,
)
RETRY_BUDGET: Final = Instrument(
    "okx.client.retry_budget", InstrumentKind.GAUGE, "{retry}", "Retries that the budget has left", of_calls=False
)
CLOCK_OFFSET: Final = Instrument(
    "okx.client.clock.offset", InstrumentKind.GAUGE, "s", "OKX's clock minus that of this machine", of_calls=False
)
SHARED_LIMIT_UP: Final = Instrument(
    f"{_RATE_LIMITING}.shared_limit.up",
    InstrumentKind.GAUGE,
    "1",
    "Whether the server that shares the rate limit responds (1) or not (0)",
    of_calls=False,
)
INSTRUMENTS: Final = (
    DURATION,
    TIME_IN_QUEUE,
    QUEUED,
    ACTIVE,
    REFUSALS,
    RESENDS,
    SENDS,
    RETRY_BUDGET,
    CLOCK_OFFSET,
    SHARED_LIMIT_UP,
)
#: The attributes of a call, in the order of their names; `USER` only if it is asked for.
CALL_ATTRIBUTES: Final = ("http.request.method", "server.address", "server.port", "url.template")
USER: Final = "okx.user"


class Recorder(Protocol):
    """What keeps the values of the instruments."""

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        """Add a value to a counter or a histogram, or set a gauge to it."""


@attrs.define(eq=False)
class LiveCall:
    """What is kept of a call until it has ended."""

    attributes: Attributes
    is_queued: bool = False
    #: Seconds in the queue of its sends so far.
    waited: float = 0.0


class Measurements(Observer):
    """Measures calls, and hands the values to a recorder."""

    def __init__(self, recorder: Recorder, *, label_users: bool) -> None:
        self._recorder = recorder
        self._label_users = label_users
        self._calls: dict[int, LiveCall] = {}

    def queued(self, call: CallInfo) -> None:
        """Count a call in the queue."""
        live = self._calls.get(call.id)
        if live is None:
            live = self._calls[call.id] = LiveCall(self.attributes_of(call))
        live.is_queued = True
        self._recorder.record(QUEUED, 1, live.attributes)

    def sent(self, event: SendEvent) -> None:
        """Count a send, and the seconds that it was in the queue."""
        live, record = self._calls[event.call.id], self._recorder.record
        live.is_queued = False
        live.waited += event.waited
        record(QUEUED, -1, live.attributes)
        record(ACTIVE, 1, live.attributes)
        record(TIME_IN_QUEUE, event.waited, {**live.attributes, "result": "acquired"})
        if event.reason is not None:
            record(RESENDS, 1, {**live.attributes, "reason": event.reason.value})

    def responded(self, event: ResponseEvent) -> None:
        """Count a send that has ended."""
        attributes, record = self._calls[event.call.id].attributes, self._recorder.record
        record(ACTIVE, -1, attributes)
        record(SENDS, event.took, {**attributes, **outcome_of(event)})

    def refused(self, call: CallInfo) -> None:
        """Count a refusal."""
        self._recorder.record(REFUSALS, 1, self._calls[call.id].attributes)

    def ended(self, report: CallReport) -> None:
        """Count a call, and the turn that it did not get."""
        live, record = self._calls.pop(report.id), self._recorder.record
        error = error_of(report)
        if live.is_queued:
            record(QUEUED, -1, live.attributes)
            if error is not None:
                waited = max(report.waited - live.waited, 0.0)
                record(TIME_IN_QUEUE, waited, {**live.attributes, "result": _result_of(report)})
        record(
            DURATION, report.duration, live.attributes if error is None else {**live.attributes, "error.type": error}
        )
        record(RETRY_BUDGET, report.retries_left, {})
        if report.clock_offset is not None:
            record(CLOCK_OFFSET, report.clock_offset, {})
        if report.shared_limit_up is not None:
            record(SHARED_LIMIT_UP, int(report.shared_limit_up), {})

    def attributes_of(self, call: CallInfo) -> Attributes:
        """Return the attributes of all values of a call."""
        attributes = _attributes_of(call.method, call.origin, call.path)
        return {**attributes, USER: call.user} if self._label_users and call.user is not None else attributes


def outcome_of(event: ResponseEvent) -> dict[str, str | int]:
    """Return the attributes that say how a send has ended."""
    found: dict[str, str | int] = {}
    if event.status is not None:
        found["http.response.status_code"] = event.status
    if event.error is not None:
        found["error.type"] = event.error
    return found


def error_of(report: CallReport) -> str | None:
    """Return what was raised instead of a result, as the name of the class; `None` for success."""
    if report.cancelled:
        return "CancelledError"
    return None if report.error is None else type(report.error).__name__


def _result_of(report: CallReport) -> str:
    if report.cancelled:
        return "request_canceled"
    return "queue_timeout" if isinstance(report.error, QueueTimeout) else "failed"


@lru_cache(maxsize=256)
def _attributes_of(method: str, origin: str, path: str) -> Attributes:
    url = urlsplit(origin)
    port = url.port or (443 if url.scheme == "https" else 80)
    return dict(zip(CALL_ATTRIBUTES, (method, url.hostname or "", port, path), strict=True))
