"""The state of an exchange as plain types, for snapshots and for state files in JSON or TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

from okx_sol_async.emulator.accounts._ledger import DailyQuota, Payout
from okx_sol_async.emulator.accounts._maintenance import Maintenance
from okx_sol_async.emulator.accounts._orders import EmulatedOrder
from okx_sol_async.emulator.accounts._product import Product
from okx_sol_async.emulator.accounts._state import Permission
from okx_sol_async.errors import ConfigurationError

_ZERO: Final = Decimal(0)


@attrs.frozen(kw_only=True)
class StoredKey:
    """A key of a user."""

    api_key: str
    secret_key: str = attrs.field(repr=False)
    passphrase: str = attrs.field(repr=False)
    permissions: tuple[Permission, ...] = ("read_only", "trade")
    ips: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class StoredBalance:
    """OKSOL of a user."""

    amt: Decimal
    ccy: str = "OKSOL"
    latest_interest_accrual: Decimal = _ZERO
    total_interest_accrual: Decimal = _ZERO


@attrs.frozen(kw_only=True)
class StoredUser:
    """A user; what is left out of a file is as for a new user."""

    #: The user's id; `None` keeps the one that the exchange has made up.
    uid: str | None = None
    demo: bool = False
    #: The id of the main account; `None` for an account of its own.
    main: str | None = None
    vip: int = 0
    sol: Decimal = Decimal(100)
    balance: StoredBalance | None = None
    orders: tuple[EmulatedOrder, ...] = ()
    #: What pending orders still have to pay out.
    due: tuple[Payout, ...] = ()
    quota: DailyQuota = attrs.field(factory=DailyQuota)
    #: `None` keeps the keys that the exchange has made up.
    keys: tuple[StoredKey, ...] | None = None


@attrs.frozen(kw_only=True)
class StoredClock:
    """The exchange's clock."""

    #: A fixed time, which makes a run repeatable; `None` keeps the clock's source.
    now: datetime | None = None
    moved: float = 0.0
    limits_moved: float = 0.0


@attrs.frozen(kw_only=True)
class StoredFault:
    """Faults that wait for calls."""

    faults: tuple[dict[str, Any], ...]
    endpoint: str | None = None
    #: The id of the user; `None` for everyone's calls.
    user: str | None = None
    probability: float = 1.0
    times: int | None = 1
    after: int = 0


@attrs.frozen(kw_only=True)
class RecordedResponse:
    """What another exchange sent, without secrets, and where its shape differs from the emulator's response."""

    #: Method, path and query.
    request: str
    #: The position in `Snapshot.users` of the user whose key it carried; `None` without a key.
    user: int | None = None
    status: int = 200
    #: The JSON of the response; text where it is none.
    body: Any = None
    differs: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path."""
        return self.request.partition(" ")[2].partition("?")[0]


@attrs.frozen(kw_only=True)
class Snapshot:
    """The state of an exchange."""

    clock: StoredClock = attrs.field(factory=StoredClock)
    product: Product = attrs.field(factory=Product)
    maintenance: tuple[Maintenance, ...] = ()
    pool: DailyQuota = attrs.field(factory=DailyQuota)
    users: tuple[StoredUser, ...] = (StoredUser(),)
    faults: tuple[StoredFault, ...] = ()
    #: What another exchange sent; it is not restored.
    recorded: tuple[RecordedResponse, ...] = ()


def _decimal(value: object, _: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        message = f"must be a decimal number as text, not {value!r}"
        raise ConfigurationError(message)
    try:
        return Decimal(value)
    except InvalidOperation:
        message = f"must be a decimal number as text, not {value!r}"
        raise ConfigurationError(message) from None


def _time(value: object, _: object) -> datetime:
    # TOML has times of its own.
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if time.tzinfo is None:
        message = f"must be a time with its zone, not {value!r}"
        raise ConfigurationError(message)
    return time


def _day(value: object, _: object) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


_converter: Final = cattrs.Converter(forbid_extra_keys=True)
_converter.register_structure_hook(Decimal, _decimal)
_converter.register_structure_hook(datetime, _time)
_converter.register_structure_hook(date, _day)
_converter.register_unstructure_hook(Decimal, "{:f}".format)
_converter.register_unstructure_hook(datetime, datetime.isoformat)
_converter.register_unstructure_hook(date, date.isoformat)


def to_plain(value: object) -> Any:  # noqa: ANN401 - plain types of any shape
    """Return a snapshot, or a part of one, as plain types: decimals as text, times as RFC 3339."""
    return _converter.unstructure(value)


def from_plain(value: object, kind: type[Any], name: str) -> Any:  # noqa: ANN401 - of the kind that is asked for
    """Return a snapshot, or a part of one, from plain types.

    Raises:
        ConfigurationError: a field is wrong or unknown, and `ConfigurationError.argument` names it.

    """
    if not isinstance(value, Mapping):
        message = f"{name} must be an object, not {value!r}"
        raise ConfigurationError(message, argument=name)
    try:
        return _converter.structure(value, kind)
    except (ClassValidationError, IterableValidationError) as group:
        field, cause = _first_cause(group)
        field = field or name
        text = f"{cause}" if isinstance(cause, ConfigurationError) else f"{field} is wrong: {cause}"
        message = text if text.startswith(field) else f"{field} {text}"
        raise ConfigurationError(message, argument=field) from None


def read_state_file(path: Path | str) -> Snapshot:
    """Return the state in a file, in TOML if its name ends in .toml and else in JSON.

    Raises:
        ConfigurationError: it can't be read, or a field is wrong.

    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
        plain = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        message = f"state {path} can't be read: {error}"
        raise ConfigurationError(message, argument="state") from None
    read: Snapshot = from_plain(plain, Snapshot, "state")
    return read


def _first_cause(error: Exception) -> tuple[str, Exception]:
    """Return the innermost field that is wrong, and what is wrong with it."""
    if isinstance(error, ForbiddenExtraKeysError):
        extra = min(error.extra_fields)
        return extra, ValueError("there is no such field")
    if isinstance(error, ClassValidationError | IterableValidationError):
        inner = error.exceptions[0]
        field, cause = _first_cause(inner)
        notes = getattr(inner, "__notes__", [])
        own = next((name for note in notes if (name := getattr(note, "name", ""))), "")
        return field or str(own), cause
    argument = error.argument if isinstance(error, ConfigurationError) else None
    return argument or "", error
