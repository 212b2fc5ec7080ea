"""The machines of a simulated world, with their clocks, sessions and keys, and the endpoints that they call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from okx_sol_async import Credentials, LocalLimiter, RateLimit, Scope, Session
from okx_sol_async.endpoint import ACCOUNT_CONFIG, SYSTEM_TIME, Endpoint
from okx_sol_async.signing._signer import timestamp_of
from okx_sol_async.staking._endpoints import BALANCE
from okx_sol_async.transport._clock import ServerClock
from tests.simulation.book import Entry
from tests.simulation.network import Weather

if TYPE_CHECKING:
    from okx_sol_async.emulator import EmulatedUser
HOST: Final = "openapi.okx.com"
_STAKING: Final = "/api/v5/finance/staking-defi/sol"


def _as_it_came(data: object) -> object:
    return data


HISTORY: Final[Endpoint[object]] = Endpoint(
    "GET", f"{_STAKING}/purchase-redeem-history", RateLimit(6, 1.0, Scope.USER), _as_it_came
)
PRODUCT: Final[Endpoint[object]] = Endpoint(
    "GET", f"{_STAKING}/product-info", RateLimit(3, 1.0, Scope.USER), _as_it_came
)
PURCHASE: Final[Endpoint[object]] = Endpoint(
    "POST", f"{_STAKING}/purchase", RateLimit(2, 1.0, Scope.USER), _as_it_came, safe_to_resend=False
)
REDEEM: Final[Endpoint[object]] = Endpoint(
    "POST", f"{_STAKING}/redeem", RateLimit(2, 1.0, Scope.USER), _as_it_came, safe_to_resend=False
)


#: What a service calls, by the name in the books.
ENDPOINTS: Final[dict[str, Endpoint[Any]]] = {
    "balance": BALANCE,
    "history": HISTORY,
    "product": PRODUCT,
    "purchase": PURCHASE,
    "redeem": REDEEM,
    "identify": ACCOUNT_CONFIG,
    "synchronize_clock": SYSTEM_TIME,
}
WRITES: Final = ("purchase", "redeem")


class WatchedClock(ServerClock):
    """A session's clock that remembers when it was read for which timestamp."""

    __slots__ = ("_loop", "_read")

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(wall, steady)
        self._loop = loop
        self._read: dict[str, float] = {}

    def now(self) -> float:
        seconds = super().now()
        if len(self._read) > 4_000:
            self._read = dict(list(self._read.items())[2_000:])
        self._read[timestamp_of(seconds)] = self._loop.time()
        return seconds

    def forget(self) -> None:
        """Be as if the session had been made now."""
        ServerClock.__init__(self, self._wall, self.steady)

    def read_at(self, timestamp: str) -> float | None:
        """Return the loop's time at which this timestamp was read."""
        return self._read.get(timestamp)


@attrs.define(eq=False)
class Machine:
    """One process on one machine, with its own clock, network and limits."""

    ip: str
    weather: Weather
    #: `None` on the one whose sessions are given none: it is the limiter of the process.
    limiter: LocalLimiter | None
    buckets: LocalLimiter
    #: The most connections of a session.
    pool: int
    #: By how many seconds the clock of the machine is ahead.
    ahead: float = 0.0
    slots: list[Slot] = attrs.field(factory=list)


@attrs.define(eq=False)
class Slot:
    """A session and those that come after it when it was closed."""

    machine: Machine
    timeout: float
    max_wait: float | None
    attempts: int
    session: Session
    clock: WatchedClock
    members: list[Member] = attrs.field(factory=list)
    under_way: dict[Entry, None] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Member:
    """A key that is used in a slot."""

    user: EmulatedUser
    credentials: Credentials
    identified: bool


@attrs.frozen
class Patience:
    """What a caller does to its call: it cancels it, or has a timeout of its own; both in seconds."""

    cancel_after: float | None = None
    timeout: float | None = None


#: A caller that waits for as long as it takes.
PATIENT: Final = Patience()
