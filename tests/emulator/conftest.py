"""Fixtures of the tests of the local exchange."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from okx_sol_async.emulator import Emulator
from tests.support.signed_calls import NOON, Caller, Staker, iso


@pytest.fixture
async def frozen_exchange() -> AsyncIterator[Emulator]:
    """Serve an exchange whose clock stands still, two hours before interest accrues."""
    async with Emulator(now=NOON.timestamp) as exchange:
        yield exchange


@pytest.fixture
async def staker(frozen_exchange: Emulator) -> AsyncIterator[Staker]:
    async with aiohttp.ClientSession() as http:
        staker = Staker(http, frozen_exchange)
        staker.timestamp = iso(NOON.timestamp())
        yield staker


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(http)
