"""The control API over HTTP: who may use it, which operation a request means, and the stream of events."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from okx_sol_async.emulator._arguments import wrong
from okx_sol_async.emulator._exchange import EmulatedExchange
from okx_sol_async.emulator.control._openapi import openapi_document
from okx_sol_async.emulator.control._operations import OPERATIONS, ControlRequest, Operation, entry_value
from okx_sol_async.emulator.gateway._journal import JournalEntry
from okx_sol_async.errors import ConfigurationError

_PREFIX: Final = "/_emulator"
#: Events that a slow reader has not read yet; the oldest are dropped.
_EVENTS: Final = 1_000
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class ControlRefused(Exception):
    """A request that is not meant for the control API, or that may not use it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ControlApi:
    """Responds to requests below ``/_emulator``."""

    def __init__(self, exchange: EmulatedExchange, outage: Callable[[float | None], object], token: str | None) -> None:
        self._exchange = exchange
        self._outage = outage
        self._token = token
        self._patterns = [(operation, _pattern_of(operation)) for operation in OPERATIONS]

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Do what a request asks for, or refuse it."""
        path = request.path.removeprefix(_PREFIX)
        try:
            _check_origin(request, has_token=self._token is not None)
            if request.method == "GET" and path in ("", "/"):
                return _page()
            if path != "/health":
                self._check_token(request)
            if request.method == "GET" and path == "/events":
                return await self._stream(request)
            if request.method == "GET" and path == "/openapi.json":
                return _json(200, openapi_document(_PREFIX))
            return _json(200, await self._run(request, path))
        except ControlRefused as refused:
            return _json(refused.status, {"error": str(refused), "field": None})
        except ConfigurationError as error:
            return _json(400, {"error": error.message, "field": error.argument})

    def _check_token(self, request: web.BaseRequest) -> None:
        if self._token is None:
            return
        given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("token", "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise ControlRefused(401, "the control API asks for its token: Authorization: Bearer ...")

    async def _run(self, request: web.BaseRequest, path: str) -> object:
        matches = [(one, match) for one, pattern in self._patterns if (match := pattern.fullmatch(path))]
        if not matches:
            raise ControlRefused(404, f"there is no {path}; GET {_PREFIX}/openapi.json lists what there is")
        found = next(((one, match) for one, match in matches if one.method == request.method), None)
        if found is None:
            raise ControlRefused(405, f"{path} takes {', '.join(one.method for one, _ in matches)}")
        operation, match = found
        unknown = set(request.query) - set(operation.query) - {"token"}
        if unknown:
            raise wrong(request.query[min(unknown)], min(unknown), "left out: there is no such parameter")
        body = await _body_of(request, operation)
        return operation.run(
            ControlRequest(self._exchange, match.groupdict(), request.query, body, self._schedule_outage)
        )

    def _schedule_outage(self, seconds: float | None) -> object:
        # The response of this request is sent first.
        return asyncio.get_running_loop().call_later(0.05, self._outage, seconds)

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send each new entry of the journal, and the time each second, until the client closes the connection."""
        response = web.StreamResponse(headers=_HEADERS | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        entries: asyncio.Queue[JournalEntry] = asyncio.Queue(_EVENTS)

        def listen(entry: JournalEntry) -> None:
            if entries.full():
                entries.get_nowait()
            entries.put_nowait(entry)

        self._exchange.journal.listeners.append(listen)
        loop = asyncio.get_running_loop()
        try:
            while True:
                await response.write(_event("clock", {"now": self._exchange.now().isoformat(), "at": loop.time()}))
                ends = loop.time() + 1.0
                while (left := ends - loop.time()) > 0:
                    with suppress(TimeoutError):
                        entry = await asyncio.wait_for(entries.get(), left)
                        await response.write(_event("request", entry_value(entry)))
        except ConnectionError:
            return response
        finally:
            self._exchange.journal.listeners.remove(listen)


def _pattern_of(operation: Operation) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path))


def _check_origin(request: web.BaseRequest, *, has_token: bool) -> None:
    """Refuse what a page of another origin could send: another Host, Origin, or a body that is not JSON."""
    host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    if not has_token and not _is_local(host):
        raise ControlRefused(403, "the control API is for this machine: Host must be localhost or its address")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host", ""):
        raise ControlRefused(403, "the control API is not for pages of another origin")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise ControlRefused(403, "the control API is not for pages of another origin")


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _body_of(request: web.BaseRequest, operation: Operation) -> Mapping[str, Any]:
    raw = await request.read()
    if request.method in ("GET", "DELETE") or not (raw or operation.fields):
        return {}
    if request.content_type != "application/json":
        raise ControlRefused(415, "the body must be JSON: Content-Type: application/json")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise ControlRefused(400, "the body is no JSON") from None
    if not isinstance(body, dict):
        raise ControlRefused(400, "the body must be an object")
    unknown = set(body) - set(operation.fields)
    if unknown and operation.path != "/faults":
        raise wrong(body[min(unknown)], min(unknown), "left out: there is no such field")
    return body


def _json(status: int, value: object) -> web.Response:
    return web.json_response(value, status=status, headers=_HEADERS)


def _event(name: str, value: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value)}\n\n".encode()


def _page() -> web.Response:
    text = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)
