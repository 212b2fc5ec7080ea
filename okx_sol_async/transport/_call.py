"""One call of an endpoint, from the queue to its result: the only loop that sends again.

From the outside in: this loop, the middlewares of the session's user, a lease, the signer, the network. Whatever is sent
again passes through all of them, so it has a lease of its own and a fresh signature.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from okx_sol_async.endpoint import SYSTEM_TIME
from okx_sol_async.errors import ConfigurationError, OKXError, QueueTimeout, RateLimited, SessionClosed, Unavailable
from okx_sol_async.ratelimit._bucket import BucketLease
from okx_sol_async.signing._signer import SIGN, Signer
from okx_sol_async.transport import _failures as failures
from okx_sol_async.transport._attempt import Attempt
from okx_sol_async.transport._clock_sync import TimeSample
from okx_sol_async.transport._events import CallReport, ResendReason
from okx_sol_async.transport._failures import FailureContext
from okx_sol_async.transport._http import (
    CLIENT_TIMEOUT,
    check_foreign_headers,
    http_is_closed,
    is_unusable,
    read_body,
    reports_departures,
)
from okx_sol_async.transport._interruption import Interruption
from okx_sol_async.transport._metrics import CallRecord
from okx_sol_async.transport._observed import CallEvents
from okx_sol_async.transport._recovery import Recovery
from okx_sol_async.transport._report import code_of, info_of, report_of
from okx_sol_async.transport._resend import Step
from okx_sol_async.transport._response import is_certain, outcome_of, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

    import aiohttp
    from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse

    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.models import SystemTime
    from okx_sol_async.ratelimit._limit import Bucket
    from okx_sol_async.signing._credentials import Credentials
    from okx_sol_async.transport._state import CallOptions, SessionState

R = TypeVar("R")

_REASONS: Final = {Step.RESEND_FIRST_IN_QUEUE: ResendReason.REFUSED, Step.SYNCHRONIZE_CLOCK: ResendReason.CLOCK}
_JSON: Final = {"Content-Type": "application/json"}


class Call(Generic[R]):
    """One call of an endpoint.

    Failures are returned until `run` raises them, so that no traceback holds aiohttp's frames, and with them secrets.
    """

    __slots__ = (
        "_is_entered",
        "_recovery",
        "_stopped",
        "attempt",
        "before_send",
        "bucket",
        "credentials",
        "endpoint",
        "events",
        "http",
        "interruption",
        "loop",
        "options",
        "parameters",
        "record",
        "reports_departure",
        "response",
        "signer",
        "state",
    )

    def __init__(  # noqa: PLR0917 - a call is made for each response, and keywords cost time
        self,
        state: SessionState,
        options: CallOptions,
        http: aiohttp.ClientSession,
        endpoint: Endpoint[R],
        credentials: Credentials | None = None,
        parameters: Mapping[str, str] | None = None,
        *,
        before_send: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.state: SessionState = state
        self.options: CallOptions = options
        self.http: aiohttp.ClientSession = http
        self.endpoint: Endpoint[R] = endpoint
        self.credentials: Credentials | None = credentials
        self.parameters: Mapping[str, str] | None = parameters
        #: Called with the time of the signature before the first byte of a write may leave.
        self.before_send: Callable[[float], Awaitable[None]] | None = before_send
        self.reports_departure: bool = not endpoint.safe_to_resend and reports_departures(http)
        #: Where the next lease comes from: after the first one, at the place in the queue that the call had.
        self.bucket: Bucket = state.limiter.bucket(state.bucket_key(endpoint, credentials), endpoint.limit)
        self.signer: Signer | None = None
        if credentials is not None and endpoint.signed:
            self.signer = Signer(credentials, state.origin, demo=state.demo, now=state.clock.server_clock.now)
        #: The last send; `None` if nothing was sent, because a mock took the place of the network.
        self.attempt: Attempt | None = None
        #: The last response that was read; `None` without one.
        self.response: ClientResponse | None = None
        self._recovery: Recovery | None = None
        self._stopped = False
        # Whether a borrowed session has begun to send.
        self._is_entered = False
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.record: CallRecord = CallRecord(self.loop.time())
        self.events: CallEvents | None = CallEvents(live, info_of(self)) if (live := state.observers.live) else None
        self.interruption: Interruption = Interruption(asyncio.current_task(self.loop))

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # Mocks such as aioresponses keep a deep copy of each request, and would copy connections and loop with it.
        return self

    async def run(self) -> R:
        """Send the call, also again where that may help, and return its result.

        Raises:
            OKXError: as `Session.call` says.

        """
        self.state.in_flight.begin(self)
        self.state.budget.earn()
        try:
            if self.events is not None:
                self.events.queued(None)
            outcome = await self._send()
            failure: BaseException | None = None
            while isinstance(outcome, BaseException):
                step = self.recovery.next_step(outcome)
                if step is Step.RAISE:
                    break
                failure, outcome = outcome, await self._send_again(step, outcome)
                if isinstance(outcome, QueueTimeout):
                    # It waits for longer than max_wait because of the failure before, so that one is raised.
                    outcome = failure
                    break
        finally:
            self.state.in_flight.end(self)
        if not isinstance(outcome, BaseException):
            self.state.observers.ended(self, None)
            return outcome
        error = self._final(outcome)
        self.state.observers.ended(self, error)
        try:
            raise error
        finally:
            # The frame and what is raised from it would keep each other alive.
            del outcome, failure, error

    async def _send_again(self, step: Step, failure: BaseException) -> R | BaseException:
        try:
            if not await self.recovery.prepare(step, failure):
                return failure
        except asyncio.CancelledError as error:
            return self._failed(error)
        if self.events is not None:
            self.events.queued(_REASONS.get(step, ResendReason.FAILURE))
        return await self._send()

    async def _send(self) -> R | BaseException:
        """Make one request and read its response: the result, or what went wrong."""
        self.attempt = None
        try:
            response = await self.http.request(
                self.endpoint.method,
                self.state.url(self.endpoint, self.parameters),
                allow_redirects=False,
                timeout=CLIENT_TIMEOUT,
                middlewares=self._middlewares(),
                **_request_options(self),
            )
            body = await read_body(response)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, without the frames of aiohttp
            return self._failed(error)
        finally:
            attempt = self.attempt
            while attempt is not None:
                attempt.leave_network()
                attempt = attempt.previous
        return self._read(response, body)

    def _middlewares(self) -> tuple[ClientMiddlewareType, ...]:
        if self.state.request_options:
            return self._enter, *self.state.middlewares, self._begin_attempt
        return *self.state.middlewares, self._begin_attempt

    def _enter(self, request: ClientRequest, handler: ClientHandlerType) -> Awaitable[ClientResponse]:
        """Begin to send through a borrowed session: the outermost client middleware."""
        self._is_entered = True
        check_foreign_headers(request)
        return handler(request)

    def _begin_attempt(self, request: ClientRequest, handler: ClientHandlerType) -> Coroutine[Any, Any, ClientResponse]:
        """Begin a send: the client middleware that aiohttp runs for each, also for one that it repeats by itself."""
        if self._stopped:
            raise self._session_closed()
        previous = self.attempt
        if previous is not None:
            self.recovery.check_repetition(previous, request)
            if self.events is not None:
                status = None if previous.response is None else previous.response.status
                self.events.responded(previous.took, status=status, error=previous.error)
                self.events.queued(ResendReason.HIDDEN)
        self.attempt = attempt = Attempt(request, previous)
        return attempt.send(self, handler)

    def _read(self, response: ClientResponse, body: bytes) -> R | OKXError:
        """Return the result in a response, or the error that it means."""
        attempt = self.attempt
        if attempt is not None:
            attempt.note_date(self.state.clock.server_clock)
        outcome = outcome_of(self.endpoint, response.status, response.headers, body, self.context)
        if isinstance(outcome, OKXError) and is_certain(outcome):
            for sent in self._attempts():
                sent.may_have_left = False
        self.response = response
        if self.events is not None and attempt is not None:
            error = outcome if isinstance(outcome, OKXError) else None
            code, trace_id = code_of(error), trace_id_of(response.headers, self.redact)
            self.events.responded(attempt.took, status=response.status, code=code, trace_id=trace_id, error=error)
        return outcome

    def _failed(self, error: BaseException) -> BaseException:
        """Return what an exception in place of a response means to the caller, and report it."""
        failure = self._failure_of(error)
        attempt = self.attempt
        if self.events is not None and attempt is not None:
            attempt.leave_network()
            status = None if attempt.response is None else attempt.response.status
            self.events.responded(attempt.took, status=status, error=failure)
        return failure

    def _failure_of(self, error: BaseException) -> BaseException:
        for attempt in self._attempts():
            if attempt.response is not None:
                # A middleware failed before it returned the response, and its connection would never be free.
                attempt.response.close()
        if isinstance(error, asyncio.CancelledError):
            error = self.interruption.take() or error
        elif isinstance(error, Exception) and not isinstance(error, OKXError):
            if self._stopped:
                error = self._session_closed()
            elif getattr(self.http, "closed", False):
                error = http_is_closed()
            elif self.state.request_options and not self._is_entered and is_unusable(self.http, error):
                error = failures.unusable_http(error, self.context())
        if isinstance(error, Exception):
            return failures.of_exception(error, self.context())
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)

    def _final(self, failure: BaseException) -> BaseException:
        """Return what is raised in the end: for a write that may have happened, that its outcome is unknown."""
        if isinstance(failure, RateLimited) and self.record.refusals and isinstance(self.bucket, BucketLease):
            return failure.with_details(retry_after=self.bucket.wait)
        if not isinstance(failure, OKXError) or self.endpoint.safe_to_resend or not self._may_have_happened(failure):
            return failure
        attempt = self.attempt
        signed_at = self.state.clock.server_clock.now() if attempt is None else attempt.signed_at
        return failures.outcome_unknown(failure, signed_at, self.context())

    def _may_have_happened(self, failure: OKXError) -> bool:
        if self.attempt is None:
            # A mock in place of the network does not say what it has sent.
            return not isinstance(failure, ConfigurationError | SessionClosed) and not is_certain(failure)
        # The failure itself says nothing: a middleware may have raised it after the call was sent.
        return self.may_have_left

    @property
    def may_have_left(self) -> bool:
        """Whether the first byte of the last request may have left, and OKX may have processed it."""
        return any(attempt.may_have_left for attempt in self._attempts())

    @property
    def trace_id(self) -> str | None:
        """OKX's id of the last send that has a response; `None` if that has none."""
        response = None if self.attempt is None else self.attempt.response
        return None if response is None else trace_id_of(response.headers, self.redact)

    def _attempts(self) -> Iterator[Attempt]:
        """Give the sends of the last request, the latest first."""
        attempt = self.attempt
        while attempt is not None:
            yield attempt
            attempt = attempt.previous

    @property
    def recovery(self) -> Recovery:
        """What is known of the failures of the call, from the first one on."""
        if self._recovery is None:
            self._recovery = Recovery(self)
        return self._recovery

    def stop(self) -> None:
        """End the call, wherever it is, because the session closes."""
        self._stopped = True
        self.interruption.interrupt(self._session_closed())

    def depart(self) -> None:
        """Note that the first byte is about to leave."""
        if self.attempt is not None:  # pragma: no branch - what leaves belongs to an attempt
            self.attempt.may_have_left = True

    def context(self) -> FailureContext:
        """Return what an error says of the call."""
        return FailureContext(
            endpoint=str(self.endpoint),
            attempts=self.record.sends,
            waited=self.record.waited,
            credentials=self.credentials,
            signature="" if self.attempt is None else self.attempt.request.headers.get(SIGN, ""),
            clock_offset=self.state.clock.server_clock.offset,
            sent_at=None if self.attempt is None else self.attempt.sent_at,
            foreign_code="a middleware, or the session that was passed as http,"
            if self.state.request_options
            else "a middleware",
        )

    def redact(self, text: str) -> str:
        """Return ``text`` without the secrets of the call."""
        signature = "" if self.attempt is None else self.attempt.request.headers.get(SIGN, "")
        return text if self.credentials is None else self.credentials.redact(text, signature)

    def _session_closed(self) -> SessionClosed:
        return failures.session_closed(self.context(), sent=self.may_have_left)

    async def ask_time(self) -> TimeSample:
        """Ask OKX for its time, over the connections of this call, as `ask_time` does."""
        return await ask_time(Call(self.state, self.options, self.http, SYSTEM_TIME))

    def report(self, error: BaseException | None) -> CallReport:
        """Return the report of the call, which has ended with ``error``."""
        return report_of(self, error)


async def ask_time(call: Call[SystemTime]) -> TimeSample:
    """Run a call of `SYSTEM_TIME`, and return OKX's time with the round trip.

    Raises:
        OKXError: there is no response, or it comes out of a cache.

    """
    time = await call.run()
    attempt = call.attempt
    if attempt is None or attempt.is_cached:
        message = "OKX's time comes out of a cache or a mock, and is not that of now"
        raise Unavailable(message, endpoint=str(SYSTEM_TIME))
    return TimeSample(time.ts.timestamp(), attempt.times)


def _request_options(call: Call[Any]) -> Mapping[str, Any]:
    """Return what aiohttp's ``request`` takes for a call besides its address."""
    options = call.state.request_options
    if call.endpoint.method != "GET":
        headers = {**options.get("headers", {}), **_JSON}
        options = {**options, "headers": headers, "data": call.endpoint.content(call.parameters)}
    if call.reports_departure:
        options = {**options, "trace_request_ctx": call}
    return options
