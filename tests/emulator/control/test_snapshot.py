"""Snapshots and state files: the whole state of an exchange as plain types."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from okx_sol_async.emulator import Emulator, Maintenance, Product, faults
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import NOON, okso

STATE = """
[clock]
now = 2026-01-15T14:00:00Z

[product]
min_amt = "0.5"
apy = { "2026-01-15" = "0.0365" }

[[users]]
uid = "44705892343619584"
sol = "12.5"
balance = { amt = "3" }
keys = [{ api_key = "key", secret_key = "secret", passphrase = "words", permissions = ["read_only"] }]

[[users.orders]]
type = "purchase"
amt = "3"
request_time = 2026-01-14T10:00:00Z

[[users]]
main = "44705892343619584"

[[faults]]
faults = [{ fault = "Refusal", code = "50001" }]
times = 2
"""


def busy() -> Emulator:
    exchange = Emulator(now=NOON.timestamp, product=Product(redemption_payouts=2, fast_redemption_pool=Decimal(9)))
    exchange.user.balance = okso("5")
    exchange.user.redeem(Decimal(4))
    exchange.add_user(main=exchange.user, vip=2).add_key(ips=["127.0.0.1"])
    exchange.fail_next(faults.Refusal("50001"), faults.Delay(back=1), times=3, user=exchange.user)
    exchange.maintenance = [Maintenance(title="x", begin=NOON, end=NOON + timedelta(hours=1))]
    return exchange


def test_a_round_trip_through_json() -> None:
    """A snapshot restores everything in another exchange, pending payouts and faults included."""
    one, other = busy(), Emulator(now=NOON.timestamp)
    other.restore(json.loads(json.dumps(one.snapshot())))

    assert one.snapshot() == other.snapshot()
    for exchange in (one, other):
        exchange.advance(timedelta(days=1))
        assert (Decimal(102), Decimal(2)) == (exchange.user.sol, exchange.user.redeeming)
        assert "pending" == exchange.user.orders[0].status
        exchange.advance(timedelta(days=1))
        assert (Decimal(104), "success") == (exchange.user.sol, exchange.user.orders[0].status)


def test_a_state_file_in_toml(tmp_path: Path) -> None:
    """A file written by hand sets what it has; what it leaves out is as for a new exchange."""
    path = tmp_path / "state.toml"
    path.write_text(STATE, "utf-8")
    exchange = Emulator()
    exchange.restore(path)
    user, sub = exchange.users

    assert datetime(2026, 1, 15, 14, tzinfo=UTC) == exchange.now()
    assert ("44705892343619584", Decimal("12.5"), "key") == (user.uid, user.sol, user.credentials.api_key)
    assert exchange.user is user
    assert okso("3") == user.balance
    assert ["purchase"] == [order.type for order in user.orders]
    assert (user.uid, Decimal(100), None) == (sub.main_uid, sub.sol, sub.balance)
    assert (faults.Refusal("50001"),) == exchange.faults[0].faults
    exchange.advance(timedelta(hours=2))
    assert user.balance is not None
    # 3 * 0.0365 / 365
    assert Decimal("3.0003") == user.balance.amt


@pytest.mark.parametrize(
    ("snapshot", "field"),
    [
        ({"colour": 1}, "colour"),
        ({"users": []}, "users"),
        ({"users": [{"sol": "x"}]}, "sol"),
        ({"users": [{"orders": [{"type": "stake", "amt": "1", "request_time": "2026-01-15T14:00:00Z"}]}]}, "type"),
        ({"users": [{"sol": 1.5}]}, "sol"),
        ({"users": [{"orders": [{"type": "redeem", "amt": "1", "request_time": "2026-01-15T14:00"}]}]}, "request_time"),
        ([], "snapshot"),
        ({"product": {"rate": "-1"}}, "rate"),
        ({"faults": [{"faults": [{"fault": "Nonsense"}]}]}, "fault"),
    ],
)
def test_a_wrong_field_is_named(snapshot: Any, field: str) -> None:  # noqa: ANN401 - that is the point
    """A wrong or unknown field is named."""
    with pytest.raises(ConfigurationError) as caught:
        Emulator().restore(snapshot)

    assert field == caught.value.argument


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A file that can't be read is an error that names it."""
    path = tmp_path / "state.json"
    with pytest.raises(ConfigurationError, match=r"state\.json"):
        Emulator().restore(path)
    path.write_text("{", "utf-8")
    with pytest.raises(ConfigurationError, match=r"state\.json"):
        Emulator().restore(path)


def test_reset() -> None:
    """A reset brings back the state at the beginning, and the objects of users stay the same."""
    exchange = Emulator(now=NOON.timestamp)
    exchange.user.sol = Decimal(7)
    before = exchange.snapshot()
    with exchange:
        exchange.user.sol = Decimal(1)
        exchange.add_user()
        exchange.advance(60)
        exchange.fail_next(faults.Reset())
        exchange.stub("GET", "/x", {})
        exchange.reset()

        assert before == exchange.snapshot()
        assert (Decimal(7), 1, ()) == (exchange.user.sol, len(exchange.users), exchange.unused_faults)
        with pytest.raises(ConfigurationError, match="endpoint"):
            exchange.fail_next(faults.Reset(), endpoint="GET /x")


def test_a_reset_before_it_serves() -> None:
    """Calls and faults go; there is no beginning to return to yet."""
    exchange = Emulator()
    exchange.user.sol = Decimal(7)
    exchange.fail_next(faults.Reset())
    exchange.reset()

    assert (Decimal(7), ()) == (exchange.user.sol, exchange.faults)
