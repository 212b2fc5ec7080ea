"""What an exchange sent, without what identifies its user."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

#: Fields whose values are replaced, wherever they are in a response.
_PRIVATE: Final = frozenset({"uid", "mainUid", "label", "ip"})
#: Fields of the account's configuration whose values say nothing about a person; all others are replaced.
_HARMLESS: Final = frozenset({"acctLv", "autoLoan", "kycLv", "level", "opAuth", "perm", "posMode", "roleType", "type"})
#: What stands in place of a value.
REDACTED: Final = "***"


def without_private_values(value: object, secrets: Collection[str], *, account: bool = False) -> object:
    """Return JSON with the same fields, but without values that identify a user.

    Args:
        value: the JSON.
        secrets: texts that must not be in it, such as the key and the passphrase of the request.
        account: whether it is the configuration of an account, where only values that are known to be harmless stay.

    """
    if isinstance(value, Mapping):
        return {
            name: _hidden(field)
            if name in _PRIVATE or (account and name not in _HARMLESS and not isinstance(field, list | Mapping))
            else without_private_values(field, secrets, account=account)
            for name, field in value.items()
        }
    if isinstance(value, list):
        return [without_private_values(one, secrets, account=account) for one in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, REDACTED)
    return value


def _hidden(value: object) -> object:
    """Replace a value, but show whether it is empty and whether it is text."""
    return REDACTED if isinstance(value, str) and value else value if value in ("", None) else f"{REDACTED} (number)"
