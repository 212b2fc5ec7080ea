"""The metrics of calls in a registry of prometheus_client."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from okx_sol_async.prometheus import PrometheusObserver
from tests.support.telemetry import USER, Telemetry, make_calls
from tests.test_opentelemetry import METRICS


def translated(name: str, unit: str) -> str:
    return name.replace(".", "_") + ("_seconds" if unit == "s" else "")


@pytest.mark.virtual_clock
async def test_it_offers_what_opentelemetry_has_under_the_names_of_prometheus() -> None:
    """Each metric of `OpenTelemetryObserver` is there with the same values and labels."""
    telemetry, registry = Telemetry(), CollectorRegistry()
    await make_calls([telemetry.observer, PrometheusObserver(registry)])
    families = {family.name: family for family in registry.collect()}
    metrics = telemetry.metrics()
    assert {translated(name, unit) for name, (unit, _) in METRICS.items()} == set(families)
    for name, (unit, kind, kept) in metrics.items():
        family = families[translated(name, unit)]
        expected_type = {"Histogram": "histogram", "SumFalse": "gauge", "SumTrue": "counter", "Gauge": "gauge"}[kind]
        assert expected_type == family.type
        for attributes, value in kept.items():
            labels = {key.replace(".", "_"): text for key, text in attributes}
            found = {
                sample.name.removeprefix(family.name): sample.value
                for sample in family.samples
                if {key: text for key, text in sample.labels.items() if text} == labels
            }
            if isinstance(value, tuple):
                assert value[0] == found["_count"]
                assert value[1] == pytest.approx(found["_sum"])
            else:
                assert value == pytest.approx(found.get("_total", found.get("")))


@pytest.mark.virtual_clock
@pytest.mark.parametrize("label_users", [False, True])
async def test_no_label_holds_a_key_and_a_user_only_if_asked_for(*, label_users: bool) -> None:
    """Keys are in no metric; the user's label is if `label_users` is given."""
    registry = CollectorRegistry()
    await make_calls(PrometheusObserver(registry, label_users=label_users))
    shown = generate_latest(registry).decode()
    for secret in (USER.api_key, USER.secret_key, USER.passphrase):
        assert secret not in shown
    assert label_users is ('okx_user="alice"' in shown)
    assert label_users is ("okx_user" in shown)


def test_a_registry_has_room_for_one() -> None:
    """A second observer on one registry is refused by prometheus_client."""
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusObserver(registry)
