"""The buckets of a limiter by their keys: one for each, kept for as long as its history matters."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from okx_sol_async._checks import text
from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit._bucket import TokenBucket
from okx_sol_async.ratelimit._limit import BucketKey, is_bucket_key
from okx_sol_async.ratelimit._loops import PROCESS
from okx_sol_async.ratelimit._merging import evict, is_idle, merge, share_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from okx_sol_async.ratelimit._limit import RateLimit
    from okx_sol_async.ratelimit._state import Handle

#: How often each bucket is checked for being idle, in seconds.
SWEEP_ROUND: Final = 1.0
#: How often some of them are checked at least, in seconds.
SWEEP_EVERY: Final = 0.25
#: How many buckets are checked in one go, so that the event loop is never held up.
SWEEP_SIZE: Final = 512


class BucketRegistry:
    """Finds or makes the bucket of a key, evicts idle buckets, and merges those of one user.

    Args:
        make: makes the bucket of a key for a limit.

    """

    def __init__(self, make: Callable[[Hashable, RateLimit], TokenBucket]) -> None:
        self._make = make
        # Owners that turned out to be another one, see `merge`; who that is may have turned out to be a third.
        self._owners: dict[str, str] = {}
        # Reentrant: a call that the garbage collector ends while its thread is in here ends its lease in here.
        self._lock = threading.RLock()
        self._buckets: dict[Hashable, TokenBucket] = {}
        # Those still to be checked in this round.
        self._unchecked: list[Hashable] = []
        # Their keys without the owners; there are as many as endpoints.
        self._routes: set[tuple[str, bool, str, str]] = set()
        # The event loops with a timer for evicting what is idle on them.
        self._sweeping: set[asyncio.AbstractEventLoop] = set()
        _registries.add(self)

    def __len__(self) -> int:
        """How many buckets are alive."""
        return len(self._buckets)

    def bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:
        """Return the one bucket of ``key``, made for ``limit`` if there is none yet.

        Raises:
            ConfigurationError: the bucket of this key was made for another limit.

        """
        with self._lock:
            if self._owners:
                key = self._known_as(key)
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._keep(key, self._make(key, limit))
        asked = bucket.state.rules.asked
        if asked is not limit and asked != limit:
            message = f"these calls are already limited to {asked}, so they cannot be to {limit} as well"
            hint = "Give one user and endpoint the same RateLimit everywhere."
            raise ConfigurationError(message, argument="limit", hint=hint)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Asked for outside a loop; the next call that is made inside one starts the sweep.
            return bucket
        if loop not in self._sweeping:
            self._start_sweeping(loop)
        return bucket

    def merge(self, owner: str, into: str) -> None:
        """Count the calls of ``owner`` as those of ``into`` from now on, because they are one user.

        Their buckets become one, with the history, the calls in flight, the queues, the later pause and the slower
        pace of both. This is remembered for as long as the limiter lives.

        Args:
            owner: a `Credentials.owner`, such as that of a key without a label.
            into: another one.

        Raises:
            ConfigurationError: one of them is no string, or is used on another event loop; nothing was changed.

        """
        owner, into = text("owner", owner), text("into", into)
        with self._lock, PROCESS.moving:
            owner, into = self._owner(owner), self._owner(into)
            if owner == into:
                return
            pairs = [
                (BucketKey(origin, demo, owner, method, path), BucketKey(origin, demo, into, method, path))
                for origin, demo, method, path in self._routes
            ]
            pairs = [(key, target) for key, target in pairs if key in self._buckets]
            # All of them or none.
            for key, target in pairs:
                if target in self._buckets:
                    share_loop(self._buckets[target].state, self._buckets[key].state)
            for key, target in pairs:
                bucket = self._buckets.pop(key)
                merge(
                    bucket,
                    self._buckets.get(target) or self._keep(target, self._make(target, bucket.state.rules.asked)),
                )
            self._owners[owner] = into

    def restore(self, key: Hashable, bucket: Handle) -> None:
        """Make an evicted bucket the one of its key again, or a handle on the one that has replaced it. Internal."""
        with self._lock, PROCESS.moving:
            key = self._known_as(key)
            kept = self._buckets.get(key)
            if kept is None and isinstance(bucket, TokenBucket):
                bucket.state.evicted_by = None
                self._keep(key, bucket)
            elif kept is not None and kept.state is not bucket.state:
                bucket.state = kept.state
                kept.state.followers += (bucket,)

    def _keep(self, key: Hashable, bucket: TokenBucket) -> TokenBucket:
        if is_bucket_key(key):
            origin, demo, _, method, path = key
            self._routes.add((origin, demo, method, path))
            # The garbage collector does not track plain tuples of strings.
            key = tuple(key)
        self._buckets[key] = bucket
        return bucket

    # Owners.

    def _owner(self, owner: str) -> str:
        """Return who ``owner`` is, and shorten the path there for the next time."""
        found, owners = owner, self._owners
        while found in owners:
            found = owners[found]
        while owner != found:
            owners[owner], owner = found, owners[owner]
        return found

    def _known_as(self, key: Hashable) -> Hashable:
        if is_bucket_key(key):
            origin, demo, owner, method, path = key
            if owner is not None:
                return origin, demo, self._owner(owner), method, path
        return key

    # Eviction.

    def _start_sweeping(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            # A loop that was closed takes its timer with it.
            self._sweeping = {other for other in self._sweeping if not other.is_closed()} | {loop}
        loop.call_later(SWEEP_EVERY, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Evict idle buckets, a few at a time."""
        with self._lock, PROCESS.moving:
            pause = self._evict_idle(loop)
            if pause is None:
                # A dict that has held many keys keeps their room until it is replaced.
                self._buckets = {}
                self._routes.clear()
                self._sweeping.discard(loop)
                return
        loop.call_later(pause, self._sweep, loop)

    def _evict_idle(self, loop: asyncio.AbstractEventLoop) -> float | None:
        """Check some buckets, and return after how many seconds to go on; `None` if none is left."""
        buckets = self._buckets
        if not self._unchecked:
            self._unchecked = [*reversed(buckets)]
        keys, self._unchecked = self._unchecked[-SWEEP_SIZE:], self._unchecked[:-SWEEP_SIZE]
        evicted = 0
        for key in reversed(keys):
            bucket = buckets.get(key)
            if bucket is not None and is_idle(bucket.state, loop):
                del buckets[key]
                evict(bucket, self, key)
                evicted += 1
        if not buckets:
            self._unchecked = []
            return None
        # Where most are idle, the next ones are too.
        return 0 if evicted > len(keys) / 2 else min(SWEEP_EVERY, SWEEP_ROUND * SWEEP_SIZE / len(buckets))

    def begin_in_child(self) -> None:
        """Begin anew in a child process. Internal."""
        # Another thread of the parent may have held the lock, and does not exist here to release it.
        self._lock = threading.RLock()
        self._sweeping = set()


_registries: Final[WeakSet[BucketRegistry]] = WeakSet()


def _begin_in_child() -> None:
    for registry in tuple(_registries):
        registry.begin_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_begin_in_child)
