"""A local exchange: an HTTP server on loopback that checks, counts and responds as OKX does.

It needs no account and no network, holds no real money, and counts for itself: it shares neither the limiter nor the
signer with the rest of this package, so a mistake in them is not repeated here. Any client can be pointed at it::

    async with Emulator(latency=0.03, jitter=0.01) as exchange:
        ...  # send signed requests to exchange.url with exchange.credentials

    with Emulator() as exchange:  # the same from a background thread, for code without an event loop
        ...

A request is refused for the first of these that is wrong: its headers, key, timestamp, signature, passphrase, demo or
live, address, permission, and then the rate limit. A purchase or redemption is refused next for demo trading, content
type, body, amount, sub-account, and last for what the terms or the user's account do not allow.

Times are seconds, amounts are SOL and OKSOL, rates are fractions.
"""

from okx_sol_async.emulator import faults
from okx_sol_async.emulator._emulator import Emulator
from okx_sol_async.emulator._process import EmulatorProcess
from okx_sol_async.emulator.accounts._maintenance import Maintenance
from okx_sol_async.emulator.accounts._orders import EmulatedOrder, OrderType
from okx_sol_async.emulator.accounts._product import REPORTED_TIERS, Product
from okx_sol_async.emulator.accounts._state import ApiKey, Permission
from okx_sol_async.emulator.accounts._users import DEFAULT_BALANCE, DEFAULT_PERMISSIONS, DEFAULT_SOL, EmulatedUser
from okx_sol_async.emulator.control._request_log import LogFormat, RequestLog
from okx_sol_async.emulator.faults._injections import FaultRule, Injection
from okx_sol_async.emulator.gateway._journal import JOURNAL_SIZE, JournalEntry, Tally
from okx_sol_async.emulator.gateway._windows import CounterWindow, FixedWindow, SlidingWindow, TokenWindow, Window
from okx_sol_async.emulator.network._outage import Outage

__all__ = [
    "DEFAULT_BALANCE",
    "DEFAULT_PERMISSIONS",
    "DEFAULT_SOL",
    "JOURNAL_SIZE",
    "REPORTED_TIERS",
    "ApiKey",
    "CounterWindow",
    "EmulatedOrder",
    "EmulatedUser",
    "Emulator",
    "EmulatorProcess",
    "FaultRule",
    "FixedWindow",
    "Injection",
    "JournalEntry",
    "LogFormat",
    "Maintenance",
    "OrderType",
    "Outage",
    "Permission",
    "Product",
    "RequestLog",
    "SlidingWindow",
    "Tally",
    "TokenWindow",
    "Window",
    "faults",
]
