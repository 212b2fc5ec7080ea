"""What is said of a call that has ended: the report for observers, and the response for `Session.request`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from okx_sol_async.errors import OKXError
from okx_sol_async.transport._attempt import Attempt, Sender
from okx_sol_async.transport._events import CallInfo, CallReport
from okx_sol_async.transport._response import Response, safe_headers, trace_id_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.signing._credentials import Credentials

R = TypeVar("R")


class ReportedCall(Sender, Protocol):
    """What a report needs of its call."""

    endpoint: Endpoint[Any]
    credentials: Credentials | None
    attempt: Attempt | None
    response: ClientResponse | None

    def redact(self, text: str) -> str:
        """Return ``text`` without the secrets of the call."""


def info_of(call: ReportedCall) -> CallInfo:
    endpoint, user = call.endpoint, None if call.credentials is None else call.credentials.user_id
    return CallInfo(endpoint.method, endpoint.path, str(call.state.origin).rstrip("/"), user)


def report_of(call: ReportedCall, error: BaseException | None) -> CallReport:
    """Return the report of a call that has ended with ``error``."""
    record = call.record
    return CallReport(
        endpoint=str(call.endpoint),
        waited=record.waited,
        took=record.took,
        sends=record.sends,
        refusals=record.refusals,
        error=error if isinstance(error, OKXError) else None,
        cancelled=isinstance(error, asyncio.CancelledError),
        started_at=_started_at(call),
        user=None if call.credentials is None else call.credentials.user_id,
        status=_status(call, error),
        code=code_of(error),
        trace_id=error.trace_id if isinstance(error, OKXError) else _trace_id(call),
        clock_offset=call.state.clock.server_clock.offset,
        retries_left=call.state.budget.left,
        shared_limit_up=getattr(call.state.limiter, "is_up", None),
        duration=call.loop.time() - record.began,
        id=0 if call.events is None else call.events.info.id,
    )


def response_of(call: ReportedCall, result: R) -> Response[R]:
    """Return ``result`` with what is known of the response and of the call."""
    response, record = call.response, call.record
    assert response is not None  # noqa: S101 - the result was in it
    return Response(
        result=result,
        status=response.status,
        headers=safe_headers(response.headers, call.context()),
        trace_id=_trace_id(call),
        sent_at=_started_at(call) if call.attempt is None else datetime.fromtimestamp(call.attempt.signed_at, UTC),
        attempts=record.sends,
        waited=record.waited,
        took=record.took,
    )


def code_of(error: BaseException | None) -> str | None:
    """Return OKX's code of an outcome: 0 for a result, `None` for a failure without a code."""
    return "0" if error is None else error.code if isinstance(error, OKXError) else None


def _started_at(call: ReportedCall) -> datetime:
    if call.events is not None:
        return call.events.info.started_at
    return datetime.fromtimestamp(time.time() - (call.loop.time() - call.record.began), UTC)


def _status(call: ReportedCall, error: BaseException | None) -> int | None:
    if isinstance(error, OKXError):
        return error.status
    return None if call.response is None or error is not None else call.response.status


def _trace_id(call: ReportedCall) -> str | None:
    return None if call.response is None else trace_id_of(call.response.headers, call.redact)
