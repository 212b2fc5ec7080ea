"""Keys, the signature, and the aiohttp middleware that puts it on a request.

`OKX: Authentication <https://www.okx.com/docs-v5/en/#overview-rest-authentication>`_
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NoReturn, Self, TypeVar, dataclass_transform

import attrs
from multidict import istr
from yarl import URL

from okx_sol_async.errors import ConfigurationError

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

_VARIABLES: Final = {
    "api_key": "OKX_API_KEY",
    "secret_key": "OKX_SECRET_KEY",
    "passphrase": "OKX_PASSPHRASE",
}
# So many characters in a row of a secret are a part that matters.
_PART: Final = 8


C = TypeVar("C")


@dataclass_transform(frozen_default=True)
def _frozen(kind: type[C]) -> type[C]:
    """Tell type checkers that the fields of a class cannot be set."""
    return kind


@_frozen
class Credentials:
    """The key of one OKX user, checked when made and hidden wherever it could be shown.

    It cannot be changed, and copies are the same object. It refuses to be pickled, because a pickle is kept and sent
    without anybody thinking of the secrets in it: give another process the three texts, or let it call `from_env`.

    Args:
        api_key: the key's name, as OKX shows it.
        secret_key: its secret, as OKX showed it once.
        passphrase: the words chosen when the key was made.
        user_id: any label that is the same for all keys of one OKX user, such as the ``uid`` of OKX's account
            configuration. OKX counts calls per user, so keys that carry one label share one limit.
            `None`: this key is a user of its own. One label over two users only slows them;
            two labels for one user break the limit.

    Raises:
        ConfigurationError: a value is empty, not ASCII, or holds a space or a control character.
            The message names the field and never its value.

    """

    # This is no attrs class, because what belongs to attrs looks into its fields without asking for its repr:
    # attrs.asdict and cattrs write out a settings class with all that is in it, rich shows the fields, pytest compares them.
    __slots__ = ("__weakref__", "api_key", "owner", "passphrase", "secret_key", "user_id")

    api_key: str
    secret_key: str
    passphrase: str
    user_id: str | None
    #: Who is counted: the user's label, or a hash of the key. The two cannot be mistaken for each other.
    owner: str

    def __init__(self, api_key: str, secret_key: str, passphrase: str, user_id: str | None = None) -> None:
        problem = (
            _problem("api_key", api_key)
            or _problem("secret_key", secret_key)
            or _problem("passphrase", passphrase)
            or _label_problem(user_id)
        )
        if problem is not None:
            # A traceback may be printed with the locals of its frames; this one holds none of the values then.
            del self, api_key, secret_key, passphrase
            raise ConfigurationError(problem)
        keep = object.__setattr__
        keep(self, "api_key", api_key)
        keep(self, "secret_key", secret_key)
        keep(self, "passphrase", passphrase)
        keep(self, "user_id", user_id)
        keep(self, "owner", _owner(api_key, user_id))

    @classmethod
    def from_env(cls) -> Credentials:
        """Read ``OKX_API_KEY``, ``OKX_SECRET_KEY``, ``OKX_PASSPHRASE`` and, if it is set, ``OKX_USER_ID``.

        Raises:
            ConfigurationError: it names every variable that is missing or empty, or the field that is malformed.

        """
        missing = [variable for variable in _VARIABLES.values() if not os.environ.get(variable)]
        if missing:
            message = f"not set in the environment: {', '.join(missing)}"
            raise ConfigurationError(message, hint="Set them to the values of a key made at OKX, with Read permission.")
        return cls(
            os.environ["OKX_API_KEY"],
            os.environ["OKX_SECRET_KEY"],
            os.environ["OKX_PASSPHRASE"],
            os.environ.get("OKX_USER_ID") or None,
        )

    def redact(self, text: str, signature: str = "") -> str:
        """Return ``text`` without the secret and the passphrase, and with the key cut to its last four characters.

        A part of a secret is one too, where a text was cut or spelt in another way: eight characters in a row are taken
        out. A value of less than four characters stays: it is in every text, and no secret.

        Args:
            text: what may hold them.
            signature: the signature of the call that the text tells of, which is taken out as well.

        """
        for value, shown in ((self.secret_key, "***"), (self.passphrase, "***"), (self.api_key, _tail(self.api_key))):
            if len(value) >= 4:
                text = text.replace(value, shown).replace(json.dumps(value)[1:-1], shown)
        return _without_parts(text, (self.secret_key, self.passphrase, json.dumps(self.passphrase)[1:-1], signature))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise attrs.exceptions.FrozenInstanceError

    def __delattr__(self, name: str) -> NoReturn:
        raise attrs.exceptions.FrozenInstanceError

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        message = "Credentials are not pickled: give the other process the three texts, or Credentials.from_env()"
        raise TypeError(message)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return (self.api_key, self.secret_key, self.passphrase, self.user_id) == (
            other.api_key,
            other.secret_key,
            other.passphrase,
            other.user_id,
        )

    def __hash__(self) -> int:
        return hash((self.api_key, self.user_id))

    def __repr__(self) -> str:
        label = "" if self.user_id is None else f", user_id={self.user_id!r}"
        return f"Credentials(api_key={_tail(self.api_key)!r}{label})"


def _problem(field: str, value: object) -> str | None:
    variable = _VARIABLES[field]
    if not isinstance(value, str):
        return f"{field} must be a str, not {type(value).__name__}: give it as OKX shows it ({variable})"
    if not value:
        return f"{field} is empty: give the value that OKX shows ({variable})"
    if not value.isascii():
        return f"{field} has a character that is not ASCII: copy it again from OKX ({variable})"
    if any(c.isspace() or not c.isprintable() for c in value):
        return f"{field} has a space, a line break or a control character: copy it again from OKX ({variable})"
    return None


def _label_problem(user_id: object) -> str | None:
    if user_id is None or (isinstance(user_id, str) and user_id):
        return None
    return "user_id must be a label of at least one character, or None (OKX_USER_ID)"


def _owner(api_key: str, user_id: str | None) -> str:
    if user_id is not None:
        return f"user:{user_id}"
    return f"key:{hashlib.blake2b(api_key.encode(), digest_size=16).hexdigest()}"


def _without_parts(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with ``***`` for whatever it shares with a secret, if that is long enough to matter."""
    parts = {secret[start : start + _PART] for secret in secrets for start in range(len(secret) - _PART + 1)}
    found = [part for part in parts if part in text]
    if not found:
        return text
    hidden = bytearray(len(text))
    for part in found:
        start = text.find(part)
        while start >= 0:
            hidden[start : start + _PART] = b"\1" * _PART
            start = text.find(part, start + 1)
    runs = groupby(zip(text, hidden, strict=True), key=itemgetter(1))
    return "".join("***" if is_hidden else "".join(c for c, _ in run) for is_hidden, run in runs)


