"""Calls with everything that observers for metrics and traces have to show, and what these have kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TypeAlias

import attrs
from aiohttp import web
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from okx_sol_async import BALANCE, BucketKey, Credentials, LocalLimiter, OKXError, RateLimit, Session, TokenBucket
from okx_sol_async.opentelemetry import OpenTelemetryObserver
from okx_sol_async.transport._metrics import Observe
from tests.support.scripted import READ, Script, coded, good, hang, reset
from tests.support.serving import serving

USER: Final = Credentials(
    "8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", "Test-Pass#1", "alice"
)
BALANCE_PATH: Final = "/api/v5/finance/staking-defi/sol/balance"
#: What a metric has kept for each set of attributes: the number of values and their sum, or the value.
Kept: TypeAlias = dict[frozenset[tuple[str, str]], tuple[float, float] | float]


class SharedLimiter:
    """A limiter that says that its server is away."""

    is_up = False

    def __init__(self) -> None:
        self._local = LocalLimiter()

    def bucket(self, key: BucketKey, limit: RateLimit) -> TokenBucket:
        return self._local.bucket(key, limit)


class Telemetry:
    """An observer with the exporters of the real SDK."""

    def __init__(self, *, label_users: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = MeterProvider([self.reader])
        self.observer = OpenTelemetryObserver(self.tracer_provider, self.meter_provider, label_users=label_users)

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def metrics(self) -> dict[str, tuple[str, str, Kept]]:
        """Return unit, kind and values of each metric."""
        data = self.reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kept: Kept = {}
                    for point in metric.data.data_points:
                        labels = _labels(point.attributes or {})
                        kept[labels] = (
                            (point.count, point.sum) if isinstance(point, HistogramDataPoint) else point.value
                        )
                    monotonic = getattr(metric.data, "is_monotonic", "")
                    found[metric.name] = (metric.unit or "", f"{type(metric.data).__name__}{monotonic}", kept)
        return found


def _labels(attributes: Mapping[str, object]) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in attributes.items())


def counts_by(kept: Kept, attribute: str) -> dict[str, float]:
    """Return how many values there are by one of their attributes, or the sum where they are sums."""
    counts: dict[str, float] = {}
    for labels, value in kept.items():
        label = dict(labels).get(attribute, "")
        counts[label] = counts.get(label, 0) + (value[0] if isinstance(value, tuple) else value)
    return counts


async def make_calls(observe: Observe) -> None:
    """Make calls that succeed, are resent for each reason, get no turn, and are cancelled in the queue and in flight."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if "OK-ACCESS-SIGN" not in request.headers:
            raise web.HTTPNotFound
        return await script.handle(request)

    script = Script(
        good, coded("50011"), good, coded("50102", 401), good, coded("50013", 503), good, reset, good, good, hang
    )
    async with (
        serving(handle) as url,
        Session(base_url=url, limiter=SharedLimiter(), timeout=2.0, observe=observe) as session,
    ):
        for _ in range(5):
            await session.call(READ, USER)
        slow = attrs.evolve(BALANCE, limit=attrs.evolve(BALANCE.limit, requests=1), path="/slow")
        await session.call(slow, USER)
        with suppress(OKXError):
            await session.with_options(max_wait=0).call(slow, USER)
        waiting = asyncio.create_task(session.call(slow, USER))
        sending = asyncio.create_task(session.call(READ, USER))
        await asyncio.sleep(0.5)
        for task in (waiting, sending):
            task.cancel()
        await asyncio.wait([waiting, sending])
