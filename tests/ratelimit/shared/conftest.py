import asyncio
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from okx_sol_async.ratelimit.shared import _outage as outage
from okx_sol_async.ratelimit.shared._limiter import RedisLimiter
from tests.support.machines import LimiterLog
from tests.support.valkey import Valkey, three_masters, valkey


@pytest.fixture(name="virtual_outages")
def _virtual_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time outages by the clock of the loop too."""
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time()))


@pytest.fixture(name="impatient")
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try an unavailable server more often."""
    monkeypatch.setattr(outage, "TRY_EVERY", 0.25)


@pytest.fixture(name="server")
def _server() -> Iterator[Valkey]:
    """Start a server that a test may stop, freeze or misconfigure."""
    with valkey() as server:
        yield server


@pytest.fixture(name="running_cluster", scope="session")
def _running_cluster() -> Iterator[list[Valkey]]:
    with three_masters() as nodes:
        yield nodes


@pytest.fixture(name="cluster")
def _cluster(running_cluster: list[Valkey]) -> list[Valkey]:
    """Offer three servers that know nothing."""
    for node in running_cluster:
        with node.client as client:
            client.flushall()
            client.script_flush()
            client.config_resetstat()
    return running_cluster


@pytest.fixture(name="machines")
def _machines(server: Valkey) -> list[RedisLimiter]:
    """Make two limiters, whose connections are closed with the event loop."""
    return [RedisLimiter.from_url(server.url, timeout=1) for _ in range(2)]


@pytest.fixture(name="log")
def _log(caplog: pytest.LogCaptureFixture) -> LimiterLog:
    return LimiterLog(caplog)
