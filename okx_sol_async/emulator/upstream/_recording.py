"""What an exchange sent, kept without secrets, and the state that it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import attrs

from okx_sol_async.emulator.accounts._ledger import Payout
from okx_sol_async.emulator.accounts._maintenance import Maintenance
from okx_sol_async.emulator.accounts._orders import EmulatedOrder
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.emulator.control._snapshot import RecordedResponse, Snapshot, StoredBalance, StoredUser, to_plain
from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import ExchangeResponse
from okx_sol_async.emulator.upstream._differences import differences
from okx_sol_async.emulator.upstream._redaction import without_private_values

_STAKING: Final = "/api/v5/finance/staking-defi/sol"
_ACCOUNT: Final = "/api/v5/account/config"
_SECRETS: Final = ("OK-ACCESS-KEY", "OK-ACCESS-PASSPHRASE", "OK-ACCESS-SIGN")


class Recording:
    """The latest response to each request of each key."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], RecordedResponse] = {}
        # Which user of the state a key stands for.
        self._users: dict[str, int] = {}
        #: Called with nothing after each response.
        self.listeners: Final[list[Callable[[], object]]] = []

    def add(self, request: ReceivedRequest, theirs: ExchangeResponse, ours: ExchangeResponse, *, signed: bool) -> None:
        """Keep what an exchange responded, and how it differs from what the emulator would."""
        key = request.headers.get("OK-ACCESS-KEY", "") if signed else ""
        user = self._users.setdefault(key, len(self._users)) if key else None
        body = _json_of(theirs.body)
        secrets = [value for name in _SECRETS if (value := request.headers.get(name))]
        found = differences(body, _json_of(ours.body))
        self._kept[key, request.target] = RecordedResponse(
            request=f"GET {request.target}",
            user=user,
            status=theirs.status,
            body=without_private_values(body, secrets, account=request.path == _ACCOUNT),
            differs=(*_status_difference(theirs, ours), *found),
        )
        for listen in tuple(self.listeners):
            listen()

    @property
    def responses(self) -> tuple[RecordedResponse, ...]:
        """What is kept, in the order of the first request of each kind."""
        return tuple(self._kept.values())

    def state(self) -> dict[str, object]:
        """Return a state file: what the responses show, and the responses themselves."""
        plain: dict[str, object] = to_plain(
            Snapshot(
                product=self._product(),
                maintenance=tuple(_rows(self._data("/api/v5/system/status"), _maintenance)),
                users=tuple(map(self._user, range(max(1, len(self._users))))),
                recorded=self.responses,
            )
        )
        # Neither is known of another exchange.
        return {name: part for name, part in plain.items() if name not in ("clock", "pool")}

    def _data(self, path: str, user: int | None = None) -> Iterator[Any]:
        """Give each row that came for a path, of successes alone."""
        for one in self.responses:
            if one.path == path and one.user == user and isinstance(one.body, Mapping) and one.body.get("code") == "0":
                data = one.body.get("data")
                yield from data if isinstance(data, list) else [data]

    def _product(self) -> Product:
        terms: dict[str, Any] = {"apy": dict(_rows(self._data(f"{_STAKING}/apy-history"), _apy))}
        for user in self._users.values():
            for row in _rows(self._data(f"{_STAKING}/product-info", user), _terms):
                terms |= row
        return Product(**terms)

    def _user(self, number: int) -> StoredUser:
        stored = StoredUser(balance=None, orders=self._orders(number))
        for balance in _rows(self._data(f"{_STAKING}/balance", number), _balance):
            due = tuple(_due(stored.orders))
            stored = attrs.evolve(stored, balance=balance, due=due)
        for ccy, amt in _rows(self._data("/api/v5/asset/balances", number), _available):
            if ccy == "SOL":
                stored = attrs.evolve(stored, sol=amt)
        return stored

    def _orders(self, number: int) -> tuple[EmulatedOrder, ...]:
        rows = _rows(self._data(f"{_STAKING}/purchase-redeem-history", number), _order)
        # Pages overlap, and the same page may have been requested with other filters.
        return tuple(sorted(dict.fromkeys(rows), key=lambda order: order.request_time))


def _json_of(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _status_difference(theirs: ExchangeResponse, ours: ExchangeResponse) -> Iterator[str]:
    if theirs.status != ours.status:
        yield f"status: {theirs.status} upstream, {ours.status} in the emulator"


def _rows(rows: Iterable[Any], read: Callable[[Any], Any]) -> Iterator[Any]:
    """Read rows; one that has not the documented fields is left out, and `RecordedResponse.body` still has it."""
    for row in rows:
        try:
            yield read(row)
        except (LookupError, TypeError, ValueError, InvalidOperation):
            continue


def _balance(row: Mapping[str, str]) -> StoredBalance:
    return StoredBalance(
        ccy=row["ccy"],
        amt=Decimal(row["amt"]),
        latest_interest_accrual=Decimal(row["latestInterestAccrual"]),
        total_interest_accrual=Decimal(row["totalInterestAccrual"]),
    )


def _available(row: Mapping[str, str]) -> tuple[str, Decimal]:
    return row["ccy"], Decimal(row["availBal"])


def _terms(row: Mapping[str, str]) -> dict[str, object]:
    return {
        "rate": Decimal(row["rate"]) / 100,
        "min_amt": Decimal(row["minAmt"]),
        "redempt_days": int(row["redemptDays"]),
        "fast_redemption_daily_limit": Decimal(row["fastRedemptionDailyLimit"]),
    }


def _apy(row: Mapping[str, str]) -> tuple[object, Decimal]:
    return _time(row["ts"]).date(), Decimal(row["rate"])


def _order(row: Mapping[str, Any]) -> EmulatedOrder:
    return EmulatedOrder(
        type=row["type"],
        amt=Decimal(row["amt"]),
        request_time=_time(row["requestTime"]),
        status=row["status"],
        completed_time=_time(row["completedTime"]) if row.get("completedTime") else None,
        est_completed_time=_time(row["estCompletedTime"]) if row.get("estCompletedTime") else None,
        redeeming_amt=Decimal(row["redeemingAmt"]) if row.get("redeemingAmt") else None,
        ord_id=row.get("ordId") or None,
    )


def _due(orders: tuple[EmulatedOrder, ...]) -> Iterator[Payout]:
    for number, order in enumerate(orders):
        if order.status == "pending" and order.est_completed_time is not None and order.redeeming_amt:
            yield Payout(order.est_completed_time.timestamp(), number, order.redeeming_amt)


def _maintenance(row: Mapping[str, Any]) -> Maintenance:
    return Maintenance(
        title=row["title"], begin=_time(row["begin"]), end=_time(row["end"]), state=row.get("state") or "scheduled"
    )


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
