"""`Emulator` and the control API are two faces of one object: every operation is driven through both and compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import attrs
import pytest

from okx_sol_async import Balance
from okx_sol_async.emulator import Emulator, Product, faults
from okx_sol_async.emulator.control._operations import OPERATIONS
from tests.support.signed_calls import BALANCE_PATH, NOON, STAKING, Staker, iso, okso

pytestmark = pytest.mark.virtual_clock

BALANCE = f"GET {BALANCE_PATH}"
UID = "44705892343619584"
STATE = {
    "users": [
        {"uid": UID, "balance": {"amt": "3"}, "keys": [{"api_key": "k", "secret_key": "s", "passphrase": "p"}]},
    ],
    "faults": [{"faults": [{"fault": "Page"}], "endpoint": f"POST {STAKING}/redeem"}],
}
#: What differs between two exchanges, because it is made up.
MADE_UP = {"uid", "keys", "api_key", "secret_key", "passphrase", "trace_id", "main_uid"}


@attrs.frozen
class Faces:
    """One operation: what is sent to the API, and what does the same in Python and returns what the API must."""

    path: str
    body: object
    in_python: Callable[[Emulator], object]


def rows(exchange: Emulator) -> list[dict[str, object]]:
    return [
        {
            "uid": call.uid,
            "endpoint": call.endpoint,
            "query": call.query,
            "body": call.body.decode(),
            "parameters": call.parameters,
            "headers": {name: value for name, value in call.headers.items() if name != "Host"},
            "status": call.status,
            "code": call.code,
            "received_at": call.received_at.isoformat(),
            "faults": [{"fault": type(fault).__name__} for fault in call.faults],
            "accepted": call.accepted,
            "refused": call.refused,
        }
        for call in exchange.calls
    ]


def user(exchange: Emulator, number: int = 0) -> dict[str, object]:
    one = exchange.users[number]
    held = one.balance
    return {
        "demo": one.demo,
        "vip": one.vip,
        "sol": f"{one.sol:f}",
        "redeeming": f"{one.redeeming:f}",
        "purchasing": f"{one.purchasing:f}",
        "balance": None if held is None else {"amt": f"{held.amt:f}", "ccy": held.ccy},
    }


def waiting(injections: tuple[Any, ...]) -> list[dict[str, object]]:
    return [
        {
            "faults": [{"fault": type(fault).__name__} for fault in one.faults],
            "endpoint": one.endpoint,
            "left": one.left,
            "hits": one.hits,
        }
        for one in injections
    ]


def added(exchange: Emulator) -> object:
    exchange.add_user(sol=Decimal("2.5"), balance=okso("4"), vip=1, main=exchange.user)
    return user(exchange, 1)


def changed(exchange: Emulator) -> object:
    exchange.user.sol, exchange.user.vip = Decimal(7), 2
    exchange.user.balance = Balance("OKSOL", Decimal(5), Decimal(0), Decimal(1))
    return user(exchange)


def with_a_key(exchange: Emulator) -> object:
    exchange.user.add_key(permissions=["trade"], ips=["203.0.113.7"])
    return {}


def other_terms(exchange: Emulator) -> object:
    exchange.product = attrs.evolve(exchange.product, min_amt=Decimal("0.5"), redempt_days=3, suspended=True)
    return {"min_amt": "0.5", "redempt_days": 3, "suspended": True}


def failing(exchange: Emulator) -> object:
    made = exchange.fail_next(faults.Refusal("50001"), faults.Delay(back=0.1), times=2, after=1, user=exchange.user)
    return {"left": made.left, "hits": 0, "user": exchange.user.uid, "endpoint": None}


def moved(exchange: Emulator) -> object:
    exchange.advance(timedelta(hours=3), limits=True)
    return {"now": exchange.now().isoformat()}


def restored(exchange: Emulator) -> object:
    exchange.restore(STATE | {"product": {"rate": "0.1"}, "clock": {"moved": 60}})
    return exchange.snapshot()


def done(act: Callable[[Emulator], object]) -> Callable[[Emulator], object]:
    """Return an operation whose response from the API has nothing to compare."""
    return lambda exchange: [act(exchange), {}][1]


FACES: Mapping[str, Faces] = {
    "GET /health": Faces("/health", None, lambda one: {"status": "ok", "window": one.window}),
    "GET /limits": Faces("/limits", None, lambda one: {name: list(limit) for name, limit in one.limits.items()}),
    "GET /requests": Faces("/requests", None, rows),
    "GET /tally": Faces(f"/tally?user={UID}", None, lambda one: attrs.asdict(one.tally(uid=UID))),
    "GET /most-within": Faces(
        f"/most-within?seconds=1&endpoint={BALANCE}", None, lambda one: {"most": one.most_within(1, endpoint=BALANCE)}
    ),
    "GET /faults": Faces("/faults", None, lambda one: waiting(one.faults)),
    "GET /unused-faults": Faces("/unused-faults", None, lambda one: waiting(one.unused_faults)),
    "POST /faults": Faces(
        "/faults",
        {
            "faults": [{"fault": "Refusal", "code": "50001"}, {"fault": "Delay", "back": 0.1}],
            "times": 2,
            "after": 1,
            "user": UID,
        },
        failing,
    ),
    "DELETE /faults": Faces("/faults", None, done(lambda one: one.stop_failing())),
    "POST /outage": Faces("/outage", {"seconds": 1}, done(lambda one: one.outage(1))),
    "POST /reset": Faces("/reset", None, done(lambda one: one.reset())),
    "GET /users": Faces("/users", None, lambda one: [user(one)]),
    "POST /users": Faces("/users", {"sol": "2.5", "balance": {"amt": "4"}, "vip": 1, "main": UID}, added),
    "GET /users/{uid}": Faces(f"/users/{UID}", None, user),
    "PATCH /users/{uid}": Faces(
        f"/users/{UID}", {"sol": "7", "vip": 2, "balance": {"amt": "5", "total_interest_accrual": "1"}}, changed
    ),
    "POST /users/{uid}/keys": Faces(
        f"/users/{UID}/keys", {"permissions": ["trade"], "ips": ["203.0.113.7"]}, with_a_key
    ),
    "GET /product": Faces("/product", None, lambda _: {"rate": f"{Product().rate:f}", "apy": {}}),
    "PATCH /product": Faces("/product", {"min_amt": "0.5", "redempt_days": 3, "suspended": True}, other_terms),
    "GET /clock": Faces("/clock", None, lambda one: {"now": one.now().isoformat()}),
    "POST /clock": Faces("/clock", {"advance": 10_800, "limits": True}, moved),
    "GET /snapshot": Faces("/snapshot", None, lambda one: one.snapshot()),
    "GET /recorded": Faces("/recorded", None, lambda one: one.recorded()),
    "POST /restore": Faces("/restore", STATE | {"product": {"rate": "0.1"}, "clock": {"moved": 60}}, restored),
    "POST /stubs": Faces(
        "/stubs",
        {"method": "GET", "path": "/api/v5/x", "response": {"code": "7"}, "status": 418},
        done(lambda one: one.stub("GET", "/api/v5/x", {"code": "7"}, status=418)),
    ),
}


def comparable(value: object) -> object:
    """Return JSON without what is made up anew for each exchange."""
    if isinstance(value, Mapping):
        return {name: comparable(field) for name, field in value.items() if name not in MADE_UP}
    return [comparable(one) for one in value] if isinstance(value, list | tuple) else value


def is_within(expected: object, found: object) -> bool:
    """Return whether ``found`` has what is expected; objects may have more fields."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(name in found and is_within(field, found[name]) for name, field in expected.items())
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(is_within, expected, found))
    return expected == found


