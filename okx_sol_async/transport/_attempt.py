"""One send of a call: it takes a lease, starts its timeout, awaits the signer, and ends the lease."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
from multidict import istr

from okx_sol_async.ratelimit._bucket import BucketLease, TokenBucket
from okx_sol_async.signing._signer import TIMESTAMP
from okx_sol_async.transport._clock import RoundTrip
from okx_sol_async.transport._failures import timed_out
from okx_sol_async.transport._http import never_connected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from okx_sol_async.ratelimit._limit import Bucket, Lease
    from okx_sol_async.signing._signer import Signer
    from okx_sol_async.transport._clock import ServerClock
    from okx_sol_async.transport._failures import FailureContext
    from okx_sol_async.transport._interruption import Interruption
    from okx_sol_async.transport._metrics import CallRecord
    from okx_sol_async.transport._observed import CallEvents
    from okx_sol_async.transport._state import CallOptions, SessionState


_DATE: Final = istr("Date")
_AGE: Final = istr("Age")


class Sender(Protocol):
    """What an attempt needs of its call."""

    state: SessionState
    options: CallOptions
    record: CallRecord
    #: What adds the signature; `None` for a public endpoint.
    signer: Signer | None
    #: Where the next lease comes from: after the first one, at the place in the queue that the call had.
    bucket: Bucket
    #: Called with the time of the signature before the first byte of a write may leave.
    before_send: Callable[[float], Awaitable[None]] | None
    #: Whether it is known when the first byte leaves. Otherwise what was handed to aiohttp may have left.
    reports_departure: bool
    interruption: Interruption
    #: What reports the events of the call; `None` without observers.
    events: CallEvents | None
    loop: asyncio.AbstractEventLoop

    def context(self) -> FailureContext:
        """Return what an error says of the call."""


class Attempt:
    """One send. It is new for each of them, also for those that aiohttp or a middleware makes by itself."""

    __slots__ = (
        "_leased_at",
        "_sender",
        "_since",
        "error",
        "lease",
        "may_have_left",
        "previous",
        "request",
        "response",
        "steady_came",
        "steady_sent",
        "took",
    )

    def __init__(self, request: ClientRequest, previous: Attempt | None) -> None:
        # Its call while it is on the network. Afterwards each would keep the other alive.
        self._sender: Sender | None = None
        # When it took its lease: by OKX's clock in seconds since 1970, and by the loop's.
        self._leased_at = 0.0
        self._since = 0.0
        self.request: ClientRequest = request
        #: The send before this one, if aiohttp or a middleware has made both.
        self.previous: Attempt | None = previous
        self.lease: Lease | None = None
        #: Whether the first byte may have left.
        self.may_have_left: bool = False
        #: What aiohttp raised instead of a response.
        self.error: aiohttp.ClientError | None = None
        self.response: ClientResponse | None = None
        #: When it was sent, and when its response came, by the steady clock.
        self.steady_sent: float = 0.0
        self.steady_came: float = 0.0
        #: Seconds on the network.
        self.took: float = 0.0

    async def send(self, call: Sender, handler: ClientHandlerType) -> ClientResponse:
        """Send the request through ``handler``, the rest of aiohttp's chain, and return the head of its response.

        Raises:
            OKXError: no turn within ``max_wait``, no response in time, or the session was closed.

        """
        try:
            bucket = call.bucket
            lease = bucket.take() if type(bucket) is TokenBucket else None
            if lease is None:
                lease = await self._wait_in_queue(call)
            else:
                self._since = call.loop.time()
            self.lease = lease
            self._begin(call)
            try:
                if call.before_send is not None:
                    await call.before_send(self._leased_at)
                self.may_have_left = not call.reports_departure
                signer = call.signer
                response = await (handler(self.request) if signer is None else signer(self.request, handler))
            except BaseException as error:
                self._fail(call, lease, error)
                raise
        except asyncio.CancelledError:
            reason = call.interruption.take()
            if reason is None:
                raise
            raise reason from None
        self.response = response
        call.state.budget.kept()
        self.steady_came = call.state.clock.server_clock.steady()
        call.bucket = lease.answered() or call.bucket
        return response

    async def _wait_in_queue(self, call: Sender) -> Lease:
        max_wait, record, loop = call.options.max_wait, call.record, call.loop
        began = loop.time()
        deadline = None if max_wait is None else began + max(max_wait - record.waited, 0.0)
        bucket = call.bucket
        try:
            if call.options.background and isinstance(bucket, TokenBucket | BucketLease):
                return await bucket.acquire(deadline, background=True)
            return await bucket.acquire(deadline)
        finally:
            # A call that gives up in the queue has waited too.
            self._since = now = loop.time()
            record.waited += now - began

    def _begin(self, call: Sender) -> None:
        self._sender = call
        call.record.sends += 1
        call.options.timeouts.begin(self, call.loop, self._since)
        clock = call.state.clock.server_clock
        self.steady_sent = clock.steady()
        self._leased_at = clock.at(self.steady_sent)
        if call.events is not None:
            call.events.sent(call.record)

    def _fail(self, call: Sender, lease: Lease, error: BaseException) -> None:
        call.bucket = lease.abandoned() or call.bucket
        # Without a connection nothing can have left. Outside of this call, such an error may be about another host.
        self.may_have_left = self.may_have_left and not never_connected(error)
        if isinstance(error, aiohttp.ClientError):
            self.error = error
        # A middleware may wait before it sends again, and its wait is not the network.
        self.leave_network()

    def leave_network(self) -> None:
        """Stop the timeout, because the response was read, or will not be."""
        call, self._sender = self._sender, None
        if call is not None:
            self.took = call.loop.time() - self._since
            call.record.took += self.took
            call.options.timeouts.end(self)

    def expire(self) -> None:
        """End the send, because its timeout is over."""
        call = self._sender
        if call is not None:  # pragma: no branch - one that has ended is not among those that expire
            call.interruption.interrupt(timed_out(call.options.timeouts.timeout, call.context()))

    def note_date(self, clock: ServerClock) -> None:
        """Let ``clock`` learn from the ``Date`` of the response."""
        # Most responses of a second have the same one, and reading no more of the headers is quicker.
        if self.response is not None and self.response.headers.get(_DATE) != clock.last_date:
            clock.note_date(self.date, self.times)

    @property
    def is_cached(self) -> bool:
        """Whether a cache has repeated an earlier response."""
        return self.response is not None and _AGE in self.response.headers

    @property
    def date(self) -> str | None:
        """The ``Date`` of the response; `None` if it has none, or comes out of a cache."""
        return None if self.response is None or self.is_cached else self.response.headers.get(_DATE)

    @property
    def signed_at(self) -> float:
        """OKX's time in the signature, in seconds since 1970; where there is none, that of the lease."""
        timestamp = self.request.headers.get(TIMESTAMP)
        return self._leased_at if timestamp is None else datetime.fromisoformat(timestamp).timestamp()

    @property
    def sent_at(self) -> datetime | None:
        """The same as a time in UTC; `None` while it has no lease."""
        return None if self.lease is None else datetime.fromtimestamp(self.signed_at, UTC)

    @property
    def times(self) -> RoundTrip:
        """When it was sent, and when its response came."""
        return RoundTrip(self.steady_sent, self.steady_came)
