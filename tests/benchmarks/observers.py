"""What observers add to the processor time of a call: none, a plain callable, an `Observer`, Prometheus, OpenTelemetry.

Each has a session of its own over the same server in another process. Blocks of calls take turns, because a processor
that others use too changes its speed from one moment to the next.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from prometheus_client import CollectorRegistry

from okx_sol_async import BALANCE, LocalLimiter, Observer, Session
from okx_sol_async.opentelemetry import OpenTelemetryObserver
from okx_sol_async.prometheus import PrometheusObserver
from tests.benchmarks.plain import make_credentials
from tests.benchmarks.report import Figure, Line
from tests.benchmarks.server import light_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from okx_sol_async import Credentials
    from okx_sol_async.transport._metrics import Observe

ROUNDS: Final = 21
CALLS: Final = 100
#: Users are called once in a round; as many sets of them take turns, so that no call waits.
SETS: Final = 4
REST: Final = 1.1


def run() -> Iterator[Line]:
    """Print the microseconds of a call without observers, and what each kind adds."""
    times = asyncio.run(_measure(_observers()))
    without = times.pop("none")
    yield Figure("observers", statistics.median(without), "us a call without observers", digits=1)
    for name, seconds in times.items():
        added = [mine - base for mine, base in zip(seconds, without, strict=True)]
        quarters = statistics.quantiles(added, n=4)
        detail = f"half within {quarters[0]:.1f} to {quarters[-1]:.1f} us, {ROUNDS} rounds of {CALLS}"
        yield Figure("observers", statistics.median(added), f"us more with {name}", None, detail, digits=1)


def _observers() -> Mapping[str, Observe]:
    tracing = TracerProvider()
    # Spans are recorded and dropped: what exports them is the service's, and runs elsewhere.
    tracing.add_span_processor(SpanProcessor())
    return {
        "none": None,
        "none again": None,
        "a callable": lambda report: None,
        "an Observer": type("Nothing", (Observer,), {})(),
        "PrometheusObserver": PrometheusObserver(CollectorRegistry()),
        "OpenTelemetryObserver": OpenTelemetryObserver(tracing, MeterProvider([InMemoryMetricReader()])),
    }


async def _measure(observers: Mapping[str, Observe]) -> dict[str, list[float]]:
    """Return the microseconds of a call in each round."""
    times: dict[str, list[float]] = {name: [] for name in observers}
    with light_server() as url:
        sessions = {
            name: Session(base_url=url, limiter=LocalLimiter(), observe=observe) for name, observe in observers.items()
        }
        sets = [[make_credentials() for _ in range(CALLS)] for _ in range(SETS)]
        rested = [0.0] * SETS
        for number in range(-2, ROUNDS):
            users = sets[number % SETS]
            await asyncio.sleep(max(0.0, rested[number % SETS] - time.monotonic()))
            order = [*sessions][number % len(sessions) :] + [*sessions][: number % len(sessions)]
            gc.collect()
            for name in order:
                seconds = await _time_calls(sessions[name], users)
                if number >= 0:  # those before are for warming up
                    times[name].append(seconds / CALLS * 1e6)
            rested[number % SETS] = time.monotonic() + REST
        for session in sessions.values():
            await session.aclose()
    return times


async def _time_calls(session: Session, users: Sequence[Credentials]) -> float:
    began = time.process_time()
    for user in users:
        await session.call(BALANCE, user)
    return time.process_time() - began
