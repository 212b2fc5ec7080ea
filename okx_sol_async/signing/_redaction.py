"""What hides secrets: in texts, and in headers that somebody may print."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Final

#: Parts of a secret of at least this many characters are hidden too.
PART: Final = 8
# Each part has four characters that begin at a multiple of this.
_STEP: Final = PART - 3


class SecretHeader(str):
    """A header's value that is sent as it is and shows as ``'***'`` in the repr of whatever holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def redact(text: str, api_key: str, secret_key: str, passphrase: str, signature: str) -> str:
    """Return ``text`` without secrets, as `Credentials.redact` describes."""
    for value, shown in ((secret_key, "***"), (passphrase, "***"), (api_key, tail(api_key))):
        if len(value) >= 4:
            text = text.replace(value, shown).replace(_as_json(value), shown)
    return _without_parts(text, (secret_key, passphrase, _as_json(passphrase), signature))


def _as_json(value: str) -> str:
    """Return how ``value`` is spelt in JSON, between its quotes."""
    # Credentials are printable ASCII, of which JSON changes nothing else.
    return json.dumps(value)[1:-1] if '"' in value or "\\" in value else value


def _without_parts(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` with ``***`` for whatever it shares with a secret, if that is long enough to matter."""
    # No text holds this character, so no part lies over two secrets.
    joined = "\0".join(secrets)
    # The shorter one is cut into parts, to be looked for in the other: most texts are an id of some characters.
    shorter, longer = (text, joined) if len(text) < len(joined) else (joined, text)
    # Hardly any text shares four characters with a secret.
    for start in range(0, len(shorter) - 3, _STEP):
        if shorter[start : start + 4] in longer:
            break
    else:
        return text
    found = [part for start in range(len(shorter) - PART + 1) if (part := shorter[start : start + PART]) in longer]
    if not found:
        return text
    hidden = bytearray(len(text))
    for part in found:
        start = text.find(part)
        while start >= 0:
            hidden[start : start + PART] = b"\1" * PART
            start = text.find(part, start + 1)
    runs = groupby(zip(text, hidden, strict=True), key=itemgetter(1))
    return "".join("***" if is_hidden else "".join(c for c, _ in run) for is_hidden, run in runs)


def tail(api_key: str) -> str:
    """Return the last four characters of a key, which is as much of it as is shown."""
    return f"…{api_key[-4:]}" if len(api_key) > 4 else "…"