async def state_of(exchange: Emulator, staker: Staker) -> object:
    """Return all that can be seen of an exchange, at last by calling it."""
    seen = [comparable(exchange.snapshot()), comparable(rows(exchange)), exchange.tally()]
    seen.append([exchange.user.keys[-1].permissions, exchange.user.keys[-1].ips, len(exchange.user.keys)])
    # An outage by the control API begins when its response has been sent.
    await asyncio.sleep(0.1)
    try:
        async with staker.http.get(f"{exchange.url}/api/v5/x") as response:
            seen.append(response.status)
        seen.append(await staker.code("product-info"))
    except aiohttp.ClientConnectionError:
        seen.append("no connection")
    return seen


@pytest.fixture
async def pair() -> AsyncIterator[list[Staker]]:
    """Serve two equal exchanges, at which the same calls were made."""
    one, other = Emulator(now=NOON.timestamp), Emulator(now=NOON.timestamp)
    for exchange in (one, other):
        exchange.restore(STATE)
    async with one, other, aiohttp.ClientSession() as http:
        stakers = [Staker(http, exchange) for exchange in (one, other)]
        for staker in stakers:
            staker.timestamp = iso(NOON.timestamp())
            assert "51736" == await staker.code("purchase", {"amt": "1000"})
            assert "0" == await staker.code("balance", x="1")
        yield stakers


def test_every_operation_is_compared() -> None:
    """No operation is left out."""
    assert {f"{one.method} {one.path}" for one in OPERATIONS} == set(FACES)


@pytest.mark.parametrize("name", FACES)
async def test_both_faces(pair: list[Staker], name: str) -> None:
    """What the API responds is what Python returns, and both leave the exchange in the same state."""
    python, api = pair
    faces = FACES[name]
    expected = faces.in_python(python.exchange)
    url = f"{api.exchange.url}/_emulator{faces.path}"
    async with api.http.request(name.partition(" ")[0], url, json=faces.body) as response:
        found = await response.json()

    assert 200 == response.status, found
    assert is_within(comparable(expected), comparable(found)), (expected, found)
    assert await state_of(python.exchange, python) == await state_of(api.exchange, api)


async def test_setting_the_clock(pair: list[Staker]) -> None:
    """The clock can be set through both, too."""
    python, api = pair
    to = datetime(2027, 1, 1, tzinfo=UTC)
    python.exchange.set_time(to)
    async with api.http.post(f"{api.exchange.url}/_emulator/clock", json={"now": "2027-01-01T00:00:00Z"}) as response:
        assert {"now": to.isoformat()} == await response.json()

    assert comparable(python.exchange.snapshot()) == comparable(api.exchange.snapshot())


async def test_faults_by_probability(pair: list[Staker]) -> None:
    """``probability`` is `Emulator.fail_sometimes`."""
    python, api = pair
    python.exchange.fail_sometimes(faults.Reset(), probability=0.25, times=None)
    body = {"fault": "Reset", "probability": 0.25, "times": None}
    async with api.http.post(f"{api.exchange.url}/_emulator/faults", json=body) as response:
        assert 200 == response.status

    assert comparable(python.exchange.snapshot()) == comparable(api.exchange.snapshot())
