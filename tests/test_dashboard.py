"""The dashboard of docs/monitoring.md, which ``python -m tests.benchmarks dashboard`` runs against a Prometheus."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from okx_sol_async.prometheus import PrometheusObserver
from tests.support.telemetry import make_calls

DASHBOARD = json.loads((Path(__file__).parents[1] / "docs" / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.mark.virtual_clock
async def test_its_queries_ask_for_what_there_is() -> None:
    """Each metric and label in a query is one of `PrometheusObserver`, and each metric is in a query."""
    registry = CollectorRegistry()
    await make_calls(PrometheusObserver(registry))
    samples = {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}
    asked = set()
    for query in QUERIES:
        names = set(re.findall(r"\b(?:okx|http_client)_\w+", query))
        assert names <= set(samples)
        asked |= names
        labels = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query)) | {
            label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")
        }
        assert labels <= set.union(*(samples[name] for name in names))
    families = {family.name for family in registry.collect()}
    assert families == {family for family in families if any(name.startswith(family) for name in asked)}


def test_panels_have_ids_and_do_not_overlap() -> None:
    """Grafana needs one id and one place for each panel."""
    panels = DASHBOARD["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    assert len(panels) == len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels})
