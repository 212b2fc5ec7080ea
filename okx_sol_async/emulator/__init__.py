"""A local exchange: an HTTP server on loopback that checks, counts and answers as OKX does.

It takes no account and no network, holds no real money, and counts for itself: it shares neither the limiter nor the
signer with the rest of this package, so a mistake in them is not repeated here. Any client can be pointed at it::

    async with Emulator(latency=0.03, jitter=0.01) as exchange:
        ...  # send signed requests to exchange.url with exchange.credentials

    with Emulator() as exchange:  # the same from a background thread, for code without an event loop
        ...

A request is refused for the first of these that is wrong: its headers, key, timestamp, signature, passphrase, demo or
live, permission, and then the rate limit. A purchase or redemption is refused next for demo trading, content type,
body, amount, sub-account, and last for what the product or the user's account does not allow.

Times are seconds, amounts are SOL and OKSOL, rates are fractions.
"""

from okx_sol_async.emulator import faults
from okx_sol_async.emulator.calls import MEMORY, Call, Tally
from okx_sol_async.emulator.exchange import Emulator
from okx_sol_async.emulator.injections import Injection
from okx_sol_async.emulator.orders import EmulatedOrder, OrderType
from okx_sol_async.emulator.product import Product
from okx_sol_async.emulator.server import Outage
from okx_sol_async.emulator.users import (
    DEFAULT_BALANCE,
    DEFAULT_PERMISSIONS,
    DEFAULT_SOL,
    EmulatedUser,
    Permission,
)
from okx_sol_async.emulator.windows import CounterWindow, FixedWindow, SlidingWindow, TokenWindow, Window

__all__ = [
    "DEFAULT_BALANCE",
    "DEFAULT_PERMISSIONS",
    "DEFAULT_SOL",
    "MEMORY",
    "Call",
    "CounterWindow",
    "EmulatedOrder",
    "EmulatedUser",
    "Emulator",
    "FixedWindow",
    "Injection",
    "OrderType",
    "Outage",
    "Permission",
    "Product",
    "SlidingWindow",
    "Tally",
    "TokenWindow",
    "Window",
    "faults",
]
