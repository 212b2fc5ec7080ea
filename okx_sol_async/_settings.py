"""What a session can be given, as arguments or by the environment, and the checks of it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypedDict

from yarl import URL

from okx_sol_async._checks import seconds
from okx_sol_async._writes import WriteLog
from okx_sol_async.config import Region
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.transport._http import USER_AGENT
from okx_sol_async.transport._metrics import Observe

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import ClientMiddlewareType

    from okx_sol_async.ratelimit._limit import Limiter

_YES: Final = {"1", "true", "yes", "on"}
_NO: Final = {"", "0", "false", "no", "off"}
#: Keyword arguments for the client session of our own, which needs none, and for a borrowed one, which may have other
#: defaults.
NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})
BORROWED_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType(
    {"headers": {"User-Agent": USER_AGENT}, "raise_for_status": False, "auto_decompress": True}
)


class SessionSettings(TypedDict, total=False):
    """The keywords of `Session`, for `Session.from_env`."""

    region: Region | None
    base_url: str | None
    demo: bool | None
    http: aiohttp.ClientSession | None
    middlewares: Iterable[ClientMiddlewareType]
    limiter: Limiter | None
    timeout: float
    max_wait: float | None
    attempts: int
    observe: Observe
    write_log: WriteLog | None


def region_from_env() -> Region:
    """Return the region in ``OKX_REGION``, `Region.GLOBAL` if it is not set."""
    name = os.environ.get("OKX_REGION") or Region.GLOBAL.name
    try:
        return Region[name.strip().upper()]
    except KeyError:
        message = f"OKX_REGION must be one of {', '.join(region.name.lower() for region in Region)}, not {name!r}"
    raise ConfigurationError(message, argument="region")


def demo_from_env() -> bool:
    """Return whether ``OKX_DEMO`` asks for demo trading."""
    word = os.environ.get("OKX_DEMO", "").strip().lower()
    if word not in _YES | _NO:
        message = f"OKX_DEMO must be 1 or 0, not {word!r}"
        raise ConfigurationError(message, argument="demo")
    return word in _YES


def checked_origin(base_url: object) -> URL:
    """Return the origin of ``base_url``, if signatures may be sent there."""
    try:
        url = URL(base_url) if isinstance(base_url, str) else URL()
        # A host that has no IDNA form fails here, and not in the middle of a call.
        (url.host or "").encode("idna")
    except (ValueError, TypeError):
        url = URL()
    problem = _problem_of(url)
    if problem is not None:
        message = f"base_url {problem}"
        raise ConfigurationError(message, argument="base_url")
    return url.origin()


def _problem_of(url: URL) -> str | None:
    host = url.host
    if not host or url.scheme not in {"http", "https"}:
        return "must be a URL such as 'https://openapi.okx.com'"
    if url.raw_user is not None or url.raw_password is not None:
        return "must not hold a user or a password"
    if url.raw_path not in {"", "/"} or url.raw_query_string or url.raw_fragment:
        return f"must end after the host and port, as {str(url.origin())!r} does: OKX's paths are signed whole"
    if host.endswith("."):
        return "must not end its host with a dot: it would be another host to the rate limit"
    if url.scheme == "http" and not _is_loopback(host):
        return f"must begin with https://, because {host} is not a loopback address"
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_max_wait(max_wait: float | None) -> float | None:
    return None if max_wait is None else seconds("max_wait", max_wait, positive=False)


def check_method(argument: str, value: object, method: str) -> None:
    """Refuse a ``value`` that is not `None` and lacks a method."""
    if value is not None and not callable(getattr(value, method, None)):
        message = f"{argument} must have a method {method}, and {type(value).__name__} has none"
        raise ConfigurationError(message, argument=argument)


def checked_middlewares(middlewares: object) -> tuple[ClientMiddlewareType, ...]:
    """Return ``middlewares`` as a tuple if all of them can be called."""
    found = tuple(middlewares) if isinstance(middlewares, Iterable) else (middlewares,)
    if not all(callable(middleware) for middleware in found):
        message = "middlewares must be aiohttp client middlewares: callables of a request and a handler"
        raise ConfigurationError(message, argument="middlewares")
    return found
