"""What the exchange remembers of the calls that it received."""

from __future__ import annotations

import asyncio

import pytest

from okx_sol_async.emulator import (
    JOURNAL_SIZE,
    Emulator,
    JournalEntry,
    Tally,
)
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from tests.support.signed_calls import (
    BALANCE_PATH,
    NOON,
    Caller,
    Staker,
    signed,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestCounters:
    async def test_calls(self, call: Caller) -> None:
        """Each call is remembered with its user, endpoint, time, status and code, oldest first."""
        async with Emulator() as exchange:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await call(exchange)
            await call(exchange, {})
            first, second = exchange.calls

            assert (exchange.user.uid, BALANCE, 200, "0") == (first.uid, first.endpoint, first.status, first.code)
            assert (None, BALANCE, 401, "50103") == (second.uid, second.endpoint, second.status, second.code)
            assert began <= first.arrived_at <= second.arrived_at <= loop.time()
            assert (True, False, False) == (first.accepted, first.refused, first.rejected)
            assert (False, False, True) == (second.accepted, second.refused, second.rejected)

    async def test_what_was_sent(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """The journal has query and body as they were sent, also of a refused call, and headers without secrets."""
        await staker.post("purchase", {"amt": "1000"})
        await staker.get("purchase-redeem-history", type="redeem", after="")
        write, read = frozen_exchange.calls

        assert ("51736", {"amt": "1000"}, {}) == (write.code, write.json, write.parameters)
        assert {"type": "redeem", "after": ""} == read.parameters
        assert (b"", None, "type=redeem&after=") == (read.body, read.json, read.query)
        assert NOON == write.received_at
        assert "application/json" == write.headers["Content-Type"]
        secrets = {"OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-PASSPHRASE"}
        assert {"***"} == {write.headers[name] for name in secrets}

    async def test_a_rejected_call_of_a_known_user(self, call: Caller) -> None:
        """A call with a known key is the user's also when its signature is wrong, and is no arrival at the limit."""
        async with Emulator() as exchange:
            await call(exchange, signed(exchange.credentials) | {"OK-ACCESS-SIGN": "wrong"})

            assert Tally(received=1, accepted=0, refused=0, rejected=1) == exchange.tally(uid=exchange.user.uid)
            assert () == exchange.arrivals()

    def test_most_within(self) -> None:
        """The most calls in any stretch counts accepted and refused ones, and leaves out what is just so far apart."""
        exchange = Emulator()
        times_and_codes = [(1.0, "0"), (1.5, "50011"), (1.75, "50113"), (2.0, "0"), (2.25, "0"), (9.0, "0")]
        for at, code in times_and_codes:
            exchange._journal.add(JournalEntry("7", BALANCE, at, 200, code, ""))

        assert 3 == exchange.most_within(1.0)
        assert 4 == exchange.most_within(1.5)
        assert 1 == exchange.most_within(0.25)
        assert 5 == exchange.most_within(100.0, uid="7", endpoint=BALANCE)
        assert 0 == exchange.most_within(100.0, uid="8")
        assert 0 == exchange.most_within(100.0, endpoint="GET /")

    def test_memory_is_bounded(self) -> None:
        """Only the last calls are remembered."""
        assert 100_000 == JOURNAL_SIZE == Emulator()._journal._entries.maxlen

    async def test_counters_outlive_serving(self, call: Caller) -> None:
        """What was counted can be read after the exchange has closed, and its url too."""
        async with Emulator() as exchange:
            await call(exchange)

        assert 1 == exchange.count(code="0")
        assert exchange.url.startswith("http://127.0.0.1:")


class TestDelays:
    async def test_latency(self, call: Caller) -> None:
        """A call is counted one way after it was sent, and answered two ways after."""
        async with Emulator(latency=0.1) as exchange:
            sent = asyncio.get_running_loop().time()
            await call(exchange)
            answered = asyncio.get_running_loop().time()
            [arrived] = exchange.arrivals()

            assert 0.1 <= arrived - sent
            assert 0.1 <= answered - arrived

    async def test_jitter(self, call: Caller) -> None:
        """Jitter adds at most what it says to each way, and differs between calls."""
        async with Emulator(latency=0.02, jitter=0.1, seed=1) as exchange:
            sent = asyncio.get_running_loop().time()
            await asyncio.gather(*(call(exchange) for _ in range(6)))
            trips = [arrived - sent for arrived in exchange.arrivals()]

            assert all(0.02 <= trip < 0.6 for trip in trips)
            assert max(trips) - min(trips) > 0.02

    async def test_a_call_that_was_given_up_still_counts(self, call: Caller) -> None:
        """A call whose client closes the connection while it is in flight is still counted."""
        async with Emulator(latency=0.2) as exchange:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call(exchange), 0.05)

            assert 0 == exchange.count()

            await asyncio.sleep(0.3)

            assert Tally(received=1, accepted=1, refused=0, rejected=0) == exchange.tally()
