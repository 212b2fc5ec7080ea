"""Responses that a test sets for endpoints that the exchange does not have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from okx_sol_async.emulator._arguments import wrong
from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import ExchangeResponse
from okx_sol_async.emulator.gateway._routes import EndpointRoute, SignedCall, UnsignedCall

#: What a stub sends: JSON, or text or bytes as they are.
StubBody: TypeAlias = Mapping[str, object] | Sequence[object] | str | bytes
#: The body, or a function that makes it of each request.
StubResponse: TypeAlias = StubBody | Callable[[ReceivedRequest], StubBody]

#: A stub is limited by no one; the rate is far above what one machine can send.
_REQUESTS, _SECONDS = 1_000_000, 1.0


def stub_route(method: object, path: object, response: StubResponse, *, status: int, signed: bool) -> EndpointRoute:
    """Return a route that responds as a test wants.

    Raises:
        ConfigurationError: the path is none, or the response can't be written as JSON.

    """
    if not isinstance(method, str) or not method.isalpha():
        raise wrong(method, "method", "an HTTP method")
    if not isinstance(path, str) or not path.startswith("/") or "?" in path:
        raise wrong(path, "path", "a path that begins with / and has no query")
    make = _maker(response, status)
    endpoint = f"{method.upper()} {path}"

    def respond(call: SignedCall | UnsignedCall) -> ExchangeResponse:
        return make(call.request)

    if signed:
        return EndpointRoute.signed(endpoint, _REQUESTS, _SECONDS, respond, permission=None)
    return EndpointRoute.unsigned(endpoint, _REQUESTS, _SECONDS, respond)


def _maker(response: StubResponse, status: int) -> Callable[[ReceivedRequest], ExchangeResponse]:
    if callable(response):
        callback = response
        return lambda request: _written(callback(request), status)
    fixed = _written(response, status)
    return lambda _request: fixed


def _written(body: StubBody, status: int) -> ExchangeResponse:
    if isinstance(body, bytes):
        return ExchangeResponse(status, "", body, "application/octet-stream")
    if isinstance(body, str):
        return ExchangeResponse(status, "", body.encode(), "text/plain; charset=utf-8")
    try:
        text = json.dumps(body, separators=(",", ":"))
    except (TypeError, ValueError):
        raise wrong(body, "response", "JSON, text, bytes or a function") from None
    code = str(body.get("code", "")) if isinstance(body, Mapping) else ""
    return ExchangeResponse(status, code, text.encode())
