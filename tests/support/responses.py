"""What a response means, without a session: the functions that every call reads its response with."""

from __future__ import annotations

from typing import TypeVar

from okx_sol_async import Endpoint, OKXError
from okx_sol_async.transport._failures import FailureContext
from okx_sol_async.transport._response import outcome_of

R = TypeVar("R")


def result_of(endpoint: Endpoint[R], status: int, body: bytes) -> R:
    """Return the result in a response to ``endpoint``, or raise the error that it means."""
    outcome = outcome_of(endpoint, status, {}, body, lambda: FailureContext("GET /x", 1, 0.0, None, "", None))
    if isinstance(outcome, OKXError):
        raise outcome
    return outcome
