from collections.abc import AsyncIterator, Iterator

import pytest

from okx_sol_async import Session
from okx_sol_async.emulator import Emulator


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "SECRET_KEY", "PASSPHRASE", "USER_ID", "REGION", "BASE_URL", "DEMO"):
        monkeypatch.delenv(f"OKX_{name}", raising=False)


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
