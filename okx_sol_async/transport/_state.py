"""What all calls of a session share, and the options of one view of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from okx_sol_async._checks import text, wrong_type
from okx_sol_async.endpoint import Endpoint
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit._limit import BucketKey, Scope
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.transport._budget import RetryBudget
from okx_sol_async.transport._clock_sync import ClockSynchronizer
from okx_sol_async.transport._in_flight import CallsInFlight, TimeoutRegistry
from okx_sol_async.transport._metrics import Observers
from okx_sol_async.transport._shared_reads import SharedReads

if TYPE_CHECKING:
    from aiohttp import ClientMiddlewareType
    from yarl import URL

    from okx_sol_async.ratelimit._limit import Limiter
    from okx_sol_async.transport._in_flight import AttemptTimeouts

# In Python 3.11 the look-up of an enum's member takes its time.
_BY_USER = Scope.USER


@attrs.frozen(eq=False)
class SessionState:
    """Where the calls of a session go, and what they share."""

    origin: URL
    demo: bool
    middlewares: tuple[ClientMiddlewareType, ...]
    limiter: Limiter
    #: Keyword arguments of aiohttp's ``request`` that a borrowed client session needs.
    request_options: Mapping[str, Any]
    observers: Observers
    clock: ClockSynchronizer = attrs.field(factory=ClockSynchronizer)
    budget: RetryBudget = attrs.field(factory=RetryBudget)
    in_flight: CallsInFlight = attrs.field(factory=CallsInFlight)
    shared_reads: SharedReads = attrs.field(factory=SharedReads)
    timeouts: TimeoutRegistry = attrs.field(factory=TimeoutRegistry)
    _origin_text: str = attrs.field(init=False, default=attrs.Factory(lambda self: str(self.origin), takes_self=True))
    _urls: dict[str, URL] = attrs.field(init=False, factory=dict)

    def bucket_key(self, endpoint: Endpoint[Any], credentials: Credentials | None) -> BucketKey:
        """Return what makes two calls share a bucket."""
        if credentials is None and endpoint.signed:
            message = f"{endpoint} needs credentials"
            hint = "Pass the credentials of the user, or use SolStaking."
            raise ConfigurationError(message, argument="credentials", hint=hint)
        demo, owner = False, None
        # Where OKX counts by IP address it sees neither the user nor, in a public call, demo trading.
        if endpoint.limit.scope is _BY_USER:
            demo, owner = self.demo, None if credentials is None else credentials.owner
        return tuple.__new__(BucketKey, (self._origin_text, demo, owner, endpoint.method, endpoint.path))

    def url(self, endpoint: Endpoint[Any], parameters: Mapping[str, str] | None) -> URL:
        """Return the whole URL of a call, as it is sent."""
        url = self._urls.get(endpoint.path)
        if url is None:
            url = self._urls[endpoint.path] = self.origin.with_path(endpoint.path, encoded=True)
        return url.with_query(parameters) if parameters and endpoint.method == "GET" else url


def check_call(endpoint: object, credentials: object, parameters: object = None) -> None:
    """Check the arguments of a call."""
    if not isinstance(endpoint, Endpoint):
        raise wrong_type(endpoint, "endpoint", "an Endpoint", "Use one of this package, such as BALANCE.")
    if credentials is not None and not isinstance(credentials, Credentials):
        raise wrong_type(credentials, "credentials", "Credentials")
    if parameters is not None:
        _check_parameters(parameters)


def _check_parameters(parameters: object) -> None:
    if not isinstance(parameters, Mapping):
        raise wrong_type(parameters, "parameters", "a mapping of names to strings")
    for words in parameters.items():
        for word in words:
            text("parameters", word)


@attrs.frozen(eq=False)
class CallOptions:
    """What a caller may set for some calls of a session and not for others."""

    #: The timeouts of the sends, all of the same length.
    timeouts: AttemptTimeouts
    #: The most seconds in the queue; `None` for as long as it takes.
    max_wait: float | None
    #: How many times a read is tried in all.
    attempts: int
    #: Whether the calls wait behind all others of their buckets.
    background: bool
