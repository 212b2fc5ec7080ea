"""Spans and metrics of calls, in the exporters of the real SDK."""

import asyncio
import sys
from collections.abc import Iterator

import aiohttp
import attrs
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from okx_sol_async import BALANCE, Credentials, LocalLimiter, OKXError, RateLimit, Scope, Session
from okx_sol_async.emulator import Emulator
from okx_sol_async.opentelemetry import OpenTelemetryObserver
from tests.support.scripted import READ, Reply, Script, coded, good, hang, reset
from tests.support.serving import serving
from tests.support.telemetry import BALANCE_PATH, USER, Telemetry, counts_by, make_calls


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def call_once(telemetry: Telemetry, *replies: Reply) -> tuple[str, list[ReadableSpan], list[ReadableSpan]]:
    """Make one call; return its host, the outer spans and the inner ones."""
    async with (
        serving(Script(*replies).handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), timeout=0.5, attempts=2, observe=telemetry.observer) as session,
    ):
        try:
            await session.call(READ, USER)
        except OKXError:
            assert replies[-1] is not good
    kinds = {kind: [span for span in telemetry.spans if span.kind is kind] for kind in SpanKind}
    assert len(telemetry.spans) == len(kinds[SpanKind.INTERNAL] + kinds[SpanKind.CLIENT])
    return url, kinds[SpanKind.INTERNAL], kinds[SpanKind.CLIENT]


@pytest.mark.virtual_clock
async def test_a_call_is_a_span_with_one_inside_for_its_send() -> None:
    """The outer span is INTERNAL, and the inner one CLIENT with the attributes of the semantic conventions."""
    url, [outer], [inner] = await call_once(Telemetry(), good)
    url = url.rstrip("/")
    host, _, port = url.removeprefix("http://").partition(":")
    common = {
        "http.request.method": "GET",
        "url.template": BALANCE_PATH,
        "server.address": host,
        "server.port": int(port),
        "okx.code": "0",
    }
    assert {**common, "http.response.status_code": 200, "url.full": url + BALANCE_PATH} == attributes_of(inner)
    queue = {"okx.client.rate_limiting.time_in_queue": 0.0, "okx.client.sends": 1}
    assert {**common, **queue} == attributes_of(outer)
    assert (f"OKX GET {BALANCE_PATH}", f"GET {BALANCE_PATH}") == (outer.name, inner.name)
    assert inner.parent is not None
    assert outer.context.span_id == inner.parent.span_id
    assert {StatusCode.UNSET} == {outer.status.status_code, inner.status.status_code}


@pytest.mark.virtual_clock
@pytest.mark.parametrize(
    ("reply", "error", "status", "code"),
    [
        (coded("50011", 200), "RateLimited", 200, "50011"),
        (coded("50013", 503), "Unavailable", 503, "50013"),
        (reset, "ServerDisconnectedError", None, None),
        (hang, "Timeout", None, None),
    ],
    ids=["refused with HTTP 200", "busy", "reset", "timeout"],
)
async def test_each_send_has_a_span_that_says_how_it_ended(
    reply: Reply, error: str, status: int | None, code: str | None
) -> None:
    """A failed send is an error with its type, also where the HTTP status is 200, and a resend has its number."""
    _, [outer], inner = await call_once(Telemetry(), reply, good)
    first, second = map(attributes_of, inner)
    assert (error, status, code, None) == (
        first["error.type"],
        first.get("http.response.status_code"),
        first.get("okx.code"),
        first.get("http.request.resend_count"),
    )
    assert StatusCode.ERROR is inner[0].status.status_code
    assert (None, 200, "0", 1) == (
        second.get("error.type"),
        second["http.response.status_code"],
        second["okx.code"],
        second["http.request.resend_count"],
    )
    assert StatusCode.UNSET is outer.status.status_code
    assert 2 == attributes_of(outer)["okx.client.sends"]


@pytest.mark.virtual_clock
async def test_a_failed_call_is_an_error_with_what_okx_has_said(exchange: Emulator) -> None:
    """The outer span of a call that fails has the type of the error, OKX's code and its trace id."""
    telemetry = Telemetry()
    stranger = Credentials("unknown", "unknown", "unknown")
    async with Session(base_url=exchange.url, limiter=LocalLimiter(), observe=telemetry.observer) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(BALANCE, stranger)
    outer = attributes_of(telemetry.spans[0])
    assert (caught.value.code, caught.value.trace_id) == (outer["okx.code"], outer["okx.trace_id"])
    assert type(caught.value).__name__ == outer["error.type"]


@pytest.fixture(name="instrumented")
def _instrumented() -> Iterator[Telemetry]:
    """Instrument all of aiohttp's client sessions, as a service does."""
    telemetry = Telemetry()
    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider)
    yield telemetry
    instrumentor.uninstrument()


async def test_time_in_the_queue_is_never_in_the_span_of_a_send(instrumented: Telemetry) -> None:
    """With aiohttp instrumented there is one span for each send, which begins when the call has its turn."""
    slow = attrs.evolve(BALANCE, limit=RateLimit(1, 0.2, Scope.USER))
    async with serving(Script(good).handle) as url:
        async with Session(base_url=url, limiter=LocalLimiter(), observe=instrumented.observer) as session:
            await asyncio.gather(*(session.call(slow, USER) for _ in range(3)))
        # Other requests have the spans of the instrumentation.
        async with aiohttp.ClientSession() as http:
            await (await http.get(url)).read()
    *spans, foreign = instrumented.spans
    assert "opentelemetry.instrumentation.aiohttp_client" == foreign.instrumentation_scope.name  # type: ignore[union-attr]
    inner = [span for span in spans if span.kind is SpanKind.CLIENT]
    outer = {span.context.span_id: span for span in spans if span.kind is SpanKind.INTERNAL}
    assert {"okx_sol_async"} == {span.instrumentation_scope.name for span in spans}  # type: ignore[union-attr]
    assert (3, 3, 6) == (len(inner), len(outer), len(spans))
    waits = []
    for span in inner:
        [event] = outer[span.parent.span_id].events  # type: ignore[union-attr]
        assert event.timestamp <= span.start_time  # type: ignore[operator]
        waits.append(event.attributes["okx.client.rate_limiting.time_in_queue"])  # type: ignore[index]
        queued = event.timestamp - outer[span.parent.span_id].start_time  # type: ignore[union-attr,operator]
        assert waits[-1] <= queued / 1e9 + 0.05
    assert 0.4 <= max(waits)


