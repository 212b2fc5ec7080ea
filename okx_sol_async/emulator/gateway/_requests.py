"""A request as the exchange receives it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class ReceivedRequest:
    """A request at the moment at which the exchange looks at it."""

    method: str
    #: Path and query, as they were sent.
    target: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes
    ip: str
    #: The time that rate limits are counted by, in seconds.
    at: float
    #: The exchange's time, in seconds since 1970 (UTC).
    now: float
    #: Seconds by which a test has moved the exchange's clock; the signer's clock may have stayed.
    moved: float

    @property
    def endpoint(self) -> str:
        """Method and path."""
        return endpoint_of(self.method, self.target)

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without the question mark."""
        return self.target.partition("?")[2]


def endpoint_of(method: str, target: str) -> str:
    """Return method and path."""
    return f"{method} {target.partition('?')[0]}"
