"""The key of an OKX user, checked when it is made and hidden wherever it could be shown."""

from __future__ import annotations

import hashlib
import os
from typing import Final, NoReturn, Self, TypeVar, dataclass_transform

import attrs

from okx_sol_async.errors import ConfigurationError
from okx_sol_async.signing._redaction import redact, tail

_VARIABLES: Final = {
    "api_key": "OKX_API_KEY",
    "secret_key": "OKX_SECRET_KEY",
    "passphrase": "OKX_PASSPHRASE",
}
C = TypeVar("C")


@dataclass_transform(frozen_default=True)
def _frozen(kind: type[C]) -> type[C]:
    """Declare to type checkers that the fields of a class cannot be set."""
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

    #: The API key.
    api_key: str
    #: The secret key, which signs and is never sent.
    secret_key: str
    #: The passphrase that was chosen when the key was made.
    passphrase: str
    #: The label of the user, the same for all keys of one user; `None` where none was given.
    user_id: str | None
    #: Who is counted: the user's label, or a hash of the key. The two cannot be mistaken for each other.
    owner: str

    def __init__(self, api_key: str, secret_key: str, passphrase: str, user_id: str | None = None) -> None:
        error = (
            _error("api_key", api_key)
            or _error("secret_key", secret_key)
            or _error("passphrase", passphrase)
            or _label_error(user_id)
        )
        if error is not None:
            # A traceback may be printed with the locals of its frames; this one holds none of the values then.
            del self, api_key, secret_key, passphrase
            raise error
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

    @property
    def key_owner(self) -> str:
        """The ``owner`` that this key has without a label."""
        return _owner(self.api_key, None)

    def redact(self, text: str, signature: str = "") -> str:
        """Return ``text`` without the secret and the passphrase, and with the key cut to its last four characters.

        A part of a secret is one too, where a text was cut or spelt in another way: eight characters in a row are taken
        out. A value of less than four characters stays: it is in every text, and no secret.

        Args:
            text: what may hold them.
            signature: the signature of the call that the text is about, which is taken out as well.

        """
        return redact(text, self.api_key, self.secret_key, self.passphrase, signature)

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
        return f"Credentials(api_key={tail(self.api_key)!r}{label})"


def _error(field: str, value: object) -> ConfigurationError | None:
    if not isinstance(value, str):
        problem = f"must be a str, not {type(value).__name__}: give it as OKX shows it"
    elif not value:
        problem = "is empty: give the value that OKX shows"
    elif not value.isascii():
        problem = "has a character that is not ASCII: copy it again from OKX"
    elif any(c.isspace() or not c.isprintable() for c in value):
        problem = "has a space, a line break or a control character: copy it again from OKX"
    else:
        return None
    return ConfigurationError(f"{field} {problem}", argument=field)


def _label_error(user_id: object) -> ConfigurationError | None:
    if user_id is None or (isinstance(user_id, str) and user_id):
        return None
    return ConfigurationError("user_id must be a label of at least one character, or None", argument="user_id")


def _owner(api_key: str, user_id: str | None) -> str:
    if user_id is not None:
        return f"user:{user_id}"
    return f"key:{hashlib.blake2b(api_key.encode(), digest_size=16).hexdigest()}"
