import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import trustme
from hypothesis import HealthCheck, settings

from okx_sol_async import Session
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport._clock import ServerClock
from tests.support.skewed import wall
from tests.support.valkey import Valkey, valkey
from tests.support.virtual_time import VirtualSocketLoop, now
from tests.support.windows import shorten_windows

# How long an example takes is the machine's affair.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


def pytest_configure(config: pytest.Config) -> None:
    """Explain the mark of tests that no slow machine can disturb."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a script starts what it does not wait for, and no process that a test makes would hear of Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "virtual_clock: the loop's clock jumps to the next timer instead of waiting")
    config.addinivalue_line(
        "markers", "real_clock: a test among such ones that waits for a thread, whose clock is real"
    )


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give a test the clock that it asks for: time passes on a virtual one only when everybody waits for it."""
    is_virtual = item.get_closest_marker("virtual_clock") and not item.get_closest_marker("real_clock")
    return {"virtual": VirtualSocketLoop} if is_virtual else {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "SECRET_KEY", "PASSPHRASE", "USER_ID", "REGION", "BASE_URL", "DEMO"):
        monkeypatch.delenv(f"OKX_{name}", raising=False)


@pytest.fixture(name="clocks_of_the_loop")
def _clocks_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sessions take the time of this machine from their event loop, where no machine is slow."""
    monkeypatch.setattr(ServerClock.__init__, "__defaults__", (wall, now))


@pytest.fixture(name="short_windows")
def _short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count calls over a shorter time than OKX does, where a test waits for a turn on a real clock."""
    shorten_windows(monkeypatch)


@pytest.fixture(name="exchange")
async def _exchange() -> AsyncIterator[Emulator]:
    async with Emulator() as exchange:
        yield exchange


@pytest.fixture(name="session")
async def _session(exchange: Emulator) -> AsyncIterator[Session]:
    async with Session(base_url=exchange.url) as session:
        yield session


@pytest.fixture(name="background_exchange")
def _background_exchange() -> Iterator[Emulator]:
    with Emulator() as exchange:
        yield exchange


@pytest.fixture(name="module_exchange", scope="module")
def _module_exchange() -> Iterator[Emulator]:
    """Serve one exchange for all tests of a file."""
    with Emulator() as exchange:
        yield exchange


@pytest.fixture(name="authority", scope="session")
def _authority() -> trustme.CA:
    """Return a certificate authority that no system trusts."""
    return trustme.CA()


@pytest.fixture(name="running_valkey", scope="session")
def _running_valkey() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture(name="valkey_server")
def _valkey_server(running_valkey: Valkey) -> Valkey:
    """Offer a server that knows nothing."""
    with running_valkey.client as client:
        client.flushall()
        client.script_flush()
    return running_valkey


@pytest.fixture(name="as_user")
def _as_user(background_exchange: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Set the environment of the emulator's user."""
    credentials = background_exchange.credentials
    monkeypatch.setenv("OKX_API_KEY", credentials.api_key)
    monkeypatch.setenv("OKX_SECRET_KEY", credentials.secret_key)
    monkeypatch.setenv("OKX_PASSPHRASE", credentials.passphrase)
    monkeypatch.setenv("OKX_BASE_URL", background_exchange.url)
    return background_exchange
