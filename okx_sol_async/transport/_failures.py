"""What was raised instead of a response, as errors of this package.

Each error is built here once, with all that is known of its call, and with no secret in it. No error has a cause: the
frames of aiohttp and the response itself hold headers that must not be shown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs

from okx_sol_async._error_codes import one_line
from okx_sol_async._error_details import CallDetails
from okx_sol_async.errors import (
    ConfigurationError,
    OKXError,
    OutcomeUnknown,
    SessionClosed,
    Timeout,
    TransportError,
)
from okx_sol_async.transport._http import CONNECT_TIMEOUT, ProblemKind, problem_of

if TYPE_CHECKING:
    from okx_sol_async.signing._credentials import Credentials

_CHECK_NETWORK: Final = "Check the network and the base URL (OKX_BASE_URL)."
_TLS_HINT: Final = (
    "Check the base URL (OKX_BASE_URL), the clock of this machine, and whether a proxy replaces the server's certificate with its own."
    " A private certificate authority goes into SSL_CERT_FILE."
)


@attrs.frozen
class FailureContext:
    """What is known of a call when one of its sends has failed."""

    #: Method and path.
    endpoint: str
    #: How many times it was sent.
    attempts: int
    #: Seconds in the queue.
    waited: float
    #: Whose call it is; `None` for a public one.
    credentials: Credentials | None
    #: The signature of the send, which a response may echo.
    signature: str
    #: By how many seconds OKX's clock is ahead of that of this machine; `None` where it is not known.
    clock_offset: float | None
    #: OKX's time in the signature of the last send; `None` if nothing was sent.
    sent_at: datetime | None = None
    #: What may have raised an exception that is neither aiohttp's nor this package's.
    foreign_code: str = "a middleware"

    def redact(self, text: str) -> str:
        return text if self.credentials is None else self.credentials.redact(text, self.signature)

    def details(self) -> CallDetails:
        return CallDetails(endpoint=self.endpoint, attempts=self.attempts, waited=self.waited, sent_at=self.sent_at)


def of_exception(error: Exception, context: FailureContext) -> OKXError:
    """Return the error for what aiohttp, a middleware, a limiter or a write log raised instead of a response."""
    if isinstance(error, OKXError):
        return _completed(error, context)
    kind, text = problem_of(error) or (None, _text_of(error))
    # Redacted before it is cut: the rest of a secret would not be recognised.
    text = one_line(context.redact(text)) or type(error).__name__
    match kind:
        case ProblemKind.NOT_CONNECTED:
            message = (
                f"no connection within {CONNECT_TIMEOUT:g} s: the host does not respond, or all connections are busy"
            )
            return Timeout(message, hint=_CHECK_NETWORK, **context.details())
        case ProblemKind.UNSAFE:
            message = f"no safe connection: {text}"
            return TransportError(message, transient=False, hint=_TLS_HINT, **context.details())
        case ProblemKind.NO_RESPONSE:
            return TransportError(f"no whole response: {text}", hint=_CHECK_NETWORK, **context.details())
    if isinstance(error, TimeoutError):
        return timed_out(None, context)
    message = f"{context.foreign_code} raised {type(error).__name__}: {text}"
    return TransportError(message, transient=False, hint="See the middlewares of the session.", **context.details())


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the class of the error may be anybody's
        return ""


def timed_out(timeout: float | None, context: FailureContext) -> Timeout:
    """Return the error for a send that took longer than ``timeout`` seconds; `None` for a timeout of a middleware's."""
    within = "in time" if timeout is None else f"within {timeout:g} s"
    return Timeout(
        f"no whole response {within}", hint="Try again later, or with a longer timeout.", **context.details()
    )


def outcome_unknown(failure: OKXError, signed_at: float, context: FailureContext) -> OutcomeUnknown:
    """Return the error for a write that may have happened, with the ``failure`` that hid its outcome."""
    details = context.details()
    details["trace_id"] = failure.trace_id
    details["sent_at"] = datetime.fromtimestamp(signed_at, UTC)
    return OutcomeUnknown(
        f"the call was sent, and no response says whether it happened: {failure.message}",
        code=failure.code,
        status=failure.status,
        hint="Look it up before you send it again.",
        reason=failure,
        **details,
    )


def session_closed(context: FailureContext, *, sent: bool) -> SessionClosed:
    hint = "Close the session after the last call."
    return SessionClosed("the session was closed during the call", sent=sent, hint=hint, **context.details())


def unusable_http(error: Exception, context: FailureContext) -> ConfigurationError:
    """Return the error for what a borrowed `aiohttp.ClientSession` has raised before it sent anything."""
    message = f"http cannot make this call: {type(error).__name__}: {one_line(context.redact(_text_of(error)))}"
    hint = "Check the settings of the aiohttp session that was passed."
    return ConfigurationError(message, argument="http", hint=hint, **context.details())


def _completed(error: OKXError, context: FailureContext) -> OKXError:
    """Return an error that was raised without knowing its call, with all that is known of the call."""
    complete = error.with_details(**context.details())
    complete.args = (context.redact(error.message),)
    return complete
