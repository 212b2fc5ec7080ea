"""When a part of the shared store is unavailable: since when, when to try it again, and what is logged."""

from __future__ import annotations

import logging
import time
from typing import Final

logger: Final = logging.getLogger("okx_sol_async")

#: How often an unavailable part is tried again, in seconds.
TRY_EVERY: Final = 1.0


class StoreUnavailable(Exception):
    """A part of the store did not reply in time, or could not do what it was asked for: a node, or only a bucket."""

    def __init__(self, reason: str, part: str = "") -> None:
        super().__init__(reason)
        self.part = part


class Outages:
    """The parts of the store that are unavailable. Each is logged once when it fails and once when it is back."""

    def __init__(self, meanwhile: str) -> None:
        self._meanwhile = meanwhile
        # Since when each part is away, and when it is tried again.
        self._since: dict[str, float] = {}
        self._try_at: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._since)

    def __contains__(self, part: str) -> bool:
        return part in self._since

    def may_try(self, part: str) -> bool:
        """Return whether to try an unavailable part now: of all callers that ask, one may do so each second."""
        now = time.monotonic()
        if now < self._try_at[part]:
            return False
        self._try_at[part] = now + TRY_EVERY
        return True

    def lasted(self, part: str) -> float:
        """Return for how many seconds a part has been known to be unavailable."""
        return time.monotonic() - self._since[part]

    def begin(self, error: StoreUnavailable) -> None:
        now = time.monotonic()
        self._try_at[error.part] = now + TRY_EVERY
        if error.part not in self._since:
            self._since[error.part] = now
            where = f" at {error.part}" if error.part else ""
            logger.warning("Shared rate limiter unreachable%s: %s. %s", where, error, self._meanwhile)

    def end(self, part: str) -> None:
        since = self._since.pop(part, None)
        if since is not None:
            where = f" at {part}" if part else ""
            logger.info("Shared rate limiter reachable again%s after %.1f s", where, time.monotonic() - since)
