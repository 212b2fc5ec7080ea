"""The control API does over HTTP what `Emulator` does in Python, and only for those that it is meant for."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest

from okx_sol_async.emulator import Emulator, faults
from okx_sol_async.emulator.control import _api
from okx_sol_async.emulator.control._operations import OPERATIONS
from okx_sol_async.errors import ConfigurationError
from tests.support.signed_calls import BALANCE_PATH, NOON, Caller, Staker, signed

if TYPE_CHECKING:
    import trustme

pytestmark = pytest.mark.virtual_clock

BALANCE = f"GET {BALANCE_PATH}"


class Control:
    """A client of the control API."""

    def __init__(self, http: aiohttp.ClientSession, exchange: Emulator) -> None:
        self.http = http
        self.exchange = exchange

    async def __call__(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:  # noqa: ANN401
        url = f"{self.exchange.url}/_emulator{path}"
        async with self.http.request(method, url, json=body, **more) as response:
            return response.status, await response.json()

    async def done(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - whatever the JSON is
        status, value = await self(method, path, body)
        assert 200 == status, value
        return value


@pytest.fixture
async def control(frozen_exchange: Emulator) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as http:
        yield Control(http, frozen_exchange)


class TestTwoFaces:
    """Each operation has the effect of the method of `Emulator`, and `Emulator` sees it."""

    async def test_requests_and_tallies(self, frozen_exchange: Emulator, control: Control, staker: Staker) -> None:
        """The journal and what is counted are the same, and can be filtered; no secret is in it."""
        await staker.post("purchase", {"amt": "1000"})
        for _ in range(7):
            await staker.get("balance")
        uid = frozen_exchange.user.uid
        entries = await control.done("GET", "/requests")
        first = frozen_exchange.calls[0]

        assert [call.trace_id for call in frozen_exchange.calls] == [entry["trace_id"] for entry in entries]
        assert ("51736", '{"amt": "1000"}', first.received_at.isoformat()) == (
            entries[0]["code"],
            entries[0]["body"],
            entries[0]["received_at"],
        )
        assert 1 == len(await control.done("GET", f"/requests?code=50011&user={uid}"))
        assert 7 == len(await control.done("GET", f"/requests?endpoint=GET%20{BALANCE_PATH}"))
        assert 2 == len(await control.done("GET", "/requests?limit=2"))
        key = frozen_exchange.credentials
        assert not {key.api_key, key.secret_key, key.passphrase} & set(re.findall(r"[\w-]+", json.dumps(entries)))
        tally = frozen_exchange.tally(uid=uid)
        assert {"received": 8, "accepted": 6, "refused": 1, "rejected": 1, "faulted": 0} == (
            await control.done("GET", f"/tally?user={uid}")
        )
        assert (8, 6, 1) == (tally.received, tally.accepted, tally.refused)
        most = await control.done("GET", f"/most-within?seconds=1&endpoint=GET%20{BALANCE_PATH}")
        assert frozen_exchange.most_within(1, endpoint=BALANCE) == most["most"] == 7

    async def test_faults(self, frozen_exchange: Emulator, control: Control, staker: Staker) -> None:
        """A fault is added by its name and fields, waits, is listed, applies, and is stopped."""
        await control.done("POST", "/faults", {"fault": "Refusal", "code": "50001", "after": 1})
        await control.done(
            "POST", "/faults", {"faults": [{"fault": "Delay", "back": 0.1}, {"fault": "Page"}], "endpoint": BALANCE}
        )
        await control.done("POST", "/faults", {"fault": "Page", "probability": 0.0, "times": None})
        assert [{"fault": "Refusal", "code": "50001"}] == (await control.done("GET", "/faults"))[0]["faults"]
        assert "0" == await staker.code("product-info")
        assert "50001" == await staker.code("product-info")
        assert [(faults.Delay(back=0.1), faults.Page())] == [one.faults for one in frozen_exchange.faults][:1]
        await control.done("DELETE", "/faults")
        assert () == frozen_exchange.faults
        assert "0" == await staker.code("balance")

    @pytest.mark.parametrize("name", [name for name in faults.__all__ if name != "Fault"])
    async def test_every_fault_by_its_name(self, authority: trustme.CA, name: str) -> None:
        """Each fault of the Python class can be added, those of handshakes too where the exchange serves over TLS."""
        pem = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes().decode()
        required: dict[str, dict[str, object]] = {
            "Refusal": {"code": 50011},
            "Body": {"body": "{"},
            "Redirect": {"url": "/x"},
            "TruncateResponse": {"at": 1},
            "DateHeader": {"value": 60},
            "WrongClock": {"seconds": -45},
            "ExtraHeader": {"name": "X-A", "value": "b"},
            "WrongCertificate": {"context": pem},
        }
        context, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(trusting)
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with Emulator(tls=context) as exchange, aiohttp.ClientSession(connector=connector) as http:
            added = await Control(http, exchange).done("POST", "/faults", {"fault": name} | required.get(name, {}))

        assert name == added["faults"][0]["fault"] == type(exchange.faults[0].faults[0]).__name__

    async def test_faults_of_handshakes(self, control: Control) -> None:
        """Over plain HTTP there is no handshake to fail."""
        status, value = await control("POST", "/faults", {"fault": "BrokenHandshake"})
        assert (400, "faults") == (status, value["field"])

    async def test_users_and_keys(self, frozen_exchange: Emulator, control: Control, call: Caller) -> None:
        """Users and keys are added and changed, and work at once."""
        added = await control.done("POST", "/users", {"sol": "2.5", "balance": {"amt": "3"}, "vip": 2})
        user = frozen_exchange.users[1]
        assert (user.uid, Decimal("2.5"), 2) == (added["uid"], user.sol, user.vip)
        changed = await control.done("PATCH", f"/users/{user.uid}", {"sol": "7", "balance": None})
        assert (Decimal(7), None) == (user.sol, user.balance)
        assert changed == await control.done("GET", f"/users/{user.uid}")
        key = await control.done("POST", f"/users/{user.uid}/keys", {"permissions": ["trade"], "ips": ["203.0.113.7"]})
        assert (frozenset({"trade"}), ("203.0.113.7",)) == (user.keys[1].permissions, user.keys[1].ips)
        assert key["api_key"] == user.keys[1].credentials.api_key
        assert 2 == len(await control.done("GET", "/users"))
        sub = await control.done("POST", "/users", {"main": user.uid})
        assert user.uid == sub["main_uid"]

    async def test_terms(self, frozen_exchange: Emulator, control: Control) -> None:
        """The terms are read and changed, one by one."""
        value = await control.done("PATCH", "/product", {"min_amt": "0.5", "suspended": True})
        assert (Decimal("0.5"), True) == (frozen_exchange.product.min_amt, frozen_exchange.product.suspended)
        assert value == await control.done("GET", "/product")

    async def test_clock(self, frozen_exchange: Emulator, control: Control) -> None:
        """The clock is read, moved and set."""
        assert {"now": NOON.isoformat()} == await control.done("GET", "/clock")
        await control.done("POST", "/clock", {"advance": 86_400})
        assert 86_400 == (frozen_exchange.now() - NOON).total_seconds()
        await control.done("POST", "/clock", {"now": "2027-01-01T00:00:00Z"})
        assert datetime(2027, 1, 1, tzinfo=UTC) == frozen_exchange.now()

    async def test_snapshot_restore_and_reset(
        self, frozen_exchange: Emulator, control: Control, staker: Staker
    ) -> None:
        """A snapshot is a state file: restoring it brings everything back, and a reset the beginning."""
        await staker.post("purchase", {"amt": "10"})
        taken = await control.done("GET", "/snapshot")
        assert taken == frozen_exchange.snapshot()
        await staker.post("purchase", {"amt": "5"})
        await control.done("POST", "/restore", taken)
        assert Decimal(90) == frozen_exchange.user.sol
        assert taken == frozen_exchange.snapshot()
        await control.done("POST", "/reset", {})
        assert (Decimal(100), (), ()) == (
            frozen_exchange.user.sol,
            frozen_exchange.user.orders,
            frozen_exchange.calls,
        )

    async def test_stub(self, frozen_exchange: Emulator, control: Control, call: Caller) -> None:
        """A stub responds from then on."""
        await control.done("POST", "/stubs", {"path": "/api/v5/x", "response": {"code": "0", "data": [1]}})
        assert (200, {"code": "0", "data": [1]}) == await call(frozen_exchange, {}, "/api/v5/x")

    async def test_outage(self, frozen_exchange: Emulator, control: Control) -> None:
        """An outage begins after the response, and ends by itself, because no request could end it."""
        await control.done("POST", "/outage", {"seconds": 1})
        await asyncio.sleep(0.1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await control("GET", "/health")
        await asyncio.sleep(1.1)
        assert "ok" == (await control.done("GET", "/health"))["status"]
        status, value = await control("POST", "/outage", {})
        assert (400, "seconds") == (status, value["field"])


class TestGuard:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "okx.example"},
            {"Host": "127.0.0.1.okx.example"},
            {"Origin": "https://okx.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
        ],
    )
    async def test_pages_of_other_origins(
        self, frozen_exchange: Emulator, control: Control, headers: dict[str, str]
    ) -> None:
        """A page of another origin, also under a name that it has pointed here, changes and reads nothing."""
        for method, path in (("POST", "/reset"), ("GET", "/snapshot"), ("GET", "/events"), ("GET", "/")):
            status, value = await control(method, path, {} if method == "POST" else None, headers=headers)
            assert (403, None) == (status, value["field"])

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
    async def test_forms(self, frozen_exchange: Emulator, control: Control, kind: str) -> None:
        """A body must be JSON by its Content-Type, which no form of a page can send."""
        url = f"{frozen_exchange.url}/_emulator/faults"
        async with control.http.post(url, data=b'{"fault":"Page"}', headers={"Content-Type": kind}) as response:
            assert 415 == response.status
            assert "Access-Control-Allow-Origin" not in response.headers
        assert () == frozen_exchange.faults

    async def test_token(self, call: Caller) -> None:
        """With a token, only requests that carry it are served; the calls of a bot need none."""
        async with Emulator(host="0.0.0.0", token="t0ken") as exchange, aiohttp.ClientSession() as http:  # noqa: S104
            exchange._url = exchange.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
            control = Control(http, exchange)
            assert 401 == (await control("GET", "/users"))[0]
            assert 401 == (await control("GET", "/users", headers={"Authorization": "Bearer other"}))[0]
            assert 200 == (await control("GET", "/users", headers={"Authorization": "Bearer t0ken"}))[0]
            assert 200 == (await call(exchange, signed(exchange.credentials)))[0]

    def test_an_address_that_others_reach_needs_a_token(self) -> None:
        """Without a token the exchange serves this machine only."""
        with pytest.raises(ConfigurationError, match="token") as caught:
            Emulator(host="0.0.0.0")  # noqa: S104
        assert "host" == caught.value.argument


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/faults", {"fault": "Nonsense"}, "fault"),
        ("POST", "/faults", {"fault": "Refusal"}, "code"),
        ("POST", "/faults", {"fault": "WrongCertificate", "context": "x"}, "context"),
        ("POST", "/faults", {"fault": "Page", "status": 99}, "status"),
        ("POST", "/faults", {"fault": "Page", "times": 0}, "times"),
        ("POST", "/faults", {"fault": "Page", "color": 1}, "color"),
        ("POST", "/faults", {"fault": "Page", "endpoint": "GET /"}, "endpoint"),
        ("POST", "/faults", {"fault": "Page", "user": "1"}, "user"),
        ("POST", "/faults", {"faults": 1}, "faults"),
        ("POST", "/faults", {"faults": [], "status": 503}, "status"),
        ("POST", "/users", {"sol": 1}, "sol"),
        ("POST", "/users", {"balance": {"amt": "x"}}, "amt"),
        ("POST", "/users", {"color": 1}, "color"),
        ("PATCH", "/users/1", {"sol": "1"}, "user"),
        ("PATCH", "/product", {"rate": "-1"}, "rate"),
        ("POST", "/clock", {"advance": -1}, "by"),
        ("POST", "/clock", {"now": "noon"}, "now"),
        ("POST", "/clock", {"now": "2026-01-15T14:00"}, "now"),
        ("POST", "/restore", {"users": [{"color": 1}]}, "color"),
        ("POST", "/stubs", {"path": "x"}, "path"),
        ("GET", "/requests?colour=1", None, "colour"),
        ("GET", "/requests?limit=x", None, "limit"),
        ("GET", "/most-within?seconds=x", None, "seconds"),
    ],
)
async def test_errors_name_the_field(control: Control, method: str, path: str, body: object, field: str) -> None:
    """A wrong request is a 400 that names the field, and changes nothing."""
    before = control.exchange.snapshot()
    status, value = await control(method, path, body)

    assert (400, field) == (status, value["field"])
    assert value["error"].startswith(field) or field in value["error"]
    assert before == control.exchange.snapshot()


@pytest.mark.parametrize("value", ["trade", [1]])
async def test_permissions_are_a_list_of_texts(control: Control, value: object) -> None:
    """One word is not taken for its letters."""
    user = control.exchange.user
    status, error = await control("POST", f"/users/{user.uid}/keys", {"permissions": value})

    assert (400, "permissions", 1) == (status, error["field"], len(user.keys))


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000, b"\xff"])
async def test_a_body_that_is_no_object(control: Control, body: bytes) -> None:
    """It is a 400 that says so."""
    url = f"{control.exchange.url}/_emulator/faults"
    async with control.http.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        assert (400, None) == (response.status, (await response.json())["field"])


async def test_localhost_is_this_machine(control: Control) -> None:
    """The page is served under the name that people type."""
    assert 200 == (await control("GET", "/users", headers={"Host": "localhost:8080"}))[0]


async def test_the_document_has_every_operation(control: Control) -> None:
    """openapi.json lists exactly the operations that there are, each with its fields."""
    document = await control.done("GET", "/openapi.json")
    listed = {
        (method.upper(), path.removeprefix("/_emulator"))
        for path, methods in document["paths"].items()
        for method in methods
    }

    assert {(operation.method, operation.path) for operation in OPERATIONS} == listed
    for method, path in listed:
        status, _ = await control(method, path.replace("{uid}", control.exchange.user.uid), {})
        assert status in (200, 400), (method, path)
    assert 404 == (await control("GET", "/nothing"))[0]
    assert 405 == (await control("DELETE", "/users"))[0]


async def test_events(frozen_exchange: Emulator, control: Control, staker: Staker) -> None:
    """The stream sends each request as it is answered, and the time."""
    async with control.http.get(f"{frozen_exchange.url}/_emulator/events") as response:
        assert "text/event-stream" == response.content_type
        assert b"event: clock\n" == await response.content.readline()
        await staker.get("balance")
        while (line := await response.content.readline()) != b"event: request\n":
            assert line
        entry = json.loads((await response.content.readline()).removeprefix(b"data: "))
    assert ("0", frozen_exchange.calls[0].trace_id) == (entry["code"], entry["trace_id"])


async def test_a_slow_reader_of_events_gets_the_latest(
    frozen_exchange: Emulator, control: Control, staker: Staker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are left out, so that the memory of the exchange does not grow."""
    monkeypatch.setattr(_api, "_EVENTS", 1)
    await staker.get("balance")
    [entry] = frozen_exchange.calls
    async with control.http.get(f"{frozen_exchange.url}/_emulator/events") as response:
        await response.content.readline()
        [listen] = frozen_exchange.journal.listeners
        for number in range(3):
            listen(attrs.evolve(entry, trace_id=f"{number}"))
        while await response.content.readline() != b"event: request\n":
            pass
        shown = json.loads((await response.content.readline()).removeprefix(b"data: "))

    assert "2" == shown["trace_id"]


async def test_control_calls_are_no_calls(frozen_exchange: Emulator, control: Control) -> None:
    """The control API is not part of the journal, and no fault applies to it."""
    frozen_exchange.fail_next(faults.Reset(), times=None)
    await control.done("GET", "/users")

    assert () == frozen_exchange.calls
