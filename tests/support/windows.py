"""Rate limits over a shorter time than OKX's, for tests that wait for a turn on a real clock."""

from collections.abc import Hashable
from typing import Final

import attrs
import pytest

from okx_sol_async import LocalLimiter, RateLimit, TokenBucket
from okx_sol_async.emulator import SlidingWindow
from okx_sol_async.emulator.gateway._windows import WINDOWS

#: Seconds in which calls are counted there. A burst of calls takes much less.
SHORT: Final = 0.25


def shorten_windows(patch: pytest.MonkeyPatch) -> None:
    """Let this process and its exchanges count calls over `SHORT`."""
    bucket = LocalLimiter.bucket

    def short(limiter: LocalLimiter, key: Hashable, limit: RateLimit) -> TokenBucket:
        return bucket(limiter, key, attrs.evolve(limit, seconds=SHORT))

    patch.setattr(LocalLimiter, "bucket", short)
    patch.setitem(WINDOWS, "sliding", lambda requests, _: SlidingWindow(requests, SHORT))  # type: ignore[misc]
