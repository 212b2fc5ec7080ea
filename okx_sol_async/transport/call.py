"""One call, from the queue to its outcome.

The layers of a call, from the outside in: the middlewares of the session's user, the wait for a lease, the signature,
the wire. Whatever is sent, and sent again, goes through all of them, so it has a lease of its own and a fresh signature.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import ssl
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

import aiohttp
import attrs

from okx_sol_async.codec.structure import ANSWER_LIMIT, read_answer
from okx_sol_async.endpoint import SYSTEM_TIME
from okx_sol_async.errors import (
    APIError,
    ClockSkew,
    ConfigurationError,
    DecodeError,
    OKXError,
    OutcomeUnknown,
    RateLimited,
    Timeout,
    TransportError,
    Unavailable,
    one_line,
)
from okx_sol_async.ratelimit.limit import BucketKey, Scope
from okx_sol_async.signing.signer import SIGN, sign_request
from okx_sol_async.transport.clock import TOLERANCE, Exchanged, ServerClock
from okx_sol_async.transport.metrics import CallReport, Counters, Onlookers
from okx_sol_async.transport.resend import RetryBudget, try_again

logger: Final = logging.getLogger("okx_sol_async")

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import SimpleNamespace

    from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
    from yarl import URL

    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.ratelimit.limit import Bucket, Lease, Limiter
    from okx_sol_async.signing.credentials import Credentials

R = TypeVar("R")

#: The most seconds for a free connection and for connecting together, so that no signature is older when it is sent.
CONNECT_TIMEOUT: Final = 5.0
#: So often a call may be refused before its caller is told.
REFUSALS: Final = 10
#: So often OKX is asked for its time while its answers take longer than `PROMPT`, in seconds.
TIME_SAMPLES: Final = 3
PROMPT: Final = 0.25
#: A wait of fewer seconds is the time that taking a lease takes.
NOTICEABLE_WAIT: Final = 0.001
#: So many characters of what another library says are read.
_QUOTED: Final = 4000
_REPR_OF_ERROR: Final = re.compile(r"<\w+: \d+, message=(['\"])(.*)\1>")
_TLS_HINT: Final = (
    "Check the base URL (OKX_BASE_URL), the clock of this machine, and whether something on the way puts a certificate of its own in place"
    " of the server's. A certificate that only you trust goes into SSL_CERT_FILE."
)
_CHANGED: Final = (
    "OKX may have changed its answer: look for a newer version of this package, and report it if there is none."
)
_CLOCKS_AGREE: Final = "The clocks agree, so OKX or something on the way is at fault; try again later."
_JSON: Final = {"Content-Type": "application/json"}
_TRACE_HEADERS: Final = ("x-trace-id", "x-request-id", "traceid")
# The time on the wire is counted here: aiohttp's `total` would count the wait for the bucket too.
_CLIENT_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT)
#: What aiohttp raises before it has a connection, also to a proxy or through one.
_NEVER_CONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
#: For the trace configs of a session that makes writes: tells each of its calls when the first byte is about to leave.
DEPARTURES: Final = aiohttp.TraceConfig()


class Deadlines:
    """Ends the attempts that are on the wire for too long, with one timer for all calls of a session.

    All attempts have the same time, so the one that began first is due first. A timer for each attempt, as
    `asyncio.timeout` sets, costs 5 % of a call.
    """

    def __init__(self, timeout: float) -> None:
        #: The seconds of each attempt.
        self.timeout = timeout
        # Emptied from the front, a dict would look again and again at the room of those that are gone.
        self._due: OrderedDict[Call[Any], float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, call: Call[Any], loop: asyncio.AbstractEventLoop, now: float) -> None:
        """Give ``call`` its time, from ``now`` on."""
        # Those that are due first stand first, so one that begins again goes to the end.
        self._due.pop(call, None)
        self._due[call] = due = now + self.timeout
        if self._timer is None:
            self._timer = loop.call_at(due, self._on_timer, loop)

    def end(self, call: Call[Any]) -> None:
        """Forget ``call``, which is not on the wire any more."""
        self._due.pop(call, None)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._due:
            call, due = next(iter(self._due.items()))
            if due > now:
                self._timer = loop.call_at(due, self._on_timer, loop)
                return
            self._due.popitem(last=False)
            call.expire()


@attrs.frozen(eq=False)
class Route:
    """Where the calls of a session go, and how."""

    origin: URL
    demo: bool
    headers: dict[str, str] | None
    middlewares: tuple[ClientMiddlewareType, ...]
    limiter: Limiter
    deadlines: Deadlines
    max_wait: float | None
    attempts: int
    clock: ServerClock = attrs.field(factory=ServerClock)
    budget: RetryBudget = attrs.field(factory=RetryBudget)
    onlookers: Onlookers = attrs.field(factory=Onlookers)
    # Held by the call that asks OKX for its time, so that those that need it too wait for its answer.
    asking_time: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)
    origin_text: str = attrs.field(init=False, default=attrs.Factory(lambda self: str(self.origin), takes_self=True))
    _urls: dict[str, URL] = attrs.field(init=False, factory=dict)

    def bucket_key(self, endpoint: Endpoint[Any], credentials: Credentials | None) -> BucketKey:
        """Return what makes two calls share a bucket.

        Raises:
            ConfigurationError: the endpoint needs credentials, and there are none.

        """
        if endpoint.signed and credentials is None:
            message = f"{endpoint} needs credentials"
            raise ConfigurationError(message, hint="Pass the credentials of the user, or use SolStaking.")
        # Whoever counts by IP address sees neither the user nor, in a public call, whether it is of demo trading.
        by_user = endpoint.limit.scope is Scope.USER
        owner = credentials.owner if credentials is not None and by_user else None
        key = (self.origin_text, self.demo and by_user, owner, endpoint.method, endpoint.path)
        return tuple.__new__(BucketKey, key)

    def url(self, endpoint: Endpoint[Any], parameters: Mapping[str, str] | None) -> URL:
        """Return the whole URL of a call, as it is sent."""
        url = self._urls.get(endpoint.path)
        if url is None:
            url = self._urls[endpoint.path] = self.origin.with_path(endpoint.path, encoded=True)
        return url.with_query(parameters) if parameters and endpoint.method == "GET" else url


class Call(Generic[R]):
    """One call of an endpoint. As a middleware, it waits for a lease each time the call is sent, also by aiohttp alone.

    Failures travel as values until `run` raises them: the frames of aiohttp, and the answer itself, may hold what
    must not be shown, and a traceback that begins here holds neither.
    """

    # What most calls never change stands here, because a call is made for each answer.

    # The lease of what was sent last; None before.
    _lease: Lease | None = None
    _in_queue = False
    # Seconds in the queue and on the wire so far.
    _waited = 0.0
    _took = 0.0
    # When it was sent last, by the clock of its loop; None while it is not on the wire.
    _sent_at: float | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _sends = 0
    _refusals = 0
    # OKX's time in the last signature, and when by the steady clock it was made and answered.
    _signed_at = 0.0
    _steady_sent = 0.0
    _steady_came = 0.0
    # The request on the wire, its answer, and what came of it instead of one.
    _request: ClientRequest | None = None
    _response: ClientResponse | None = None
    _broken: TransportError | None = None
    # The signature of the last attempt, once it has failed.
    _signature = ""
    # The header of the last answer.
    _date: str | None = None
    # Attempts that were made; what OKX has certainly not counted is sent again within one.
    _tries = 1
    # Whether the call was signed again because of its timestamp.
    _resigned = False
    # Whether it is certain that the last attempt did nothing: it never left, or OKX's answer says so.
    _unsent = True
    # Without word of the departure, whatever was handed to aiohttp may have left.
    _departure_is_told = False
    _task: asyncio.Task[Any] | None = None
    # How often the task was cancelled already when the call began.
    _cancellations = 0
    # Why the attempt was ended from here, by cancelling its task.
    _ended_by: OKXError | None = None
    _stopped = False

    def __init__(
        self,
        route: Route,
        http: aiohttp.ClientSession,
        endpoint: Endpoint[R],
        credentials: Credentials | None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._route = route
        self._http = http
        self._endpoint = endpoint
        self._credentials = credentials
        self._parameters = parameters
        if not endpoint.safe_to_resend:
            self._departure_is_told = DEPARTURES in getattr(http, "trace_configs", ())
        self._bucket: Bucket = route.limiter.bucket(route.bucket_key(endpoint, credentials), endpoint.limit)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # Stand-ins such as aioresponses keep a deep copy of what was asked, and would copy connections and loop with it.
        return self

    async def run(self) -> R:
        """Send the call, also again where that may help, and return its result or raise its failure."""
        task = self._task = asyncio.current_task()
        self._cancellations = 0 if task is None else task.cancelling()
        self._route.budget.earn()
        try:
            outcome = await self._send()
            if isinstance(outcome, OKXError):
                outcome = await self._after_failure(await self._healed(outcome))
        except asyncio.CancelledError as error:
            # The session was closed while the call waited for its next attempt.
            reason = self._failure(error, self._take_back_cancellation())
            if reason is None:
                raise
            outcome = reason
        finally:
            self._task = None
        if not isinstance(outcome, OKXError):
            return outcome
        failure = self._unknown(outcome) if self._may_have_happened(outcome) else self._addressed(outcome)
        try:
            raise failure
        finally:
            # The frame and what is raised from it would keep each other alive.
            del outcome, failure

    def count(self, counters: Counters) -> None:
        """Add the call, which has ended, to ``counters``."""
        counters.calls += 1
        counters.waits += self._waited > NOTICEABLE_WAIT
        counters.refusals += self._refusals
        counters.resends += max(self._sends - 1, 0)

    def report(self, error: BaseException | None) -> CallReport:
        """Return what there is to tell of the call, which has ended with ``error``."""
        return CallReport(
            endpoint=str(self._endpoint),
            waited=self._waited,
            took=self._took,
            sends=self._sends,
            refusals=self._refusals,
            error=error if isinstance(error, OKXError) else None,
            cancelled=isinstance(error, asyncio.CancelledError),
        )

    @property
    def times(self) -> Exchanged:
        """When the call was sent last, and when its answer came."""
        return Exchanged(self._steady_sent, self._steady_came)

    def stop(self) -> None:
        """End the call, wherever it is, because the session closes."""
        self._stopped = True
        self._end(_stopped())

    def depart(self) -> None:
        """Note that the first byte is about to leave."""
        self._unsent = False

    def expire(self) -> None:
        """End the attempt, because its time on the wire is over."""
        self._end(self._timed_out())

    def _end(self, reason: OKXError) -> None:
        if self._ended_by is None and self._task is not None:
            self._ended_by = reason
            self._task.cancel()

    async def _healed(self, outcome: R | OKXError) -> R | OKXError:
        """Send again what OKX has certainly not counted: what it refused for its limit, or for its timestamp."""
        if isinstance(outcome, RateLimited):
            outcome = await self._send_after_refusals(outcome)
        if isinstance(outcome, ClockSkew) and self._lease is not None and self._endpoint.signed:
            # What is not signed has no timestamp: OKX's time itself, above all, which is asked for to heal another call.
            outcome = await self._sign_again(outcome)
        return outcome

    async def _after_failure(self, failure: R | OKXError) -> R | OKXError:
        """Make further attempts, if they may help."""
        if not isinstance(failure, OKXError) or not self._would_help(failure):
            return failure
        last = failure

        async def attempt() -> R | OKXError:
            nonlocal last
            self._tries += 1
            outcome = await self._healed(await self._send())
            if isinstance(outcome, OKXError):
                # It is the failure that made the call wait for longer than max_wait.
                last = last if self._in_queue and isinstance(outcome, Timeout) else self._addressed(outcome)
                return last
            return outcome

        outcome = await try_again(self._addressed(failure), attempt, self._may_try_again, self._route.attempts)
        return _bare(outcome) if isinstance(outcome, OKXError) else outcome

    def _may_try_again(self, failure: OKXError) -> bool:
        """Tell whether another attempt may help, and whether there may be one. It is taken from the budget then."""
        return self._would_help(failure) and self._loop is not None and self._route.budget.spend(self._loop.time())

    def _would_help(self, failure: OKXError) -> bool:
        """Tell whether another attempt may help: of a read, after what passes."""
        return (
            failure.transient
            and self._endpoint.safe_to_resend
            # After ten refusals, or a whole max_wait, the caller is told.
            and not isinstance(failure, RateLimited)
            and not self._in_queue
            and not self._stopped
            # Without a lease, something stands in for the wire, and nothing may be sent again.
            and self._lease is not None
            and self._tries < self._route.attempts
        )

    async def _sign_again(self, skew: ClockSkew) -> R | OKXError:
        """Send a call whose timestamp was refused (50102) once more, by a clock that is right."""
        clock = self._route.clock
        outcome: R | OKXError = skew
        if not self._resigned:
            self._resigned = True
            explained = clock.refused(self._date, self._signed_at, self.times)
            if not explained:
                await self._ask_time()
            outcome = await self._send()
            if isinstance(outcome, RateLimited):
                outcome = await self._send_after_refusals(outcome)
            if explained and isinstance(outcome, ClockSkew):
                # That Date was not OKX's. The caller shall be told the truth, and the next call shall be right.
                await self._ask_time()
        if isinstance(outcome, ClockSkew):
            outcome.args = (f"{outcome.message}: {_difference(clock.offset)}",)
            if clock.offset is not None and abs(clock.offset) <= TOLERANCE:
                outcome.hint = _CLOCKS_AGREE
        return outcome

    async def _ask_time(self) -> None:
        """Ask OKX for its time, unless another call has just done so, in vain or not."""
        route, clock = self._route, self._route.clock
        async with route.asking_time:
            if max(clock.corrected_at, clock.asked_in_vain_at) > self._steady_sent:
                return
            try:
                await measure_clock(route, self._http)
            except OKXError as error:
                clock.asked_in_vain_at = clock.steady()
                logger.warning("OKX does not tell its time: %s", error.summary)

    def _may_have_happened(self, failure: OKXError) -> bool:
        """Tell whether a write that ended with ``failure`` may have happened all the same."""
        if self._endpoint.safe_to_resend:
            return False
        if self._lease is None:
            # Something that stands in for the wire asks for no lease, and says nothing of what it sent.
            return not self._in_queue and not isinstance(failure, ConfigurationError) and not _is_certain(failure)
        # What the failure says is of no account: a middleware may have met it elsewhere, after the call was sent.
        return not self._unsent

    def _unknown(self, reason: OKXError) -> OutcomeUnknown:
        error = OutcomeUnknown(
            f"the call was sent, and no answer says whether it happened: {reason.message}",
            code=reason.code,
            status=reason.status,
            trace_id=reason.trace_id,
            hint="Look it up before you send it again.",
        )
        error.reason = self._addressed(reason)
        error.sent_at = datetime.fromtimestamp(self._signed_at, UTC)
        self._addressed(error)
        return error

    async def _send_after_refusals(self, outcome: R | OKXError) -> R | OKXError:
        """Send a call that was refused again, from the front of the queue, until it is counted or was refused often."""
        while self._was_refused(outcome) and self._lease is not None:
            # Without a lease, something stands in for the wire, and nothing may be sent again.
            self._note_refusal()
            self._bucket = self._lease.refused() or self._bucket
            if self._refusals >= REFUSALS:
                break
            refusal, outcome = outcome, await self._send()
            if self._in_queue and isinstance(outcome, Timeout):
                # It is OKX's refusal that made the call wait for longer than max_wait.
                return refusal
        return outcome

    def _note_refusal(self) -> None:
        self._refusals += 1
        if self._refusals == 1:
            logger.warning(
                "OKX refused %s: something else spends the same limit. It is sent again after a pause",
                self._endpoint,
                extra={"endpoint": str(self._endpoint)},
            )

    def _was_refused(self, outcome: R | OKXError) -> bool:
        """Tell whether OKX certainly did not count the call: 50011, and for a read also a 429 without an envelope."""
        if not isinstance(outcome, RateLimited):
            return False
        if outcome.code is None:
            return self._endpoint.safe_to_resend
        return outcome.code.partition("_")[0] == "50011"

    async def _send(self) -> R | OKXError:
        """Send the call once and read its answer."""
        route, endpoint = self._route, self._endpoint
        self._unsent = True
        try:
            response = await self._http.request(
                endpoint.method,
                route.url(endpoint, self._parameters),
                headers=route.headers if endpoint.method == "GET" else {**(route.headers or {}), **_JSON},
                data=endpoint.content(self._parameters),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                timeout=_CLIENT_TIMEOUT,
                # What a borrowed session traces is none of ours.
                trace_request_ctx=self if self._departure_is_told else None,
                middlewares=(*route.middlewares, self),
            )
            body = await _read(response)
        except BaseException as error:
            if self._response is not None:
                # A middleware ended before it handed the answer on, and nobody else would free its connection.
                self._response.close()
            failure = self._failure(error, self._take_back_cancellation())
            if failure is None:
                raise
            if self._request is not None:
                self._signature = self._request.headers.get(SIGN, "")
            return failure
        finally:
            self._leave_wire()
            # What a traceback leads to must not hold the failure too, or neither is ever gone.
            self._request = self._response = self._broken = failure = None
            if self._ended_by is not None:
                self._take_back_cancellation()
        # What a cache hands out again has the time of the first answer.
        self._date = None if "Age" in response.headers else response.headers.get("Date")
        if self._date != route.clock.date:
            route.clock.heard(self._date, self.times)
        outcome = _read_outcome(endpoint, response.status, body)
        if not isinstance(outcome, OKXError):
            return outcome
        self._unsent = self._unsent or _is_certain(outcome)
        return self._without_echo(outcome, response, body)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Wait for a lease, then sign and send."""
        route = self._route
        loop = self._loop = asyncio.get_running_loop()
        began = loop.time()
        if not self._unsent and not self._endpoint.safe_to_resend:
            message = "a middleware sends a write again whose outcome is unknown"
            raise OutcomeUnknown(message)
        if self._request is not None and self._request is not request:
            self._count_hidden_resend(began)
        self._request = request
        if self._sends:
            # A middleware sends again, perhaps after it has swallowed the end of the last attempt.
            self._leave_wire()
            self._take_back_cancellation()
        max_wait = route.max_wait
        self._in_queue = True
        try:
            lease = await self._bucket.acquire(None if max_wait is None else began + max(max_wait - self._waited, 0.0))
        finally:
            # Whoever gives up in the queue has waited too.
            now = loop.time()
            self._waited += now - began
        self._in_queue = False
        if self._stopped:
            # Nothing was sent, but a lease can only be ended as one that was.
            lease.answered()
            raise _stopped()
        self._lease = lease
        self._sends += 1
        self._sent_at = now
        route.deadlines.begin(self, loop, now)
        clock = route.clock
        self._steady_sent = clock.steady()
        try:
            if self._endpoint.signed and self._credentials is not None:
                body = request.body
                content = body if isinstance(body, bytes) else await body.as_bytes()
                self._signed_at = clock.now()
                sign_request(request, content, self._credentials, route.origin, self._signed_at, demo=route.demo)
            self._unsent = self._departure_is_told
            response = await handler(request)
        except BaseException as error:
            self._bucket = lease.abandoned() or self._bucket
            # There was no connection to send anything on. Around this call, such an error may be about another host.
            self._unsent = self._unsent or isinstance(error, _NEVER_CONNECTED)
            self._broken = self._no_answer(error) if isinstance(error, aiohttp.ClientError) else None
            # A middleware around this one may wait before it sends again, and its wait is not the wire.
            self._leave_wire()
            raise
        self._response = response
        route.budget.kept()
        self._steady_came = clock.steady()
        self._bucket = lease.answered() or self._bucket
        return response

    def _count_hidden_resend(self, now: float) -> None:
        """Count what aiohttp sends again by itself after a lost connection, which it does once, as an attempt."""
        if self._broken is not None:
            budget = self._route.budget
            if self._tries >= self._route.attempts or not (budget.spend_on_kept() or budget.spend(now)):
                raise self._broken
        self._tries += 1

    def _leave_wire(self) -> None:
        if self._sent_at is not None and self._loop is not None:
            self._took += self._loop.time() - self._sent_at
            self._sent_at = None
            self._route.deadlines.end(self)

    def _failure(self, error: BaseException, ended_by: OKXError | None) -> OKXError | None:
        """Return what ``error`` means to the caller; `None` if it is not about the call, and passes through."""
        if ended_by is not None and isinstance(error, asyncio.CancelledError):
            return ended_by
        if isinstance(error, OKXError):
            return _bare(error)
        if not isinstance(error, TimeoutError | aiohttp.ClientError | RuntimeError):
            return None
        if self._stopped or self._http.closed:
            return _stopped() if self._stopped else http_is_closed()
        if isinstance(error, TimeoutError):
            return _not_connected() if isinstance(error, aiohttp.ClientError) else self._timed_out()
        return None if isinstance(error, RuntimeError) else self._no_answer(error)

    def _take_back_cancellation(self) -> OKXError | None:
        """Return why the attempt was ended from here, `None` if it was not, or if it was cancelled from elsewhere too."""
        reason, self._ended_by = self._ended_by, None
        if reason is None or self._task is None:
            return None
        return reason if self._task.uncancel() <= self._cancellations else None

    def _no_answer(self, error: aiohttp.ClientError) -> TransportError:
        text = _told_by(error)
        if self._credentials is not None:
            # Before it is cut, or the part of a secret that is left would not be known for one.
            text = self._credentials.redact(text)
        text = one_line(text) or type(error).__name__
        if isinstance(error, aiohttp.ClientSSLError) and not _may_pass(error):
            failure = TransportError(f"no safe connection: {text}", hint=_TLS_HINT)
            failure.transient = False
            return failure
        return TransportError(
            f"no whole answer came: {text}", hint="Check the network and the base URL (OKX_BASE_URL)."
        )

    def _timed_out(self) -> Timeout:
        message = f"no whole answer within {self._route.deadlines.timeout:g} s"
        return Timeout(message, hint="Try again later, or with a longer timeout.")

    def _without_echo(self, failure: OKXError, response: ClientResponse, body: bytes) -> OKXError:
        """Return the failure that an answer means, with no part of a secret that the server may have echoed in it.

        The answer is read again without the secrets, because errors quote it in part, and a part of a secret is one too.
        """
        trace_id = next((value for name in _TRACE_HEADERS if (value := response.headers.get(name))), None)
        self._signature = response.request_info.headers.get(SIGN, "")
        if self._credentials is not None:
            text = body.decode(errors="backslashreplace")
            safe = self._credentials.redact(text, self._signature)
            if safe != text:
                outcome = _read_outcome(self._endpoint, response.status, safe.encode())
                failure = outcome if isinstance(outcome, OKXError) else DecodeError("the answer cannot be read")
            trace_id = None if trace_id is None else self._credentials.redact(trace_id, self._signature)
        failure.status = response.status
        failure.trace_id = None if trace_id is None else one_line(trace_id, 64)
        return failure

    def _addressed(self, error: OKXError) -> OKXError:
        """Say of which call ``error`` speaks, and take out what the text of another library may hold."""
        error.endpoint = str(self._endpoint)
        error.attempts = self._sends
        error.waited = self._waited
        if self._credentials is not None:
            error.args = (self._credentials.redact(error.message, self._signature),)
            # A code that was spelt with escapes is read only now.
            error.code = None if error.code is None else self._credentials.redact(error.code, self._signature)
        return error


