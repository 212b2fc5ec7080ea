"""What `Session.check` finds out: whether OKX is reachable, the clock is right, and the key can do what it should."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar

import attrs

from okx_sol_async.config import Region
from okx_sol_async.endpoint import ACCOUNT_CONFIG, ASSET_BALANCES, SYSTEM_STATUS, Endpoint
from okx_sol_async.errors import OKXError
from okx_sol_async.models import AccountConfig
from okx_sol_async.ratelimit._limit import Bucket
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.transport._clock import TOLERANCE
from okx_sol_async.transport._metrics import Counters

R = TypeVar("R")

#: A clock that is further from OKX's is worth a warning, in seconds.
_NOTICEABLE: Final = 1.0
#: A response that takes longer is worth a warning, in seconds.
_SLOW: Final = 2.0
#: How many times OKX is asked for its time.
_SAMPLES: Final = 2
_UNKNOWN_KEY: Final = "50119"
_WRONG_MODE: Final = "50101"
_WRONG_IP: Final = "50110"


class Level(enum.StrEnum):
    """How good or bad a `Finding` is, from `OK` to `ERROR`; `SKIPPED` was not looked at."""

    #: Nothing to do.
    OK = "ok"
    #: It was not looked at, because something before it failed or no key was given.
    SKIPPED = "skipped"
    #: Calls work, but something may soon fail.
    WARNING = "warning"
    #: Calls fail until it is fixed.
    ERROR = "error"


_SEVERITY: Final = list(Level)


@attrs.frozen
class Finding:
    """One thing that was looked at."""

    #: What: ``"connection"``, ``"clock"``, ``"maintenance"``, ``"key"``, ``"region"``, ``"mode"``, ``"permissions"``,
    #: ``"ip"``, ``"account"``, ``"limit"`` or ``"funding"``.
    name: str
    #: How good or bad it is.
    level: Level
    #: What was found, in one line without secrets.
    message: str
    #: What to do about it; `None` for nothing.
    advice: str | None = None
    #: The error of the call that failed; `None` if none did.
    error: OKXError | None = None


@attrs.frozen
class Checkup:
    """What `Session.check` has found, one `Finding` for each thing."""

    #: One finding for each check, in the order in which they were made.
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Level:
        """The worst level of all findings; `Level.SKIPPED` counts as good."""
        worst = max((finding.level for finding in self.findings), key=_SEVERITY.index, default=Level.OK)
        return Level.OK if worst is Level.SKIPPED else worst

    def __getitem__(self, name: str) -> Finding:
        """Return the finding with this name; raises `KeyError` if there is none."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)


