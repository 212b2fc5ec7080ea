"""A response of OKX's, or of something in front of it, as a result or as an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs
from multidict import CIMultiDict, CIMultiDictProxy

from okx_sol_async._error_codes import api_error, one_line
from okx_sol_async._error_details import CallDetails
from okx_sol_async.codec._envelope import Envelope, read_envelope
from okx_sol_async.errors import (
    APIError,
    ClockSkew,
    DecodeError,
    OKXError,
    Unavailable,
)
from okx_sol_async.transport._clock import TOLERANCE

if TYPE_CHECKING:
    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.transport._failures import FailureContext

R = TypeVar("R")


@attrs.frozen(eq=False)
class Response(Generic[R]):
    """The result of a call, with what is known of its response."""

    #: What `Session.call` returns.
    result: R
    #: The HTTP status.
    status: int
    #: The headers of the response, read-only, by their names in any case. There are no cookies and no secrets.
    headers: Mapping[str, str]
    #: OKX's id of the call, to name to their support; `None` without one.
    trace_id: str | None
    #: The time in the signature of the last send (UTC): OKX's, as far as the session knows it.
    sent_at: datetime
    #: How many times it was sent; 0 if a mock took the place of the network.
    attempts: int
    #: Seconds in the queue of the user's limit, over all sends.
    waited: float
    #: Seconds on the network, over all sends.
    took: float


_NEW_FORMAT: Final = "OKX may have changed its responses: look for a newer version of this package, or report it."
_NOT_OKX: Final = (
    "A proxy or a login page may respond in OKX's place: check the network and the base URL (OKX_BASE_URL)."
)
_CLOCKS_AGREE: Final = "The clocks agree, so OKX or a proxy is at fault; try again later."
_TRACE_HEADERS: Final = ("x-trace-id", "x-request-id", "traceid")
_COOKIES: Final = {"set-cookie", "cookie"}
_EXCERPT: Final = 64


def outcome_of(
    endpoint: Endpoint[R], status: int, headers: Mapping[str, str], body: bytes, context: Callable[[], FailureContext]
) -> R | OKXError:
    """Return the result in a response, or the error that it means."""
    try:
        envelope = read_envelope(body)
        if envelope.code == "0" and 200 <= status < 300:
            return endpoint.decode(envelope.data)
    except Exception:  # noqa: BLE001, S110 - it is read again below, without secrets
        pass
    return error_of(endpoint, status, headers, body, context())


def error_of(
    endpoint: Endpoint[Any], status: int, headers: Mapping[str, str], body: bytes, context: FailureContext
) -> OKXError:
    """Return the error that a response means.

    It is read anew without the secrets that the server may have echoed: errors quote parts of it, and a part of a
    secret would not be recognised any more.
    """
    safe = context.redact(body.decode(errors="backslashreplace")).encode()
    details = context.details()
    details["trace_id"] = trace_id_of(headers, context.redact)
    details["retry_after"] = _retry_after(headers)
    try:
        envelope = read_envelope(safe)
    except DecodeError as error:
        if 200 <= status < 300:
            excerpt = one_line(safe[: 4 * _EXCERPT].decode(errors="backslashreplace"), _EXCERPT)
            message = f"{error.message}; the response begins with {excerpt!a}"
            return DecodeError(message, status=status, hint=_NOT_OKX, transient=True, **details)
        return api_error(status=status, **details)
    if envelope.code != "0" or not 200 <= status < 300:
        return _refusal(envelope, status, context, details)
    try:
        endpoint.decode(envelope.data)
    except OKXError as error:
        message, hint = context.redact(error.message), error.hint or _NEW_FORMAT
    except Exception as error:  # noqa: BLE001 - the endpoint may be the caller's
        message, hint = f"decode raised {type(error).__name__}", "Let decode raise DecodeError and nothing else."
    else:
        message, hint = "the response echoes the request and cannot be read", _NEW_FORMAT
    return DecodeError(message, status=status, hint=hint, **details)


def is_certain(failure: OKXError) -> bool:
    """Return whether ``failure`` says that OKX has not done what it was asked for."""
    if not isinstance(failure, APIError) or isinstance(failure, Unavailable):
        return False
    # A proxy in front of OKX may have given up after it had forwarded the call.
    return failure.code is not None or failure.status not in {429, 499}


def trace_id_of(headers: Mapping[str, str], redact: Callable[[str], str]) -> str | None:
    """Return OKX's id of a call from the headers of its response, in which ``redact`` hides secrets."""
    trace_id = next((value for name in _TRACE_HEADERS if (value := headers.get(name))), None)
    return None if trace_id is None else one_line(redact(trace_id), 64)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a proxy or OKX asks to wait; a date is too inexact for that."""
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 6 else None


def safe_headers(headers: Mapping[str, str], context: FailureContext) -> Mapping[str, str]:
    """Return the headers of a response, read-only, without cookies and without secrets that the server has echoed."""
    shown = ((name, context.redact(value)) for name, value in headers.items() if name.lower() not in _COOKIES)
    return CIMultiDictProxy(CIMultiDict(shown))


def _refusal(envelope: Envelope, status: int, context: FailureContext, details: CallDetails) -> OKXError:
    # Escapes in the JSON are resolved only now, so they may hold a secret still.
    msg = context.redact(envelope.msg)
    if envelope.code == "0":
        return api_error(status=status, msg=msg, **details)
    refusal = api_error(status=status, code=one_line(context.redact(envelope.code), 40), msg=msg, **details)
    if not isinstance(refusal, ClockSkew):
        return refusal
    offset = context.clock_offset
    hint = _CLOCKS_AGREE if offset is not None and abs(offset) <= TOLERANCE else refusal.hint
    return ClockSkew(
        f"{refusal.message}: {_difference(offset)}", code=refusal.code, status=status, hint=hint, **details
    )


def _difference(offset: float | None) -> str:
    if offset is None:
        return "how far it is from OKX's clock is not known"
    return f"the clock of this machine is {abs(offset):.1f} s {'behind' if offset > 0 else 'ahead of'} OKX's"