async def _note_departure(
    session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp passes it
    context: SimpleNamespace,
    headers: aiohttp.TraceRequestHeadersSentParams,  # noqa: ARG001 - as above
) -> None:
    # A write whose timestamp was refused may ask OKX for its time over the same connections, and that is no write.
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.depart()


DEPARTURES.on_request_headers_sent.append(_note_departure)


async def measure_clock(route: Route, http: aiohttp.ClientSession) -> None:
    """Ask OKX for its time, and let the clock follow the answer; of several, if they are slow, the one that came soonest.

    Raises:
        OKXError: as `Call.run` does, if no answer came at all.

    """
    soonest = math.inf
    for _ in range(TIME_SAMPLES):
        call = Call(route, http, SYSTEM_TIME, None)
        try:
            answer = await call.run()
        except BaseException as error:
            route.onlookers.see(call, error)
            if soonest == math.inf or not isinstance(error, OKXError):
                raise
            return
        route.onlookers.see(call, None)
        if call.times.took < soonest:
            soonest = call.times.took
            route.clock.measured(answer.ts.timestamp(), call.times)
        if soonest <= PROMPT:
            return


async def _read(response: ClientResponse) -> bytes:
    """Read an answer, or as much of it as shows that it is too long. Its connection is free, or closed, then."""
    content = response.content
    if content.at_eof():
        # A middleware has read it already, or there is nothing to read.
        return await response.read()
    try:
        first = await content.readany()
        if content.at_eof():
            return first
        body = bytearray(first)
        while len(body) <= ANSWER_LIMIT and not content.at_eof():
            body += await content.readany()
    except BaseException:
        response.close()
        raise
    if not content.at_eof():
        response.close()
    return bytes(body)


