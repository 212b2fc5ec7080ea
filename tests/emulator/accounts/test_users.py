"""Users and their keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from okx_sol_async.emulator import (
    DEFAULT_BALANCE,
    Emulator,
)
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.models import Balance
from okx_sol_async.pytest_plugin import okx_emulator  # noqa: F401 - found here also where the package is not installed
from tests.support.signed_calls import (
    BALANCE_PATH,
    ROW,
    VECTOR_KEY,
    Caller,
    signed,
    success,
)

BALANCE = f"GET {BALANCE_PATH}"

pytestmark = pytest.mark.virtual_clock


class TestUsers:
    def test_keys_look_like_those_of_okx(self) -> None:
        """Made-up keys have the form of OKX's: a uuid, 32 capital hexadecimal digits, and a uid of 17 digits."""
        user = Emulator().user
        key = user.credentials

        assert [8, 4, 4, 4, 12] == [len(group) for group in key.api_key.split("-")]
        assert 32 == len(key.secret_key)
        assert key.secret_key == f"{int(key.secret_key, 16):032X}"
        assert " " not in key.passphrase
        assert 17 == len(user.uid)
        assert user.uid.isdecimal()

    def test_everybody_differs(self) -> None:
        """No two users, keys or emulators of a process share a uid, key, secret or passphrase."""
        exchanges = [Emulator(seed=1), Emulator(seed=1)]
        users = [user for exchange in exchanges for user in (exchange.user, exchange.add_user())]
        keys = [key for user in users for key in (user.credentials, user.add_key(), user.add_key())]

        assert 4 == len({user.uid for user in users})
        for field in ("api_key", "secret_key", "passphrase"):
            assert 12 == len({getattr(key, field) for key in keys})
        for user in users:
            assert user.uid == user.credentials.user_id

    async def test_each_user_has_its_balance(self, call: Caller) -> None:
        """Each user is answered with its own balance, whichever of its keys asks."""
        async with Emulator() as exchange:
            poor = exchange.add_user(balance=None)
            rich = exchange.add_user(balance=Balance("OKSOL", Decimal(1000), Decimal(1), Decimal(2)))

            assert success() == await call(exchange, signed(poor.add_key()))
            assert "1000.00000000" == (await call(exchange, signed(rich.credentials)))[1]["data"][0]["amt"]
            assert DEFAULT_BALANCE == exchange.user.balance
            assert success(ROW) == await call(exchange)

    async def test_demo_user(self, call: Caller) -> None:
        """A demo user may live beside live ones."""
        async with Emulator() as exchange:
            demo = exchange.add_user(demo=True)

            assert demo.demo
            assert "50101" == (await call(exchange, signed(demo.credentials)))[1]["code"]
            assert 200 == (await call(exchange, signed(demo.credentials) | {"x-simulated-trading": "1"}))[0]

    def test_what_is_fixed_stays(self) -> None:
        """A user's uid, mode and first key cannot be set."""
        user = Emulator().user

        for field in ("uid", "demo", "credentials"):
            with pytest.raises(AttributeError):
                setattr(user, field, getattr(user, field))

    def test_no_secrets_in_repr(self) -> None:
        """No repr shows a secret, a passphrase or a whole key."""
        exchange = Emulator()
        user = exchange.add_user()
        user.add_key(VECTOR_KEY)
        shown = f"{exchange!r} {exchange} {user!r} {user} {[*exchange._state.keys.values()]!r}"

        assert user.uid in repr(user)
        for key in (exchange.credentials, user.credentials, VECTOR_KEY):
            assert not [value for value in (key.api_key, key.secret_key, key.passphrase) if value in shown]


class TestArguments:
    def test_wrong_user(self) -> None:
        """A wrong balance, mode or key is a ConfigurationError that names it."""
        exchange = Emulator()
        bad: Any = "1"

        with pytest.raises(ConfigurationError, match="balance"):
            exchange.add_user(balance=bad)
        with pytest.raises(ConfigurationError, match="balance"):
            exchange.user.balance = bad
        with pytest.raises(ConfigurationError, match="demo"):
            exchange.add_user(demo=bad)
        with pytest.raises(ConfigurationError, match="credentials"):
            exchange.user.add_key(bad)
        for address in ("home", 5):
            with pytest.raises(ConfigurationError, match="ips"):
                exchange.user.add_key(ips=[address])

    def test_a_key_has_one_user(self) -> None:
        """A key that the exchange holds cannot be given again, and the error does not show it."""
        exchange = Emulator()
        other = exchange.add_user()

        with pytest.raises(ConfigurationError) as caught:
            other.add_key(exchange.credentials)

        assert exchange.credentials.api_key not in str(caught.value)
