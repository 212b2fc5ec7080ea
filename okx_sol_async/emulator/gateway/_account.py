"""The endpoints around SOL staking: the time, the exchange's status, the account and its funding balances."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from okx_sol_async.emulator.accounts._orders import milliseconds
from okx_sol_async.emulator.gateway._parameters import RequestRefused, query_of, wrong_parameter
from okx_sol_async.emulator.gateway._responses import ExchangeResponse, success
from okx_sol_async.emulator.gateway._routes import EndpointRoute, SignedCall, UnsignedCall
from okx_sol_async.emulator.gateway._rows import shortest

_ZERO: Final = Decimal(0)
_MAINTENANCE_STATES: Final = ("", "scheduled", "ongoing", "pre_open", "completed", "canceled")


def _time(call: UnsignedCall) -> ExchangeResponse:
    return success([{"ts": str(math.floor(call.request.now * 1000))}])


def _system_status(call: UnsignedCall) -> ExchangeResponse:
    state = query_of(call.request).get("state", "")
    if state not in _MAINTENANCE_STATES:
        raise RequestRefused(wrong_parameter("state"))
    return success(
        [
            {
                "begin": str(milliseconds(one.begin)),
                "end": str(milliseconds(one.end)),
                "env": "1",
                "href": "",
                "maintType": "1",
                "preOpenBegin": "",
                "scheDesc": "",
                "serviceType": "0",
                "state": one.state,
                "system": "unified",
                "title": one.title,
            }
            for one in call.state.maintenance
            if state in ("", one.state)
        ]
    )


def _account_config(call: SignedCall) -> ExchangeResponse:
    return success(
        [
            {
                "acctLv": "1",
                "autoLoan": False,
                "ip": ",".join(call.key.ips),
                "kycLv": "2",
                "label": "emulator",
                "level": f"Lv{call.user.vip + 1}",
                "mainUid": call.user.main_uid,
                "opAuth": "0",
                "perm": ",".join(sorted(call.key.permissions)),
                "posMode": "net_mode",
                "roleType": "0",
                "traderInsts": [],
                "type": "0" if call.user.main_uid == call.user.uid else "1",
                "uid": call.user.uid,
            }
        ]
    )


def _asset_balances(call: SignedCall) -> ExchangeResponse:
    wanted = query_of(call.request).get("ccy", "")
    held = call.user.balance
    redeeming = call.user.redeeming
    amounts = {"SOL": (call.user.sol, _ZERO), "OKSOL": (_ZERO if held is None else held.amt, redeeming)}
    return success(
        [
            {
                "availBal": shortest(total - frozen),
                "bal": shortest(total),
                "ccy": ccy,
                "frozenBal": shortest(frozen),
            }
            for ccy, (total, frozen) in amounts.items()
            if total and (not wanted or ccy in wanted.split(","))
        ]
    )


ROUTES: Final = (
    EndpointRoute.unsigned("GET /api/v5/public/time", 10, 2.0, _time),
    EndpointRoute.unsigned("GET /api/v5/system/status", 1, 5.0, _system_status),
    EndpointRoute.signed("GET /api/v5/account/config", 5, 2.0, _account_config),
    EndpointRoute.signed("GET /api/v5/asset/balances", 6, 1.0, _asset_balances),
)