def _read_outcome(endpoint: Endpoint[R], status: int, body: bytes) -> R | OKXError:
    try:
        return endpoint.decode(read_answer(status, body))
    except OKXError as error:
        if isinstance(error, DecodeError) and error.hint is None:
            error.hint = _CHANGED
        return _bare(error)


def _is_certain(failure: OKXError) -> bool:
    """Tell whether ``failure`` says that OKX has not done what it was asked for."""
    if not isinstance(failure, APIError) or isinstance(failure, Unavailable):
        return False
    # Something in front of OKX may have lost its patience after it had passed the call on.
    return failure.code is not None or failure.status not in {408, 429, 499}


def _difference(offset: float | None) -> str:
    if offset is None:
        return "how far it is from OKX's clock is not known"
    return f"the clock of this machine is {abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} OKX's"


def _bare(error: OKXError) -> OKXError:
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _told_by(error: aiohttp.ClientError) -> str:
    """Return what aiohttp says of it, without the objects of which it writes the whole repr."""
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        # It is half a head.
        return "Server disconnected"
    try:
        text = _REPR_OF_ERROR.sub(r"\2", str(error)[:_QUOTED])
    except AttributeError:
        # One that a stand-in has made may lack the request that its text speaks of.
        return ""
    # Some versions of aiohttp leave it out where a certificate is wrong.
    if isinstance(getattr(error, "os_error", None), ConnectionError):
        # asyncio says no more of a handshake of TLS that ends without a word.
        text = text.replace("[None]", "[broken off]")
    return text


def _not_connected() -> Timeout:
    message = f"no connection within {CONNECT_TIMEOUT:g} s: the host does not answer, or all connections are busy"
    return Timeout(message, hint="Check the network and the base URL (OKX_BASE_URL).")


def _may_pass(error: aiohttp.ClientSSLError) -> bool:
    """Tell whether a handshake that failed may succeed when it is tried again: it was broken off, and not refused."""
    # aiohttp tells the two apart by the class, and both keep what Python's ssl raised.
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return False
    return isinstance(getattr(error, "os_error", None), ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)


def http_is_closed() -> ConfigurationError:
    """Return the error for a borrowed `aiohttp.ClientSession` that its owner has closed."""
    message = "the aiohttp session that was passed as http is closed"
    return ConfigurationError(message, hint="Keep it open for as long as this session is used.")


def _stopped() -> ConfigurationError:
    return ConfigurationError(
        "the session was closed while the call was under way", hint="Close it after the last call."
    )
