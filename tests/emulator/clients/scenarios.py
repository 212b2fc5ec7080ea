"""What every client by other authors must see from the local exchange, whatever it is written in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal

import attrs

from okx_sol_async.emulator import Emulator

STAKING = "finance/staking-defi/sol"


@attrs.frozen
class Settings:
    """What a client is made with."""

    url: str
    api_key: str
    secret_key: str
    passphrase: str
    demo: bool = False


#: Makes the calls of a client, and returns the code of each response.
Calls = Callable[[Settings, tuple[str, ...]], list[str]]

EVERY_CALL = ("balance", "product", "purchase", "redeem", "history", "apy")
PRIVATE = EVERY_CALL[:-1]

#: Each mistake: how the settings are changed, how far the exchange's clock is ahead, and the code of each private call.
MISTAKES: Mapping[str, tuple[dict[str, object], float, str]] = {
    "wrong secret": ({"secret_key": "0" * 32}, 0.0, "50113"),
    "wrong passphrase": ({"passphrase": "not-it"}, 0.0, "50105"),
    "demo flag": ({"demo": True}, 0.0, "50101"),
    "clock is late": ({}, 60.0, "50102"),
    "clock is early": ({}, -60.0, "50102"),
}


def settings_of(exchange: Emulator, **changes: object) -> Settings:
    """Return the right settings, with changes."""
    key = exchange.credentials
    return attrs.evolve(Settings(exchange.url, key.api_key, key.secret_key, key.passphrase), **changes)


@contextmanager
def serving(*, ahead: float = 0.0, demo: bool = False) -> Iterator[Emulator]:
    """Serve an exchange, with a clock that may be wrong."""
    with Emulator(now=lambda: time.time() + ahead, demo=demo) as exchange:
        yield exchange


def check_everything_works(calls: Calls) -> None:
    """Make every call once; the exchange did what each asks for, and what it sent can be read."""
    with serving() as exchange:
        codes = calls(settings_of(exchange), EVERY_CALL)
        user = exchange.user

    assert ["0"] * len(EVERY_CALL) == codes
    assert [("purchase", Decimal("1.5")), ("redeem", Decimal("0.5"))] == [(one.type, one.amt) for one in user.orders]
    assert (Decimal("98.5"), Decimal("0.5")) == (user.sol, user.redeeming)
    assert [{"type": "redeem", "limit": "1"}, {"days": "7"}] == [call.parameters for call in exchange.calls[-2:]]


def check_a_mistake(calls: Calls, mistake: str) -> None:
    """Make every private call with something wrong; each is refused for it, and nothing moves."""
    changes, ahead, code = MISTAKES[mistake]
    with serving(ahead=ahead) as exchange:
        codes = calls(settings_of(exchange, **changes), PRIVATE)

    assert [code] * len(PRIVATE) == codes
    assert () == exchange.user.orders


def check_demo(calls: Calls) -> None:
    """With a demo key and the flag, reads work and writes are refused, as OKX documents for demo trading."""
    with serving(demo=True) as exchange:
        codes = calls(settings_of(exchange, demo=True), PRIVATE)

    assert ["0", "0", "50038", "50038", "0"] == codes


def check_the_limit(calls: Calls) -> None:
    """Above six calls of the balance in a second there is a refusal; fewer than seven in any second are accepted."""
    with serving() as exchange:
        codes = calls(settings_of(exchange), ("balance",) * 60)
        accepted = [call.arrived_at for call in exchange.calls if call.accepted]

    # A client on a machine that has much else to do may keep below the limit by itself.
    assert {"0"} <= set(codes) <= {"0", "50011"}
    assert ("50011" in codes) == (exchange.most_within(1.0) > 6)
    assert all(later - first >= 1.0 for first, later in zip(accepted, accepted[6:], strict=False))
