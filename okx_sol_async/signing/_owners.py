"""Who a user is: the labels and keys that turned out to be one user's."""

from __future__ import annotations

from typing import Final


class OwnerRegistry:
    """Names of users, each a `Credentials.owner`, of which several may turn out to be one user."""

    def __init__(self) -> None:
        # Of each name of a user that has several, all of them.
        self._names: dict[str, frozenset[str]] = {}

    def merge(self, owner: str, into: str) -> None:
        if owner not in self.names(into):
            names = self.names(owner) | self.names(into)
            self._names.update(dict.fromkeys(names, names))

    def names(self, owner: str) -> frozenset[str]:
        """Return all names of a user, ``owner`` included."""
        return self._names.get(owner, frozenset((owner,)))


#: What `Session.identify` has found out in this process.
PROCESS_OWNERS: Final = OwnerRegistry()
