"""The ways in which an exchange may count calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import pytest

from okx_sol_async.emulator import (
    CounterWindow,
    Emulator,
    FixedWindow,
    SlidingWindow,
    Tally,
    TokenWindow,
    Window,
)
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from tests.support.signed_calls import BALANCE_PATH, CONFIG_PATH, ROW, TIME_PATH, Caller, Staker, signed, success

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


def accepted(window: SlidingWindow | FixedWindow | TokenWindow | CounterWindow, times: Iterable[float]) -> list[bool]:
    return [window.accept(at) for at in times]


class TestWindows:
    def test_sliding(self) -> None:
        """The sliding window looks back over exactly one period and does not count what it refused."""
        window = SlidingWindow(2, 1.0)

        assert [True, True, False, False] == accepted(window, [10.5, 10.75, 11.0, 11.25])
        assert [True, False, True, False] == accepted(window, [11.5, 11.625, 11.75, 12.25])

    def test_fixed(self) -> None:
        """The fixed window starts anew at every multiple of its period, so two bursts may touch."""
        window = FixedWindow(2, 2.0)

        assert [True, True, False] == accepted(window, [3.5, 3.75, 3.9375])
        assert [True, True, False] == accepted(window, [4.0, 4.0, 5.9375])
        assert [True] == accepted(window, [6.0])

    def test_token(self) -> None:
        """The token window takes a full burst and then one call for each token that came back."""
        window = TokenWindow(2, 1.0)

        assert [True, True, False] == accepted(window, [10.0, 10.0, 10.25])
        assert [True, False, True, True, False] == accepted(window, [10.5, 10.75, 11.0, 11.5, 11.75])
        assert [True, True, False] == accepted(window, [99.0, 99.0, 99.0])

    def test_token_takes_an_even_pace(self) -> None:
        """The token window never refuses calls at exactly its rate, whatever the rounding."""
        window = TokenWindow(6, 1.0)

        assert all(accepted(window, [1000.1] * 6))
        assert all(accepted(window, [1000.1 + n / 6 for n in range(1, 1000)]))

    def test_counter(self) -> None:
        """The counter window counts what the one before had, less and less as the new one goes on."""
        window = CounterWindow(4, 1.0)

        assert [True, True, True, True, False] == accepted(window, [10.5, 10.5, 10.75, 10.75, 10.75])
        assert [False, True, False, True, True, False] == accepted(window, [11.0, 11.25, 11.25, 11.5, 11.75, 11.75])
        # What happened two windows ago is forgotten.
        assert [True, True, True, True, False] == accepted(window, [13.0, 13.0, 13.0, 13.0, 13.0])

    def test_counter_takes_at_most_twice_the_limit_in_touching_windows(self) -> None:
        """A burst at the end of a window leaves no room at the beginning of the next."""
        window = CounterWindow(6, 1.0)

        assert [True] * 6 == accepted(window, [10.999] * 6)
        assert [False] * 3 == accepted(window, [11.0, 11.0001, 11.1])

    def test_sliding_is_the_strictest(self) -> None:
        """What a sliding window accepts, fixed windows and tokens accept as well."""
        rng = random.Random(1)
        for _ in range(50):
            at, times = rng.uniform(0, 10), []
            for _ in range(200):
                at += rng.choice([0.0, rng.expovariate(8)])
                times.append(at)
            sliding, fixed, token = SlidingWindow(6, 1.0), FixedWindow(6, 1.0), TokenWindow(6, 1.0)
            kept = [at for at in times if sliding.accept(at)]

            assert 0 < len(kept) < len(times)
            assert all(fixed.accept(at) for at in kept)
            assert all(token.accept(at) for at in kept)


class TestRateLimit:
    @pytest.mark.parametrize("window", ["sliding", "fixed", "token", "counter"])
    async def test_over_the_socket(self, call: Caller, window: Window) -> None:
        """More than the limit at once is refused with HTTP 429 and 50011, and later calls are served again."""
        async with Emulator(window=window) as exchange:
            answers = await asyncio.gather(*(call(exchange) for _ in range(20)))
            refusal = 429, {"msg": "Too Many Requests", "code": "50011"}
            # Two fixed windows may touch, and a token may come back meanwhile.
            most = 6 if window == "sliding" else 12

            assert refusal in answers
            assert 6 <= answers.count(success(ROW)) <= most
            assert 20 == answers.count(success(ROW)) + answers.count(refusal)

            # A counter remembers the window before.
            await asyncio.sleep(2.01 if window == "counter" else 1.01)

            assert success(ROW) == await call(exchange)

    async def test_keys_of_one_user_share(self, call: Caller) -> None:
        """All keys of one user are counted together."""
        async with Emulator() as exchange:
            second = exchange.user.add_key()

            assert exchange.credentials.user_id == second.user_id
            assert exchange.credentials.api_key != second.api_key
            assert ["0"] * 6 + ["50011"] * 2 == await call.codes(exchange, 8, exchange.credentials, second)
            assert Tally(received=8, accepted=6, refused=2, rejected=0) == exchange.tally(uid=exchange.user.uid)

    async def test_users_do_not_share(self, call: Caller) -> None:
        """Each user has a limit of its own."""
        async with Emulator() as exchange:
            other = exchange.add_user()
            codes = await call.codes(exchange, 14, exchange.credentials, other.credentials)

            assert ["0"] * 12 + ["50011"] * 2 == codes
            assert 7 == exchange.count(uid=other.uid)
            assert 1 == exchange.count(uid=other.uid, code="50011")

    async def test_endpoints_do_not_share(self, call: Caller) -> None:
        """Each endpoint has a limit of its own: the account configuration takes 5 calls, the public time 10."""
        async with Emulator() as exchange:
            assert ["0"] * 6 == await call.codes(exchange, 6)

            config = [(await call(exchange, path=CONFIG_PATH))[1]["code"] for _ in range(6)]
            public = [(await call(exchange, {}, TIME_PATH))[1]["code"] for _ in range(11)]

            assert ["0"] * 5 + ["50011"] == config
            assert ["0"] * 10 + ["50011"] == public
            assert 1 == exchange.count(code="50011", endpoint=f"GET {TIME_PATH}")

    async def test_public_endpoints_count_by_address(self, call: Caller) -> None:
        """A key makes no difference to the limit of a public endpoint."""
        async with Emulator() as exchange:
            other = exchange.add_user()
            for credentials in (exchange.credentials, other.credentials) * 5:
                assert "0" == (await call(exchange, signed(credentials, TIME_PATH), TIME_PATH))[1]["code"]

            assert "50011" == (await call(exchange, {}, TIME_PATH))[1]["code"]


class TestLimits:
    @pytest.mark.parametrize(
        ("path", "limit", "body"),
        [
            ("product-info", 3, None),
            ("purchase", 2, {"amt": "1"}),
            ("redeem", 2, {"amt": "0.001"}),
            ("balance", 6, None),
            ("purchase-redeem-history", 6, None),
            ("apy-history", 6, None),
        ],
    )
    async def test_each_endpoint_has_its_limit(
        self, frozen_exchange: Emulator, staker: Staker, path: str, limit: int, body: object
    ) -> None:
        """So many calls a second are accepted, and one more is refused, of that endpoint alone."""
        days = {"days": 1} if path == "apy-history" else {}
        # From a window's beginning to its end there is time for all of these.
        codes = await asyncio.gather(*(staker.code(path, body, **days) for _ in range(limit + 2)))

        assert limit == codes.count("0")
        assert 2 == codes.count("50011")
        assert "0" == await staker.code("balance" if path != "balance" else "product-info")

    async def test_the_apy_is_counted_by_address(self, frozen_exchange: Emulator, staker: Staker) -> None:
        """The public endpoint counts all callers of one address together, and records no user."""
        staker.credentials = frozen_exchange.add_user().credentials
        codes = await asyncio.gather(*(staker.code("apy-history", days=1) for _ in range(7)))

        assert 1 == codes.count("50011")
        assert {None} == {call.uid for call in frozen_exchange.calls}
        assert Tally(received=7, accepted=6, refused=1, rejected=0) == frozen_exchange.tally()


@pytest.mark.parametrize("window", ["sliding", "fixed", "token", "counter"])
def test_every_window_has_a_name(window: Window) -> None:
    """Each way of counting can be asked for."""
    assert f"{window} window" in repr(Emulator(window=window))
