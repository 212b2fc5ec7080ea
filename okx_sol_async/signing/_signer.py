"""The signature of a request, and the aiohttp client middleware that adds it.

`OKX: Authentication <https://www.okx.com/docs-v5/en/#overview-rest-authentication>`_
"""

from __future__ import annotations

import hmac
import time
from binascii import b2a_base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import attrs
from multidict import istr
from yarl import URL

from okx_sol_async._checks import is_text, wrong
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.signing._redaction import SecretHeader

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

# aiohttp's own kind of header name: it is folded to lower case once.
_KEY: Final = istr("OK-ACCESS-KEY")
#: The header that holds the signature.
SIGN: Final = istr("OK-ACCESS-SIGN")
#: The header that holds the timestamp of the signature.
TIMESTAMP: Final = istr("OK-ACCESS-TIMESTAMP")
_PASSPHRASE: Final = istr("OK-ACCESS-PASSPHRASE")
_SIMULATED: Final = istr("x-simulated-trading")


def sign(timestamp: str, method: str, request_path: str, body: str | bytes, secret: str) -> str:
    """Return the value of ``OK-ACCESS-SIGN``: the Base64 of an HMAC-SHA256.

    Args:
        timestamp: UTC with milliseconds, ``2020-12-08T09:08:57.715Z``, as sent in ``OK-ACCESS-TIMESTAMP``.
        method: ``GET`` or ``POST``.
        request_path: path and query as they leave, ``/api/v5/account/balance?ccy=BTC``.
        body: what is sent; empty for a GET. A `str` counts as UTF-8.
        secret: the secret of the key.

    Raises:
        ConfigurationError: an argument is of another type, or no text that can be encoded.

    """
    try:
        content = body.encode() if isinstance(body, str) else body
        prehash = (timestamp + method.upper() + request_path).encode() + content
        # `hmac.digest` looks its algorithm up each time, which takes longer than all that this makes.
        return b2a_base64(hmac.new(secret.encode(), prehash, sha256).digest(), newline=False).decode()
    except (AttributeError, TypeError, UnicodeEncodeError):
        pass
    names = {"timestamp": timestamp, "method": method, "request_path": request_path, "secret": secret, "body": body}
    name = next((name for name, value in names.items() if not is_text(value)), "body")
    message = f"{name} must be a string that can be encoded"
    raise ConfigurationError(message, argument=name)


# A session signs for few URLs, and many times in each second.
@lru_cache(maxsize=64)
def _origin_of(url: URL) -> URL:
    return url.origin()


def _origin(url: str | URL) -> URL:
    try:
        return _origin_of(url if isinstance(url, URL) else URL(url))
    except (TypeError, ValueError):
        raise wrong(url, "origin", "a URL such as 'https://openapi.okx.com'") from None


@lru_cache(maxsize=4)
def _date_and_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def timestamp_of(seconds: float) -> str:
    """Return seconds since 1970 (UTC) as OKX writes them: ``2020-12-08T09:08:57.715Z``."""
    # Rounded to microseconds like a datetime, then cut.
    microseconds = int(seconds * 1e6 + 0.5)
    return f"{_date_and_time(microseconds // 1_000_000)}.{microseconds // 1000 % 1000:03}Z"


# Not frozen: one is made for each call, and would cost half as much again.
@attrs.define(eq=False, on_setattr=attrs.setters.NO_OP)
class Signer:
    """An aiohttp client middleware that signs each request for OKX, and only for one origin.

    It signs the path, the query and the body that leave, at the moment they leave, so put it last of the middlewares::

        signer = Signer(credentials, "https://openapi.okx.com")
        async with aiohttp.ClientSession(middlewares=(signer,)) as http:
            url = "https://openapi.okx.com/api/v5/account/config"
            async with http.get(url, allow_redirects=False) as response:
                ...

    Args:
        credentials: whose key signs.
        origin: scheme, host and port that may be signed for, such as ``"https://openapi.okx.com"``.
        demo: sign for demo trading (``x-simulated-trading: 1``).
        now: returns seconds since 1970 (UTC), OKX's as near as can be.

    Raises:
        ConfigurationError: ``credentials`` or ``origin`` are of another kind.

    A request to any other origin raises `ConfigurationError`, and nothing is sent.

    `OKX: Making Requests <https://www.okx.com/docs-v5/en/#overview-rest-authentication-making-requests>`_
    """

    #: The key that signs.
    credentials: Credentials = attrs.field()
    #: Scheme, host and port that may be signed for.
    origin: URL = attrs.field(converter=_origin)
    #: Whether requests are signed for demo trading.
    demo: bool = attrs.field(default=False, kw_only=True)
    #: Returns the time of a signature, in seconds since 1970 (UTC).
    now: Callable[[], float] = attrs.field(default=time.time, kw_only=True, repr=False)

    @credentials.validator
    def _check_credentials(self, _: object, value: object) -> None:
        if not isinstance(value, Credentials):
            raise wrong(type(value).__name__, "credentials", "Credentials")

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Sign ``request`` and pass it on."""
        body = request.body
        content = body if isinstance(body, bytes) else await body.as_bytes()
        sign_request(request, content, self)
        return await handler(request)


def sign_request(request: ClientRequest, content: bytes, signer: Signer) -> None:
    """Put the headers of ``signer`` on ``request``, which has ``content`` as its body.

    Raises:
        ConfigurationError: the request is for another origin.

    """
    url, origin, credentials = request.url, signer.origin, signer.credentials
    # To compare their origins as URLs takes longer.
    if url.host_port_subcomponent != origin.host_port_subcomponent or url.scheme != origin.scheme:
        message = f"refused to sign a request for {url.origin()}: this signer is for {origin} only"
        raise ConfigurationError(message, hint="Check the base URL, and that nothing follows redirects.")
    timestamp = timestamp_of(signer.now())
    signature = SecretHeader(sign(timestamp, request.method, url.raw_path_qs, content, credentials.secret_key))
    headers = request.headers
    headers[_KEY] = SecretHeader(credentials.api_key)
    headers[SIGN] = signature
    headers[TIMESTAMP] = timestamp
    headers[_PASSPHRASE] = SecretHeader(credentials.passphrase)
    if signer.demo:
        headers[_SIMULATED] = "1"
