"""Traces and metrics for OpenTelemetry, as an observer of a session. It needs the extra ``opentelemetry``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async.transport._events import CallInfo, CallReport, ResponseEvent, SendEvent
from okx_sol_async.transport._measurements import (
    INSTRUMENTS,
    Attributes,
    Instrument,
    InstrumentKind,
    Measurements,
    error_of,
    outcome_of,
)
from okx_sol_async.version import __version__

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError as _error:
    _message = "OpenTelemetryObserver needs opentelemetry-api: install okx-sol-async with the extra opentelemetry"
    raise ImportError(_message, name=_error.name) from _error

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["OpenTelemetryObserver"]

_SCOPE: Final = "okx_sol_async"
_TIME_IN_QUEUE: Final = "okx.client.rate_limiting.time_in_queue"


class OpenTelemetryObserver(Measurements):
    """Makes spans and metrics of a session's calls: ``Session(observe=OpenTelemetryObserver())``.

    A call is an INTERNAL span, and each of its sends a CLIENT span inside, with the attributes of the semantic
    conventions for HTTP clients. The time in the queue is an event of the outer span, before the inner one begins. While
    a call lasts, other instrumentation of HTTP clients is suppressed for it, so no send has two spans. No attribute
    holds a key, and ``url.full`` has no query.

    Args:
        tracer_provider: where spans go; `None`: the global one.
        meter_provider: where metrics go; `None`: the global one.
        label_users: whether spans and the metrics of calls have an attribute ``okx.user`` with `Credentials.user_id`.

    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        label_users: bool = False,
    ) -> None:
        recorder = _Instruments(metrics.get_meter(_SCOPE, __version__, meter_provider))
        super().__init__(recorder, label_users=label_users)
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._spans: dict[int, _Spans] = {}

    def queued(self, call: CallInfo) -> None:
        """Begin the outer span, if it is the first time, and count the call in the queue."""
        super().queued(call)
        if call.id not in self._spans:
            self._spans[call.id] = _Spans.begin(self._tracer, call, self.attributes_of(call))

    def sent(self, event: SendEvent) -> None:
        """Begin an inner span."""
        super().sent(event)
        self._spans[event.call.id].sent(self._tracer, event, self.attributes_of(event.call))

    def responded(self, event: ResponseEvent) -> None:
        """End an inner span."""
        super().responded(event)
        self._spans[event.call.id].responded(event)

    def refused(self, call: CallInfo) -> None:
        """Count a refusal."""
        super().refused(call)
        self._spans[call.id].outer.add_event("okx.client.rate_limiting.refused")

    def ended(self, report: CallReport) -> None:
        """End the outer span."""
        # First the metrics, so that they can refer to the trace.
        super().ended(report)
        self._spans.pop(report.id).ended(report)


@attrs.define(eq=False)
class _Spans:
    """The spans of one call."""

    outer: Span
    #: The context in which the outer span is the current one, and what ends that.
    context: Context
    token: Token[Context]
    #: The span of the send in flight, or of the last one.
    inner: Span = trace.INVALID_SPAN

    @classmethod
    def begin(cls, tracer: trace.Tracer, call: CallInfo, attributes: Attributes) -> _Spans:
        outer = tracer.start_span(f"OKX {call.endpoint}", kind=SpanKind.INTERNAL, attributes=dict(attributes))
        inside = trace.set_span_in_context(outer)
        token = context.attach(context.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, value=True, context=inside))
        return cls(outer, inside, token)

    def sent(self, tracer: trace.Tracer, event: SendEvent, attributes: Attributes) -> None:
        self.outer.add_event("okx.client.rate_limiting.acquired", {_TIME_IN_QUEUE: event.waited})
        call = event.call
        found: dict[str, str | int] = {**attributes, "url.full": call.origin + call.path}
        if event.number > 1:
            found["http.request.resend_count"] = event.number - 1
        self.inner = tracer.start_span(call.endpoint, self.context, SpanKind.CLIENT, found)

    def responded(self, event: ResponseEvent) -> None:
        self.inner.set_attributes(outcome_of(event))
        _end(self.inner, event.error, event.code, event.trace_id)

    def ended(self, report: CallReport) -> None:
        context.detach(self.token)
        error = error_of(report)
        if error is not None:
            self.outer.set_attribute("error.type", error)
        self.outer.set_attributes({_TIME_IN_QUEUE: report.waited, "okx.client.sends": report.sends})
        _end(self.outer, error, report.code, report.trace_id)


def _end(span: Span, error: str | None, code: str | None, trace_id: str | None) -> None:
    if code is not None:
        span.set_attribute("okx.code", code)
    if trace_id is not None:
        span.set_attribute("okx.trace_id", trace_id)
    if error is not None:
        span.set_status(StatusCode.ERROR)
    span.end()


class _Instruments:
    """The instruments of a meter."""

    def __init__(self, meter: Meter) -> None:
        self._write = {instrument: _writer(meter, instrument) for instrument in INSTRUMENTS}

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        self._write[instrument](value, attributes)


def _writer(meter: Meter, instrument: Instrument) -> Callable[[float, Attributes], None]:
    arguments = instrument.name, instrument.unit, instrument.description
    match instrument.kind:
        case InstrumentKind.HISTOGRAM:
            return meter.create_histogram(*arguments, explicit_bucket_boundaries_advisory=instrument.bounds).record
        case InstrumentKind.COUNTER:
            return meter.create_counter(*arguments).add
        case InstrumentKind.UP_DOWN_COUNTER:
            return meter.create_up_down_counter(*arguments).add
    return meter.create_gauge(*arguments).set
