"""The dashboard of docs/monitoring.md, against a real Prometheus that scrapes a bot on the emulator.

It needs ``prometheus`` (Debian: ``apt-get install prometheus``). Each query of docs/dashboard.json must have data, and
docs/images/dashboard.svg is drawn from that.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs
from prometheus_client import CollectorRegistry, start_http_server

from okx_sol_async import OKXError, Session, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay, Refusal, Reset
from okx_sol_async.prometheus import PrometheusObserver
from okx_sol_async.redis import RedisLimiter
from tests.benchmarks.pictures import FOLDER, Drawing
from tests.benchmarks.report import Figure, Line, Note
from tests.support.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARD: Final = Path(__file__).parents[2] / "docs" / "dashboard.json"
#: For how many seconds the bot runs, and what stands for Grafana's ``$__rate_interval``.
SECONDS: Final = 40
RATE_INTERVAL: Final = "6s"
KINDS: Final = ("good", "bad", "other", "hint")


@attrs.frozen
class Series:
    name: str
    points: list[tuple[float, float]]


@attrs.frozen
class Panel:
    title: str
    unit: str
    series: list[Series]


def run() -> Iterator[Line]:
    """Run the bot and the queries, draw the picture, and count the queries without data."""
    if shutil.which("prometheus") is None:
        yield Note("dashboard: prometheus is not installed")
        return
    panels, empty = asyncio.run(_measure())
    (FOLDER / "dashboard.svg").write_text(draw(panels), encoding="utf-8")
    yield Figure("dashboard", len(empty), "queries of the dashboard without data", 0, ", ".join(empty), digits=0)
    yield Note(f"docs/images/dashboard.svg, from {len(panels)} panels")


async def _measure() -> tuple[list[Panel], list[str]]:
    registry = CollectorRegistry()
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with valkey() as store, _prometheus(server.server_port) as prometheus:
            async with (
                Emulator() as exchange,
                RedisLimiter.from_url(store.url) as limiter,
                Session(base_url=exchange.url, limiter=limiter, observe=PrometheusObserver(registry)) as session,
            ):
                began = time.time()
                await _be_busy(exchange, session)
                return await _ask(prometheus, began)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _be_busy(exchange: Emulator, session: Session) -> None:
    """Call with more and less load, through failures and refusals."""
    users = [SolStaking(exchange.add_user().credentials, session) for _ in range(3)]

    async def call(user: SolStaking) -> None:
        with suppress(OKXError):
            await user.with_options(max_wait=2.0).balance()

    async with asyncio.TaskGroup() as group:
        for second in range(SECONDS):
            # A counter that begins at 1 has no rate yet, so each fault comes several times.
            if second in range(SECONDS // 2, SECONDS, 4):
                for fault in (Refusal("50011"), Refusal("50013"), Refusal("50013"), Reset(), Delay(0.8)):
                    exchange.fail_next(fault)
            calls = 2 + 12 * (SECONDS // 4 < second < SECONDS // 2)
            for _ in range(calls):
                for user in users:
                    group.create_task(call(user))
            await asyncio.sleep(1)


@contextmanager
def _prometheus(metrics_port: int) -> Iterator[str]:
    """Run a Prometheus that scrapes the port each second, and yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "prometheus.yml"
        target = f"127.0.0.1:{metrics_port}"
        configuration.write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: bot, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data"]
        with subprocess.Popen(  # noqa: S603
            [*command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield f"http://{address}"
            finally:
                process.terminate()


async def _ask(prometheus: str, began: float) -> tuple[list[Panel], list[str]]:
    """Run each query of the dashboard; return the panels, and the queries that gave nothing."""
    panels, empty = [], []
    async with aiohttp.ClientSession() as http:
        for panel in json.loads(DASHBOARD.read_text())["panels"]:
            series = []
            for target in panel["targets"]:
                found = await _query(http, prometheus, target["expr"], began)
                if not found:
                    empty.append(f"{panel['title']}: {target['expr']}")
                series += [Series(_legend(target["legendFormat"], labels), points) for labels, points in found]
            panels.append(Panel(panel["title"], panel["fieldConfig"]["defaults"]["unit"], series))
    return panels, empty


async def _query(
    http: aiohttp.ClientSession, prometheus: str, query: str, began: float
) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
    parameters = {
        "query": query.replace("$__rate_interval", RATE_INTERVAL).replace("$host", ".*"),
        "start": str(began),
        "end": str(time.time()),
        "step": "1",
    }
    async with http.get(f"{prometheus}/api/v1/query_range", params=parameters) as response:
        body: dict[str, Any] = await response.json()
    assert body["status"] == "success", body
    series = []
    for one in body["data"]["result"]:
        values = [(float(at) - began, float(value)) for at, value in one["values"] if value != "NaN"]
        if values:
            series.append((one["metric"], values))
    return series


def _legend(template: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    # A label that does not apply is empty, and Prometheus drops it.
    return {"{{error_type}}": "success", "{{http_response_status_code}}": "no response"}.get(template, template)


# The picture.

_WIDTH: Final = 900
_CELL: Final = 150.0
_HALF: Final = _WIDTH / 2


def draw(panels: list[Panel]) -> str:
    """Return the panels as a picture, two in a row."""
    rows = (len(panels) + 1) // 2
    drawing = Drawing(
        "The dashboard of okx_sol_async",
        f"{len(panels)} panels over {SECONDS} seconds of a bot on the emulator: {', '.join(p.title for p in panels)}.",
        _WIDTH,
        round(rows * _CELL + 16),
    )
    for number, panel in enumerate(panels):
        _draw_panel(drawing, panel, number % 2 * _HALF, number // 2 * _CELL + 8)
    return str(drawing)


def _draw_panel(drawing: Drawing, panel: Panel, left: float, top: float) -> None:
    x, y, width, height = left + 56, top + 34, _HALF - 76, _CELL - 72
    values = [value for series in panel.series for _, value in series.points] or [0.0]
    least, most = min(0.0, *values), max(0.0, *values)
    span = (most - least) or 1.0
    drawing.text(left + 14, top + 20, panel.title, "head")
    for share in (0.0, 0.5, 1.0):
        at = y + height * (1 - share)
        drawing.line(x, at, x + width, at, "grid")
        drawing.text(x - 6, at + 4, _shown(least + span * share, panel.unit), "tick", "end")
    legend = x
    for series, kind in zip(panel.series, KINDS * 3, strict=False):
        points = [(x + at / SECONDS * width, y + height * (1 - (value - least) / span)) for at, value in series.points]
        for (before, _), (after, _) in pairwise(series.points):
            assert before < after
        drawing.curve([(min(at, x + width), height_at) for at, height_at in points], f"line {kind}")
        drawing.dot(legend + 4, top + _CELL - 20, 3.4, kind)
        drawing.text(legend + 12, top + _CELL - 16, series.name, "small")
        legend += 26 + 6.6 * len(series.name)


def _shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.2g} s" if abs(value) >= 1 else f"{value * 1000:.0f} ms"
    return f"{value:.3g}"