def _tail(api_key: str) -> str:
    return f"…{api_key[-4:]}" if len(api_key) > 4 else "…"


# aiohttp's own kind of header name: it is folded to lower case once.
_KEY: Final = istr("OK-ACCESS-KEY")
#: The header that holds the signature.
SIGN: Final = istr("OK-ACCESS-SIGN")
_TIMESTAMP: Final = istr("OK-ACCESS-TIMESTAMP")
_PASSPHRASE: Final = istr("OK-ACCESS-PASSPHRASE")
_SIMULATED: Final = istr("x-simulated-trading")


class SecretHeader(str):
    """A header's value that is sent as it is and shows as ``'***'`` in the repr of whatever holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def sign(timestamp: str, method: str, request_path: str, body: str | bytes, secret: str) -> str:
    """Return the value of ``OK-ACCESS-SIGN``: the Base64 of an HMAC-SHA256.

    Args:
        timestamp: UTC with milliseconds, ``2020-12-08T09:08:57.715Z``, as sent in ``OK-ACCESS-TIMESTAMP``.
        method: ``GET`` or ``POST``.
        request_path: path and query as they leave, ``/api/v5/account/balance?ccy=BTC``.
        body: what is sent; empty for a GET. A `str` counts as UTF-8.
        secret: the secret of the key.

    """
    content = body.encode() if isinstance(body, str) else body
    prehash = f"{timestamp}{method.upper()}{request_path}".encode() + content
    return b2a_base64(hmac.new(secret.encode(), prehash, "sha256").digest(), newline=False).decode()


def _origin(url: str | URL) -> URL:
    return url.origin() if isinstance(url, URL) else URL(url).origin()


def timestamp_of(seconds: float) -> str:
    """Return seconds since 1970 (UTC) as OKX writes them: ``2020-12-08T09:08:57.715Z``."""
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat(timespec='milliseconds')[:-6]}Z"


@attrs.frozen(eq=False)
class Signer:
    """An aiohttp client middleware that signs each request for OKX, and only for one origin.

    It signs the path, the query and the body that leave, at the moment they leave, so put it last of the middlewares::

        signer = Signer(credentials, "https://openapi.okx.com")
        async with aiohttp.ClientSession(middlewares=(signer,)) as http:
            async with http.get("https://openapi.okx.com/api/v5/account/config", allow_redirects=False) as response:
                ...

    Args:
        credentials: whose key signs.
        origin: scheme, host and port that may be signed for, such as ``"https://openapi.okx.com"``.
        demo: sign for demo trading (``x-simulated-trading: 1``).
        now: returns seconds since 1970 (UTC), OKX's as near as can be.

    A request to any other origin raises `ConfigurationError`, and nothing is sent.

    `OKX: Making Requests <https://www.okx.com/docs-v5/en/#overview-rest-authentication-making-requests>`_
    """

    credentials: Credentials
    origin: URL = attrs.field(converter=_origin)
    demo: bool = attrs.field(default=False, kw_only=True)
    now: Callable[[], float] = attrs.field(default=time.time, kw_only=True, repr=False)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Sign ``request`` and pass it on."""
        body = request.body
        content = body if isinstance(body, bytes) else await body.as_bytes()
        sign_request(request, content, self.credentials, self.origin, self.now(), demo=self.demo)
        return await handler(request)


def sign_request(
    request: ClientRequest,
    content: bytes,
    credentials: Credentials,
    origin: URL,
    now: float,
    *,
    demo: bool,
) -> None:
    """Put the headers on ``request``, which has ``content`` as its body.

    Args:
        request: what is about to be sent.
        content: its body.
        credentials: whose key signs.
        origin: where it may go.
        now: seconds since 1970 (UTC), OKX's as near as can be.
        demo: whether it is for demo trading.

    Raises:
        ConfigurationError: the request is for another origin.

    """
    found = request.url.origin()
    if found != origin:
        message = f"refused to sign a request for {found}: this signer is for {origin} only"
        raise ConfigurationError(message, hint="Check base_url, and that nothing follows redirects.")
    timestamp = timestamp_of(now)
    signature = SecretHeader(sign(timestamp, request.method, request.url.raw_path_qs, content, credentials.secret_key))
    headers = request.headers
    headers[_KEY] = SecretHeader(credentials.api_key)
    headers[SIGN] = signature
    headers[_TIMESTAMP] = timestamp
    headers[_PASSPHRASE] = SecretHeader(credentials.passphrase)
    if demo:
        headers[_SIMULATED] = "1"