async def test_the_callers_context_is_the_parent_and_comes_back() -> None:
    """The spans belong to the caller's trace, and after the call its span is the current one again."""
    telemetry = Telemetry()
    tracer = telemetry.tracer_provider.get_tracer("service")
    with tracer.start_as_current_span("handler") as handler:
        async with (
            serving(Script(good).handle) as url,
            Session(base_url=url, limiter=LocalLimiter(), observe=telemetry.observer) as session,
        ):
            await session.call(READ, USER)
        assert handler is trace.get_current_span()
    spans = {span.name: span for span in telemetry.spans}
    outer = spans[f"OKX GET {BALANCE_PATH}"]
    assert outer.parent is not None
    assert handler.get_span_context().span_id == outer.parent.span_id


#: Kind and unit of each metric.
METRICS = {
    "okx.client.operation.duration": ("s", "Histogram"),
    "okx.client.rate_limiting.request.time_in_queue": ("s", "Histogram"),
    "okx.client.rate_limiting.queued_requests": ("{request}", "SumFalse"),
    "okx.client.rate_limiting.active_request_leases": ("{request}", "SumFalse"),
    "okx.client.rate_limiting.refusals": ("{refusal}", "SumTrue"),
    "okx.client.resends": ("{resend}", "SumTrue"),
    "http.client.request.duration": ("s", "Histogram"),
    "okx.client.retry_budget": ("{retry}", "Gauge"),
    "okx.client.clock.offset": ("s", "Gauge"),
    "okx.client.rate_limiting.shared_limit.up": ("1", "Gauge"),
}


@pytest.mark.virtual_clock
async def test_the_metrics_of_calls() -> None:
    """Each metric has its name, unit and kind, and counts what has happened."""
    telemetry = Telemetry()
    await make_calls(telemetry.observer)
    metrics = telemetry.metrics()
    assert METRICS == {name: (unit, kind) for name, (unit, kind, _) in metrics.items()}
    kept = {name: values for name, (_, _, values) in metrics.items()}
    reasons = counts_by(kept["okx.client.resends"], "reason")
    assert {"refused": 1, "clock": 1, "failure": 1, "hidden": 1} == reasons
    assert {"GET": 1} == counts_by(kept["okx.client.rate_limiting.refusals"], "http.request.method")
    results = counts_by(kept["okx.client.rate_limiting.request.time_in_queue"], "result")
    acquired = results.pop("acquired")
    assert {"queue_timeout": 1, "request_canceled": 1} == results
    sends = counts_by(kept["http.client.request.duration"], "error.type")
    assert acquired == sum(sends.values())
    assert {"RateLimited": 1, "ClockSkew": 1, "Unavailable": 1, "CancelledError": 1}.items() <= sends.items()
    calls = counts_by(kept["okx.client.operation.duration"], "error.type")
    assert {"": 6, "QueueTimeout": 1, "CancelledError": 2}.items() <= calls.items()
    for name in ("queued_requests", "active_request_leases"):
        assert {0} == set(kept[f"okx.client.rate_limiting.{name}"].values())
    assert {frozenset(): 0} == kept["okx.client.rate_limiting.shared_limit.up"]
    [offset] = kept["okx.client.clock.offset"].values()
    [budget] = kept["okx.client.retry_budget"].values()
    assert isinstance(offset, float)
    assert 0 < budget  # type: ignore[operator]


@pytest.mark.virtual_clock
@pytest.mark.parametrize("label_users", [False, True])
async def test_no_attribute_holds_a_key_and_a_user_only_if_asked_for(*, label_users: bool) -> None:
    """Keys, secrets and signatures are in no span and no metric; the user's label is if `label_users` is given."""
    telemetry = Telemetry(label_users=label_users)
    await make_calls(telemetry.observer)
    shown = "".join(span.to_json() for span in telemetry.spans) + repr(telemetry.metrics())
    for secret in (USER.api_key, USER.secret_key, USER.passphrase):
        assert secret not in shown
    assert label_users is ("alice" in shown)
    assert label_users is ("okx.user" in shown)


async def test_nothing_is_kept_of_a_call_that_has_ended() -> None:
    """The observer holds no call after its end."""
    telemetry = Telemetry()
    await call_once(telemetry, good)
    assert (0, 0) == (len(telemetry.observer._calls), len(telemetry.observer._spans))


@pytest.mark.parametrize("extra", ["opentelemetry", "prometheus"])
def test_a_missing_extra_is_named(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package, an observer's module says which extra it needs."""
    package = {"opentelemetry": "opentelemetry", "prometheus": "prometheus_client"}[extra]
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"okx_sol_async.{extra}", raising=False)
    with pytest.raises(ImportError, match=f"with the extra {extra}"):
        __import__(f"okx_sol_async.{extra}")


def test_the_global_providers_are_used_without_others() -> None:
    """An observer without providers works, also where no SDK is set up."""
    assert OpenTelemetryObserver()
