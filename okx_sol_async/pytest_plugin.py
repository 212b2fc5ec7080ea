"""The pytest fixture `okx_emulator`, which is there as soon as this package is installed.

It works in plain tests and with pytest-asyncio and anyio alike, because the exchange serves from a background thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from okx_sol_async.emulator import Emulator


@pytest.fixture
def okx_emulator() -> Iterator[Emulator]:
    """Serve a local exchange for the length of one test."""
    # A test suite that does not ask for the exchange shall not wait for its import.
    from okx_sol_async.emulator import Emulator  # noqa: PLC0415

    with Emulator() as exchange:
        yield exchange
