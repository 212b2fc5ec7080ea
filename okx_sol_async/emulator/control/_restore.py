"""Snapshots of an exchange are taken and restored here."""

from __future__ import annotations

import attrs

from okx_sol_async.emulator.accounts._state import ApiKey, ExchangeState
from okx_sol_async.emulator.accounts._users import EmulatedUser
from okx_sol_async.emulator.control._fault_values import value_of
from okx_sol_async.emulator.control._snapshot import (
    Snapshot,
    StoredBalance,
    StoredClock,
    StoredFault,
    StoredKey,
    StoredUser,
)
from okx_sol_async.emulator.faults._injections import FaultQueue
from okx_sol_async.models import Balance
from okx_sol_async.signing._credentials import Credentials


def take_snapshot(state: ExchangeState, users: tuple[EmulatedUser, ...], faults: FaultQueue) -> Snapshot:
    """Return the state of an exchange; the caller holds the state's lock."""
    clock = state.clock
    return Snapshot(
        clock=StoredClock(moved=clock.moved, limits_moved=clock.limits_moved),
        product=state.product,
        maintenance=state.maintenance,
        pool=attrs.evolve(state.pool),
        users=tuple(_stored(user) for user in users),
        faults=tuple(
            StoredFault(
                faults=tuple(value_of(fault) for fault in one.faults),
                endpoint=one.endpoint,
                user=one.uid,
                probability=one.rule.probability,
                times=one.left,
                after=one.rule.after,
            )
            for one in faults.waiting
        ),
    )


def restore_user(user: EmulatedUser, stored: StoredUser, main: EmulatedUser | None, at: float) -> None:
    """Give a user everything that was stored of one; the caller holds the state's lock."""
    uid = stored.uid or user.uid
    user.replace(uid, demo=stored.demo, main=main, keys=_keys(stored, uid))
    user.vip = stored.vip
    user.quota = attrs.evolve(stored.quota) if main is None else main.quota
    held = stored.balance
    user.ledger().restore(
        sol=stored.sol,
        balance=None
        if held is None
        else Balance(held.ccy, held.amt, held.latest_interest_accrual, held.total_interest_accrual),
        orders=stored.orders,
        due=stored.due,
        at=at,
    )


def _keys(stored: StoredUser, uid: str) -> list[ApiKey] | None:
    if not stored.keys:
        return None
    return [
        ApiKey(
            uid,
            stored.demo,
            Credentials(key.api_key, key.secret_key, key.passphrase, uid),
            frozenset(key.permissions),
            key.ips,
        )
        for key in stored.keys
    ]


def _stored(user: EmulatedUser) -> StoredUser:
    ledger, balance = user.ledger(), user.balance
    return StoredUser(
        uid=user.uid,
        demo=user.demo,
        main=None if user.main_uid == user.uid else user.main_uid,
        vip=user.vip,
        sol=ledger.sol,
        balance=None
        if balance is None
        else StoredBalance(
            amt=balance.amt,
            ccy=balance.ccy,
            latest_interest_accrual=balance.latest_interest_accrual,
            total_interest_accrual=balance.total_interest_accrual,
        ),
        orders=ledger.orders,
        due=ledger.due,
        quota=attrs.evolve(user.quota),
        keys=tuple(
            StoredKey(
                api_key=key.credentials.api_key,
                secret_key=key.credentials.secret_key,
                passphrase=key.credentials.passphrase,
                permissions=tuple(sorted(key.permissions)),
                ips=key.ips,
            )
            for key in user.keys
        ),
    )
