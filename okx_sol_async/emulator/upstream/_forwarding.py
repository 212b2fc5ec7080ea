"""Reads are passed through to another exchange here; writes never are."""

from __future__ import annotations

import ipaddress
import json
import logging
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from okx_sol_async.emulator._arguments import wrong
from okx_sol_async.emulator.gateway._gateway import ROUTES, Gateway
from okx_sol_async.emulator.gateway._requests import ReceivedRequest
from okx_sol_async.emulator.gateway._responses import ExchangeResponse, refusal
from okx_sol_async.emulator.upstream._recording import Recording

_log: Final = logging.getLogger("okx_sol_async.emulator")

#: The headers of a request that are passed through. The signature does not cover the host, so it stays right.
_HEADERS: Final = (
    "OK-ACCESS-KEY",
    "OK-ACCESS-SIGN",
    "OK-ACCESS-TIMESTAMP",
    "OK-ACCESS-PASSPHRASE",
    "x-simulated-trading",
    "User-Agent",
)
#: Seconds until an exchange that does not respond is given up.
_TIMEOUT: Final = 30.0


class Upstream:
    """Passes documented reads through to an exchange, and keeps what came back in a recording."""

    def __init__(self, url: str, gateway: Gateway, recording: Recording) -> None:
        self._url = _checked_url(url)
        self._gateway = gateway
        self._recording = recording
        self._http: aiohttp.ClientSession | None = None

    async def respond(self, request: ReceivedRequest) -> ExchangeResponse | None:
        """Return what the exchange responds, or the refusal of a write; `None` for what OKX does not document."""
        route = ROUTES.get(request.endpoint)
        if route is None:
            return None
        if request.method != "GET":
            return refusal("50120", msg=f"The emulator passes no {request.method} through to {self._url}.")
        try:
            theirs = await self._send(request)
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("No response from %s to %s: %r", self._url, request.endpoint, error)
            return ExchangeResponse(502, "", f"No response from {self._url}".encode(), "text/plain; charset=utf-8")
        ours = self._gateway.respond_unchecked(request) if theirs.code == "0" else refusal(theirs.code)
        self._recording.add(request, theirs, ours, signed=route.respond_signed is not None)
        return theirs

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _send(self, request: ReceivedRequest) -> ExchangeResponse:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT), cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        url = URL(self._url + request.target, encoded=True)
        async with self._http.get(url, headers=headers, allow_redirects=False) as response:
            body = await response.read()
            return ExchangeResponse(
                response.status, _code_of(body), body, response.headers.get("Content-Type", "text/plain")
            )


def _code_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["code"])
    except (ValueError, LookupError, TypeError):
        return ""


def _checked_url(url: object) -> str:
    """Return the origin of an exchange, without a slash at its end."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host = parts.hostname or ""
    except ValueError:
        raise wrong(url, "upstream", "a URL such as https://www.okx.com") from None
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not safe or not host or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        # The passphrase is sent with each request.
        raise wrong(url, "upstream", "the https:// URL of an exchange, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
