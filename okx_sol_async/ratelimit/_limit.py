"""The limit that OKX sets, and what keeps it: a limiter finds the bucket of a call, and the bucket gives a lease."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard

import attrs

from okx_sol_async._checks import seconds, whole_number, wrong

if TYPE_CHECKING:
    from collections.abc import Hashable


class Scope(enum.Enum):
    """Whose calls OKX counts together."""

    #: The calls of one user, over all keys and machines. A sub-account is a user of its own.
    USER = "user"
    #: The calls from one IP address, of all users.
    IP = "ip"


@attrs.frozen(cache_hash=True)
class RateLimit:
    """A number of requests within a number of seconds, counted for a user or for an IP address.

    Raises:
        ConfigurationError: ``requests`` is not a whole number from 1 on, or ``seconds`` not a finite number above 0.

    """

    #: How many requests are allowed.
    requests: int
    #: The period, in seconds.
    seconds: float
    #: Who is counted.
    scope: Scope

    def __attrs_post_init__(self) -> None:
        whole_number("requests", self.requests)
        seconds("seconds", self.seconds, positive=True)
        if type(self.scope) is not Scope:
            raise wrong(self.scope, "scope", "Scope.USER or Scope.IP")


class BucketKey(NamedTuple):
    """What makes two calls share a bucket."""

    #: Scheme, host and port: ``"https://openapi.okx.com"``.
    origin: str
    #: Whether the calls are those of demo trading.
    demo: bool
    #: `Credentials.owner`, or `None` where OKX counts by IP address.
    owner: str | None
    #: The HTTP method, in capitals.
    method: str
    #: The path of the endpoint.
    path: str


def is_bucket_key(key: Hashable) -> TypeGuard[tuple[str, bool, str | None, str, str]]:
    """Return whether it is a `BucketKey`, or the plain tuple that is equal to one."""
    return isinstance(key, tuple) and len(key) == len(BucketKey._fields)


class Lease(Protocol):
    """The right to send one call, once.

    ``answered`` or ``abandoned`` ends it; ``refused`` may follow ``answered``, when the response turns out to be a
    refusal. Each may return a `Bucket` from which the same call, if it is sent again, takes its next lease at the
    place in the queue that it had.
    """

    def answered(self) -> Bucket | None:
        """The head of a response came."""

    def abandoned(self) -> Bucket | None:
        """The call failed, timed out or was cancelled, and may still be on its way."""

    def refused(self) -> Bucket | None:
        """OKX refused the call because it counted too many."""


class Bucket(Protocol):
    """Hands out leases for one user and endpoint, first come, first served."""

    async def acquire(self, deadline: float | None) -> Lease:
        """Wait for the next lease.

        Args:
            deadline: the event loop's time (seconds) at which to give up, `None` for never.

        Raises:
            QueueTimeout: the lease did not come, or cannot come, before the deadline.

        """


class Limiter(Protocol):
    """Finds the bucket of a key. `LocalLimiter` does so within one process."""

    def bucket(self, key: BucketKey, limit: RateLimit) -> Bucket:
        """Return the one bucket of ``key``, made for ``limit`` if there is none yet."""
