"""The journal: every request that the exchange received, and how it was answered."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

import attrs

from okx_sol_async.emulator.faults._base import Fault

#: The number of requests that are kept; the oldest are dropped first.
JOURNAL_SIZE: Final = 100_000

#: Headers whose values are secrets, in lower case; the journal has them as ``"***"``.
SECRET_HEADERS: Final = frozenset(
    {"ok-access-key", "ok-access-sign", "ok-access-passphrase", "authorization", "proxy-authorization", "cookie"}
)


@attrs.frozen
class JournalEntry:
    """One request that the exchange received, and how it was answered."""

    #: Whose key it carried; `None` for an unsigned endpoint, and for a key that the exchange does not know.
    uid: str | None
    #: Method and path, ``"GET /api/v5/finance/staking-defi/sol/balance"``.
    endpoint: str
    #: When it was checked and counted, in seconds of the serving event loop's clock.
    arrived_at: float
    #: The HTTP status that the exchange answered with, whatever a fault then made of it; 0 for no response at all.
    status: int
    #: The code that it answered with, as text: ``"0"``, ``"50011"``; empty where a fault left no code.
    code: str
    #: The id that the response carried in ``x-trace-id``.
    trace_id: str
    #: The faults of `Emulator.fail_next` and `Emulator.fail_sometimes` that applied to it.
    faults: tuple[Fault, ...] = ()
    #: The query as it was sent, without the question mark.
    query: str = ""
    #: The body as it was sent.
    body: bytes = b""
    #: The headers as they were sent; the values of secret ones are ``"***"``.
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    #: When it was checked and counted, by the exchange's clock, in seconds since 1970 (UTC).
    at: float = 0.0

    @property
    def received_at(self) -> datetime:
        """When it was checked and counted, by the exchange's clock, in UTC."""
        return datetime.fromtimestamp(self.at, UTC)

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def json(self) -> object:
        """The body read as JSON; `None` if it is empty.

        Raises:
            ValueError: the body is no JSON.

        """
        return json.loads(self.body) if self.body else None

    @property
    def accepted(self) -> bool:
        """Whether the exchange did what the call asked for, also where a fault spoiled the response."""
        return self.code == "0"

    @property
    def refused(self) -> bool:
        """Whether the rate limit refused it (50011)."""
        return self.code == "50011"

    @property
    def rejected(self) -> bool:
        """Whether it was not done for any reason but the rate limit, a fault included."""
        return not self.accepted and not self.refused


@attrs.frozen
class Tally:
    """How many requests were received, and how many were answered in which way."""

    #: All of them.
    received: int
    #: Those that the exchange did.
    accepted: int
    #: Refused by the rate limit (50011).
    refused: int
    #: Refused for any other reason, or kept from the exchange by a fault.
    rejected: int
    #: How many of all these had a fault.
    faulted: int = 0


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the values of secret ones replaced."""
    return {name: "***" if name.lower() in SECRET_HEADERS else value for name, value in headers.items()}


class RequestJournal:
    """The last requests; it may be read in another thread than the one that serves."""

    def __init__(self) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=JOURNAL_SIZE)
        self._lock = threading.Lock()
        #: Called with each new entry, in the serving thread.
        self.listeners: Final[list[Callable[[JournalEntry], None]]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: JournalEntry) -> None:
        """Keep an entry."""
        with self._lock:
            self._entries.append(entry)
        for listen in tuple(self.listeners):
            listen(entry)

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._entries.clear()

    def all(self) -> tuple[JournalEntry, ...]:
        """Return the entries, oldest first."""
        with self._lock:
            return tuple(self._entries)

    def of(self, endpoint: str | None = None, uid: str | None = None, code: str | None = None) -> list[JournalEntry]:
        """Return the entries of an endpoint, a user and a code; `None` stands for any."""
        return [
            entry
            for entry in self.all()
            if endpoint in (None, entry.endpoint) and uid in (None, entry.uid) and code in (None, entry.code)
        ]

    def tally(self, endpoint: str | None = None, uid: str | None = None) -> Tally:
        """Return how the requests of an endpoint and a user were answered; `None` stands for any."""
        entries = self.of(endpoint, uid)
        return Tally(
            received=len(entries),
            accepted=sum(entry.accepted for entry in entries),
            refused=sum(entry.refused for entry in entries),
            rejected=sum(entry.rejected for entry in entries),
            faulted=sum(bool(entry.faults) for entry in entries),
        )

    def arrivals(self, endpoint: str | None = None, uid: str | None = None) -> tuple[float, ...]:
        """Return when the requests arrived that the rate limit counted or refused."""
        return tuple(entry.arrived_at for entry in self.of(endpoint, uid) if not entry.rejected or entry.faults)

    def most_within(self, seconds: float, endpoint: str | None = None, uid: str | None = None) -> int:
        """Return the most `arrivals` in any stretch of ``seconds``; never two that are exactly so far apart."""
        stretch: deque[float] = deque()
        most = 0
        for arrived_at in self.arrivals(endpoint, uid):
            stretch.append(arrived_at)
            while arrived_at - stretch[0] >= seconds:
                stretch.popleft()
            most = max(most, len(stretch))
        return most