class CheckedSession(Protocol):
    """What a checkup uses of a `Session`."""

    @property
    def origin(self) -> str:
        """The host that it talks to."""

    @property
    def demo(self) -> bool:
        """Whether it is for demo trading."""

    @property
    def counters(self) -> Counters:
        """What it has counted so far."""

    async def synchronize_clock(self, samples: int = 5) -> float:
        """Ask OKX for its time, and return how far its clock is ahead, in seconds."""

    async def call(
        self,
        endpoint: Endpoint[R],
        credentials: Credentials | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> R:
        """Call an endpoint and return its result."""

    def bucket(self, endpoint: Endpoint[Any], credentials: Credentials | None = None) -> Bucket:
        """Return the bucket that the calls of an endpoint wait for."""


#: Opens a session like the one that is checked, at another region.
OpenElsewhere = Callable[[Region], AbstractAsyncContextManager[CheckedSession]]


async def check(session: CheckedSession, credentials: Credentials | None, open_elsewhere: OpenElsewhere) -> Checkup:
    """Look at everything, in a handful of reads. What a failed call leaves open is skipped, with the reason."""
    refused_before = session.counters.refusals
    connection = await _check_connection(session)
    findings = [*connection]
    if connection[0].level is Level.ERROR:
        findings += _skipped("OKX was not reached", "maintenance", *_OF_THE_KEY)
        return Checkup(tuple(findings))
    findings.append(await _check_maintenance(session))
    if credentials is None:
        findings += _skipped("no key was given", *_OF_THE_KEY)
        return Checkup(tuple(findings))
    try:
        account = await session.call(ACCOUNT_CONFIG, credentials)
    except OKXError as error:
        findings += await _check_refused_key(session, credentials, error, open_elsewhere)
        return Checkup(tuple(findings))
    findings += _check_account(session, credentials, account)
    findings.append(await _check_funding(session, credentials))
    findings.insert(-1, _check_limit(session, credentials, refused_before))
    return Checkup(tuple(findings))


_OF_THE_KEY: Final = ("key", "region", "mode", "permissions", "ip", "account", "limit", "funding")


def _skipped(reason: str, *names: str) -> Iterator[Finding]:
    return (Finding(name, Level.SKIPPED, f"not checked: {reason}") for name in names)


def _failed(name: str, error: OKXError) -> Finding:
    return Finding(name, Level.ERROR, error.summary, error.hint, error)


async def _check_connection(session: CheckedSession) -> list[Finding]:
    begun = time.monotonic()
    try:
        offset = await session.synchronize_clock(_SAMPLES)
    except OKXError as error:
        return [_failed("connection", error), *_skipped("OKX was not reached", "clock")]
    seconds = (time.monotonic() - begun) / _SAMPLES
    over = "over TLS" if session.origin.startswith("https:") else "without TLS"
    connection = Finding("connection", Level.OK, f"{session.origin} responds in {seconds * 1000:.0f} ms, {over}")
    if seconds >= _SLOW:
        advice = "That is slow: check the network, or ask from a machine that is nearer to OKX."
        connection = attrs.evolve(connection, level=Level.WARNING, advice=advice)
    return [connection, _check_clock(offset)]


def _check_clock(offset: float) -> Finding:
    if abs(offset) < _NOTICEABLE:
        return Finding("clock", Level.OK, f"this machine and OKX differ by {abs(offset):.2f} s")
    message = f"this machine is {abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} OKX"
    if abs(offset) >= TOLERANCE:
        message += ", which refuses timestamps that are more than 30 s away; the session corrects its own"
    return Finding("clock", Level.WARNING, message, "Synchronise the clock of this machine (NTP).")


async def _check_maintenance(session: CheckedSession) -> Finding:
    try:
        notices = await session.call(SYSTEM_STATUS)
    except OKXError as error:
        return attrs.evolve(_failed("maintenance", error), level=Level.WARNING)
    open_notices = [notice for notice in notices if notice.state in {"ongoing", "pre_open", "scheduled"}]
    if not open_notices:
        return Finding("maintenance", Level.OK, "OKX has announced none")
    lines = [
        f"{notice.state}: {notice.title}"
        + ("" if notice.begin is None else f", from {notice.begin:%Y-%m-%d %H:%M} UTC")
        for notice in open_notices
    ]
    under_way = any(notice.state != "scheduled" for notice in open_notices)
    advice = "Calls may fail until it is over." if under_way else None
    return Finding("maintenance", Level.WARNING if under_way else Level.OK, "; ".join(lines), advice)


async def _check_refused_key(
    session: CheckedSession, credentials: Credentials, error: OKXError, open_elsewhere: OpenElsewhere
) -> list[Finding]:
    """Return what the refusal of a key says: about its region, its mode, its IP list, or its texts."""
    name = {_UNKNOWN_KEY: "region", _WRONG_MODE: "mode", _WRONG_IP: "ip"}.get(error.code or "", "key")
    found = _failed(name, error)
    if name == "region":
        region = await _region_that_knows(session, credentials, open_elsewhere)
        if region is not None:
            advice = f"Set OKX_REGION={region.name.lower()}, or region=Region.{region.name}."
            found = attrs.evolve(
                found, message=f"the key belongs to {region.value}, not {session.origin}", advice=advice
            )
    others = [other for other in _OF_THE_KEY if other != name]
    return [found, *_skipped("OKX refused the key", *others)]


async def _region_that_knows(
    session: CheckedSession, credentials: Credentials, open_elsewhere: OpenElsewhere
) -> Region | None:
    """Ask OKX's other hosts for the key; a host that is not one of OKX's has no others."""
    if session.origin not in {region.value for region in Region}:
        return None
    for region in Region:
        if region.value == session.origin:
            continue
        async with open_elsewhere(region) as other:
            try:
                await other.call(ACCOUNT_CONFIG, credentials)
            except OKXError as error:
                # Any other refusal of the key shows that the host knows it: OKX looks the key up first.
                if error.code in {None, _UNKNOWN_KEY} or error.transient:
                    continue
        return region
    return None


def _check_account(session: CheckedSession, credentials: Credentials, account: AccountConfig) -> Iterator[Finding]:
    key = credentials.redact(credentials.api_key)
    yield Finding("key", Level.OK, f"OKX accepts {key}, its secret and its passphrase")
    yield Finding("region", Level.OK, f"the account is known at {session.origin}")
    yield Finding(
        "mode", Level.OK, "demo trading, without purchases and redemptions" if session.demo else "live trading"
    )
    yield _check_permissions(account)
    yield _check_ip(account, demo=session.demo)
    yield _check_kind(credentials, account)


def _check_permissions(account: AccountConfig) -> Finding:
    granted = ", ".join(account.perm) or "none reported"
    if "withdraw" in account.perm:
        advice = "Staking never needs Withdraw: use a key without it."
        return Finding("permissions", Level.WARNING, granted, advice)
    if "trade" in account.perm:
        return Finding("permissions", Level.OK, granted)
    return Finding("permissions", Level.OK, f"{granted}: it cannot purchase or redeem, which needs trade")


def _check_ip(account: AccountConfig, *, demo: bool) -> Finding:
    if account.ip:
        return Finding("ip", Level.OK, f"bound to {', '.join(account.ip)}")
    if demo or not {"trade", "withdraw"} & set(account.perm):
        return Finding("ip", Level.OK, "not bound to one")
    message = "not bound to one: OKX deletes the key after 14 days without use"
    return Finding("ip", Level.WARNING, message, "Bind the key to this machine's IP address in OKX's key settings.")


def _check_kind(credentials: Credentials, account: AccountConfig) -> Finding:
    if account.uid != account.main_uid:
        message = f"user {account.uid}, a sub-account of {account.main_uid}"
        return Finding("account", Level.WARNING, message, "OKX may refuse staking for sub-accounts (51735).")
    if credentials.user_id not in {None, account.uid}:
        message = f"user {account.uid}, labelled {credentials.user_id}"
        return Finding("account", Level.OK, message)
    return Finding("account", Level.OK, f"user {account.uid}, a main account")


def _check_limit(session: CheckedSession, credentials: Credentials, refused_before: int) -> Finding:
    refused = session.counters.refusals - refused_before
    if refused:
        message = f"OKX refused {refused} calls of this checkup for the rate limit: something else uses it"
        return Finding("limit", Level.WARNING, message, "Share one process or one RedisLimiter for this user.")
    bucket, limit = session.bucket(ASSET_BALANCES, credentials), ASSET_BALANCES.limit
    free = getattr(bucket, "free", None)
    left = "" if free is None else f"; {free} of {limit.requests} calls a second are free in this process"
    return Finding("limit", Level.OK, f"no refusals{left}")


async def _check_funding(session: CheckedSession, credentials: Credentials) -> Finding:
    try:
        rows = await session.call(ASSET_BALANCES, credentials, {"ccy": "SOL,OKSOL"})
    except OKXError as error:
        return attrs.evolve(_failed("funding", error), level=Level.WARNING)
    available = {row.ccy: row.avail_bal for row in rows}
    sol, oksol = available.get("SOL", Decimal(0)), available.get("OKSOL", Decimal(0))
    message = f"{sol:f} SOL can be purchased with, {oksol:f} OKSOL can be redeemed"
    advice = None if sol or oksol else "Only the funding account counts: transfer SOL there to purchase."
    return Finding("funding", Level.OK, message, advice)
