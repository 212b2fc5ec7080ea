"""The operations of the control API: each is one method of the exchange, with JSON in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import attrs

from okx_sol_async.emulator._arguments import check_seconds, check_whole_number, wrong
from okx_sol_async.emulator._exchange import EmulatedExchange
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.emulator.accounts._users import EmulatedUser
from okx_sol_async.emulator.control._fault_values import fault_of, value_of
from okx_sol_async.emulator.control._snapshot import StoredBalance, from_plain, to_plain
from okx_sol_async.emulator.faults._injections import Injection
from okx_sol_async.emulator.gateway._journal import JournalEntry
from okx_sol_async.models import Balance
from okx_sol_async.signing._credentials import Credentials


@attrs.frozen
class ControlRequest:
    """What an operation works on."""

    exchange: EmulatedExchange
    #: The parts of the path in braces.
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    outage: Callable[[float | None], object]

    @property
    def user(self) -> EmulatedUser:
        """The user of the path."""
        return user_of(self.exchange, self.path["uid"])


@attrs.frozen
class Operation:
    """One operation of the control API."""

    method: str
    path: str
    summary: str
    run: Callable[[ControlRequest], object]
    #: The fields of the body, and the parameters of the query, with their JSON types.
    fields: Mapping[str, str] = attrs.field(factory=dict)
    query: tuple[str, ...] = ()


def user_of(exchange: EmulatedExchange, uid: object) -> EmulatedUser:
    """Return the user with an id."""
    found = next((user for user in exchange.users if user.uid == uid), None)
    if found is None:
        raise wrong(uid, "user", "the uid of a user of this exchange")
    return found


def entry_value(entry: JournalEntry) -> dict[str, object]:
    """Return an entry of the journal as JSON."""
    return {
        "uid": entry.uid,
        "endpoint": entry.endpoint,
        "received_at": entry.received_at.isoformat(),
        "arrived_at": entry.arrived_at,
        "status": entry.status,
        "code": entry.code,
        "trace_id": entry.trace_id,
        "query": entry.query,
        "parameters": entry.parameters,
        "body": entry.body.decode("utf-8", "replace"),
        "headers": dict(entry.headers),
        "faults": [value_of(fault) for fault in entry.faults],
        "accepted": entry.accepted,
        "refused": entry.refused,
    }


def _user_value(user: EmulatedUser) -> dict[str, object]:
    first = user.credentials
    balance = user.balance
    return {
        "uid": user.uid,
        "main_uid": user.main_uid,
        "demo": user.demo,
        "vip": user.vip,
        "sol": f"{user.sol:f}",
        "balance": None if balance is None else to_plain(_stored(balance)),
        "redeeming": f"{user.redeeming:f}",
        "purchasing": f"{user.purchasing:f}",
        "api_key": first.api_key,
        "secret_key": first.secret_key,
        "passphrase": first.passphrase,
        "orders": to_plain(user.orders),
    }


def _stored(balance: Balance) -> StoredBalance:
    return StoredBalance(
        amt=balance.amt,
        ccy=balance.ccy,
        latest_interest_accrual=balance.latest_interest_accrual,
        total_interest_accrual=balance.total_interest_accrual,
    )


def _balance_of(value: object) -> Balance | None:
    if value is None:
        return None
    held: StoredBalance = from_plain(value, StoredBalance, "balance")
    return Balance(held.ccy, held.amt, held.latest_interest_accrual, held.total_interest_accrual)


def _amount_of(value: object, name: str) -> Decimal:
    try:
        return Decimal(value if isinstance(value, str) else "x")
    except InvalidOperation:
        raise wrong(value, name, "a decimal number as text") from None


def _injection_value(injection: Injection) -> dict[str, object]:
    return {
        "faults": [value_of(fault) for fault in injection.faults],
        "endpoint": injection.endpoint,
        "user": injection.uid,
        "probability": injection.rule.probability,
        "left": injection.left,
        "hits": injection.hits,
    }


def _requests(request: ControlRequest) -> object:
    query = request.query
    limit = query.get("limit", "1000")
    if not limit.isascii() or not limit.isdecimal():
        raise wrong(limit, "limit", "a whole number")
    found = request.exchange.journal.of(query.get("endpoint"), query.get("user"), query.get("code"))
    return [entry_value(entry) for entry in found[len(found) - min(int(limit), len(found)) :]]


def _tally(request: ControlRequest) -> object:
    tally = request.exchange.tally(endpoint=request.query.get("endpoint"), uid=request.query.get("user"))
    return attrs.asdict(tally)


def _most_within(request: ControlRequest) -> object:
    try:
        seconds = float(request.query.get("seconds", "1"))
    except ValueError:
        raise wrong(request.query["seconds"], "seconds", "a number of seconds") from None
    check_seconds("seconds", seconds)
    query = request.query
    most = request.exchange.most_within(seconds, endpoint=query.get("endpoint"), uid=query.get("user"))
    return {"seconds": seconds, "most": most}


def _add_fault(request: ControlRequest) -> object:
    body = dict(request.body)
    given = body.pop("faults", None)
    rule: dict[str, Any] = {
        name: body.pop(name) for name in ("times", "after", "probability", "endpoint", "user") if name in body
    }
    if given is None:
        given = [body]
    elif body:
        raise wrong(min(body), min(body), "a field of one of the faults")
    if not isinstance(given, list):
        raise wrong(given, "faults", "a list of faults")
    made = [fault_of(one) for one in given]
    user = rule.pop("user", None)
    owner = None if user is None else user_of(request.exchange, user)
    if "probability" in rule:
        return _injection_value(request.exchange.fail_sometimes(*made, user=owner, **rule))
    return _injection_value(request.exchange.fail_next(*made, user=owner, **rule))


def _stop_faults(request: ControlRequest) -> object:
    request.exchange.stop_failing()
    return {}


def _outage(request: ControlRequest) -> object:
    seconds = request.body.get("seconds")
    check_seconds("seconds", seconds)
    # The response is sent before the connections are reset.
    request.outage(seconds)
    return {"seconds": seconds}


def _reset(request: ControlRequest) -> object:
    request.exchange.reset()
    return {}


def _add_user(request: ControlRequest) -> object:
    body = dict(request.body)
    arguments: dict[str, Any] = {name: body.pop(name) for name in ("demo", "vip") if name in body}
    if "sol" in body:
        arguments["sol"] = _amount_of(body.pop("sol"), "sol")
    if "balance" in body:
        arguments["balance"] = _balance_of(body.pop("balance"))
    if body.get("main") is not None:
        arguments["main"] = user_of(request.exchange, body["main"])
    return _user_value(request.exchange.add_user(**arguments))


def _change_user(request: ControlRequest) -> object:
    user, body = request.user, request.body
    if "vip" in body:
        check_whole_number("vip", body["vip"], least=0)
        user.vip = body["vip"]
    if "sol" in body:
        user.sol = _amount_of(body["sol"], "sol")
    if "balance" in body:
        user.balance = _balance_of(body["balance"])
    return _user_value(user)


def _add_key(request: ControlRequest) -> object:
    body = request.body
    has_key = any(name in body for name in ("api_key", "secret_key", "passphrase"))
    own = (
        Credentials(body.get("api_key", ""), body.get("secret_key", ""), body.get("passphrase", ""))
        if has_key
        else None
    )
    arguments: dict[str, Any] = {name: body[name] for name in ("permissions", "ips") if name in body}
    for name, value in arguments.items():
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise wrong(value, name, "a list of texts")
    key = request.user.add_key(own, **arguments)
    return {"api_key": key.api_key, "secret_key": key.secret_key, "passphrase": key.passphrase, "uid": key.user_id}


def _product(request: ControlRequest) -> object:
    return to_plain(request.exchange.product)


def _change_product(request: ControlRequest) -> object:
    exchange = request.exchange
    exchange.product = from_plain(to_plain(exchange.product) | dict(request.body), Product, "product")
    return to_plain(exchange.product)


def _clock(request: ControlRequest) -> object:
    return {"now": request.exchange.now().isoformat()}


def _move_clock(request: ControlRequest) -> object:
    body = request.body
    if "now" in body:
        try:
            request.exchange.set_time(datetime.fromisoformat(str(body["now"])))
        except ValueError:
            raise wrong(body["now"], "now", "a time in RFC 3339") from None
    if "advance" in body:
        request.exchange.advance(body["advance"], limits=body.get("limits", False))
    return _clock(request)


def _restore(request: ControlRequest) -> object:
    request.exchange.restore(request.body)
    return request.exchange.snapshot()


def _stub(request: ControlRequest) -> object:
    body = request.body
    arguments: dict[str, Any] = {name: body[name] for name in ("status", "signed") if name in body}
    request.exchange.stub(body.get("method", "GET"), body.get("path", ""), body.get("response", {}), **arguments)
    return {}


_FILTERS: Final = ("endpoint", "user")
#: Every operation, in the order of the documentation.
OPERATIONS: Final = (
    Operation(
        "GET",
        "/health",
        "Whether it serves, and how calls are counted",
        lambda request: {"status": "ok", "window": request.exchange.window},
    ),
    Operation(
        "GET",
        "/limits",
        "The rate limit of each endpoint: requests, and seconds",
        lambda request: {endpoint: list(limit) for endpoint, limit in request.exchange.limits.items()},
    ),
    Operation("GET", "/requests", "The journal, oldest first", _requests, query=(*_FILTERS, "code", "limit")),
    Operation("GET", "/tally", "How requests were answered", _tally, query=_FILTERS),
    Operation("GET", "/most-within", "The most calls in a stretch", _most_within, query=(*_FILTERS, "seconds")),
    Operation(
        "GET",
        "/faults",
        "Faults that wait for calls",
        lambda request: list(map(_injection_value, request.exchange.faults)),
    ),
    Operation(
        "GET",
        "/unused-faults",
        "Faults that were certain to apply to a call, and have applied to none",
        lambda request: list(map(_injection_value, request.exchange.unused_faults)),
    ),
    Operation(
        "POST",
        "/faults",
        "Make the next calls fail, or with `probability` some; the fields of the fault stand beside its name",
        _add_fault,
        {
            "fault": "string",
            "faults": "array",
            "times": "integer",
            "after": "integer",
            "probability": "number",
            "endpoint": "string",
            "user": "string",
        },
    ),
    Operation("DELETE", "/faults", "Stop all faults", _stop_faults),
    Operation("POST", "/outage", "Refuse connections for a while", _outage, {"seconds": "number"}),
    Operation("POST", "/reset", "Return to the state in which it began to serve", _reset),
    Operation("GET", "/users", "All users", lambda request: [_user_value(user) for user in request.exchange.users]),
    Operation(
        "POST",
        "/users",
        "Add a user",
        _add_user,
        {"sol": "string", "balance": "object", "demo": "boolean", "main": "string", "vip": "integer"},
    ),
    Operation("GET", "/users/{uid}", "One user", lambda request: _user_value(request.user)),
    Operation(
        "PATCH",
        "/users/{uid}",
        "Change what a user holds",
        _change_user,
        {"sol": "string", "balance": "object", "vip": "integer"},
    ),
    Operation(
        "POST",
        "/users/{uid}/keys",
        "Add a key",
        _add_key,
        {
            "api_key": "string",
            "secret_key": "string",
            "passphrase": "string",
            "permissions": "array",
            "ips": "array",
        },
    ),
    Operation("GET", "/product", "The terms", _product),
    Operation(
        "PATCH",
        "/product",
        "Change the terms",
        _change_product,
        {field.name: "string" for field in attrs.fields(Product)},
    ),
    Operation("GET", "/clock", "The exchange's time", _clock),
    Operation(
        "POST",
        "/clock",
        "Set the exchange's clock, or move it forward",
        _move_clock,
        {"now": "string", "advance": "number", "limits": "boolean"},
    ),
    Operation("GET", "/snapshot", "The state, as a state file", lambda request: request.exchange.snapshot()),
    Operation(
        "GET",
        "/recorded",
        "What the exchange upstream has sent, as a state file",
        lambda request: request.exchange.recorded(),
    ),
    Operation(
        "POST",
        "/restore",
        "Replace the state by a snapshot",
        _restore,
        {
            "clock": "object",
            "product": "object",
            "maintenance": "array",
            "pool": "object",
            "users": "array",
            "faults": "array",
            "recorded": "array",
        },
    ),
    Operation(
        "POST",
        "/stubs",
        "Respond to an endpoint that the exchange does not have",
        _stub,
        {"method": "string", "path": "string", "response": "object", "status": "integer", "signed": "boolean"},
    ),
)
