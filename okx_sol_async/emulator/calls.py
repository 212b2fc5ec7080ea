"""What the exchange remembers of the calls that came in."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

import attrs

from okx_sol_async.emulator.faults import Fault

#: So many calls are remembered, the oldest are forgotten first.
MEMORY: Final = 100_000


@attrs.frozen
class Call:
    """One call that came in, and how it was answered."""

    #: Whose key it carried; `None` for a public endpoint, and for a key that the exchange does not know.
    uid: str | None
    #: Method and path, ``"GET /api/v5/finance/staking-defi/sol/balance"``.
    endpoint: str
    #: When it was checked and counted, in seconds of the serving event loop's clock.
    arrived_at: float
    #: The HTTP status that the exchange answered with, whatever a fault then made of it; 0 for no answer at all.
    status: int
    #: The code that it answered with, as text: ``"0"``, ``"50011"``; empty where a fault left no code.
    code: str
    #: The id that the answer carried in ``x-trace-id``.
    trace_id: str
    #: What befell it, of `Emulator.fail_next` and `Emulator.fail_sometimes`.
    faults: tuple[Fault, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the exchange did what the call asked for, also where a fault kept the answer from arriving whole."""
        return self.code == "0"

    @property
    def refused(self) -> bool:
        """Whether the rate limit refused it (50011)."""
        return self.code == "50011"

    @property
    def rejected(self) -> bool:
        """Whether it was not done for anything but the rate limit, a fault included."""
        return not self.accepted and not self.refused


@attrs.frozen
class Tally:
    """How many calls came in, and how many of them were answered in which way."""

    #: All of them.
    received: int
    #: Those that the exchange did.
    accepted: int
    #: Refused by the rate limit (50011).
    refused: int
    #: Refused for any other reason, or kept from the exchange by a fault.
    rejected: int
    #: How many of all these met a fault.
    faulted: int = 0


class CallLog:
    """The last calls that came in; it may be read in another thread than the one that serves."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=MEMORY)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._calls)

    def note(self, call: Call) -> None:
        """Remember a call."""
        with self._lock:
            self._calls.append(call)

    def all(self) -> tuple[Call, ...]:
        """Return the calls, oldest first."""
        with self._lock:
            return tuple(self._calls)

    def of(self, endpoint: str | None, uid: str | None) -> list[Call]:
        """Return the calls of an endpoint and a user; `None` stands for any."""
        return [call for call in self.all() if endpoint in (None, call.endpoint) and uid in (None, call.uid)]
