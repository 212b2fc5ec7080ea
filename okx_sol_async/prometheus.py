"""Metrics for Prometheus, as an observer of a session. It needs the extra ``prometheus``."""

from __future__ import annotations

from okx_sol_async.transport._measurements import (
    CALL_ATTRIBUTES,
    INSTRUMENTS,
    USER,
    Attributes,
    Instrument,
    InstrumentKind,
    Measurements,
)

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ImportError as _error:
    _message = "PrometheusObserver needs prometheus_client: install okx-sol-async with the extra prometheus"
    raise ImportError(_message, name=_error.name) from _error

__all__ = ["PrometheusObserver"]


class PrometheusObserver(Measurements):
    """Keeps the metrics of a session's calls: ``Session(observe=PrometheusObserver())``.

    They are those of `OpenTelemetryObserver`, named as OpenTelemetry's own exporter names them for Prometheus:
    ``okx_client_operation_duration_seconds``, with labels such as ``url_template``. A label that does not apply is
    empty. No label holds a key. One observer may serve several sessions, also of several event loops.

    Args:
        registry: where the metrics are registered, which has room for one observer; `None`: the default registry of
            ``prometheus_client``.
        label_users: whether the metrics of calls have a label ``okx_user`` with `Credentials.user_id`. Each user adds
            time series.

    Raises:
        ValueError: the registry has these metrics already.

    """

    def __init__(self, registry: CollectorRegistry | None = None, *, label_users: bool = False) -> None:
        labels = (*CALL_ATTRIBUTES, USER) if label_users else CALL_ATTRIBUTES
        super().__init__(_Registered(REGISTRY if registry is None else registry, labels), label_users=label_users)


class _Registered:
    """The metrics of a registry, by their instruments."""

    def __init__(self, registry: CollectorRegistry, call_labels: tuple[str, ...]) -> None:
        self._labels = {one: (*call_labels, *one.attributes) if one.of_calls else one.attributes for one in INSTRUMENTS}
        self._metrics = {one: _metric(one, self._labels[one], registry) for one in INSTRUMENTS}

    def record(self, instrument: Instrument, value: float, attributes: Attributes) -> None:
        metric, labels = self._metrics[instrument], self._labels[instrument]
        series = metric.labels(*[attributes.get(label, "") for label in labels]) if labels else metric
        if isinstance(series, Histogram):
            series.observe(value)
        elif instrument.kind is InstrumentKind.GAUGE and isinstance(series, Gauge):
            series.set(value)
        else:
            series.inc(value)


def _metric(
    instrument: Instrument, attributes: tuple[str, ...], registry: CollectorRegistry
) -> Histogram | Counter | Gauge:
    name = instrument.name.replace(".", "_") + ("_seconds" if instrument.unit == "s" else "")
    labels = [attribute.replace(".", "_") for attribute in attributes]
    if instrument.kind is InstrumentKind.HISTOGRAM:
        return Histogram(name, instrument.description, labels, registry=registry, buckets=instrument.bounds)
    kind = Counter if instrument.kind is InstrumentKind.COUNTER else Gauge
    return kind(name, instrument.description, labels, registry=registry)
