"""The limiter of one process: it finds the bucket of a key, and lets go of those that are idle."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakSet

import attrs

from okx_sol_async.errors import ConfigurationError
from okx_sol_async.ratelimit.bucket import PROCESS, TokenBucket, check_lead
from okx_sol_async.ratelimit.latency import LongestAnswer
from okx_sol_async.ratelimit.limit import BucketKey, is_bucket_key
from okx_sol_async.ratelimit.pacing import DEFAULT, PushBack

if TYPE_CHECKING:
    from collections.abc import Hashable

    from okx_sol_async.ratelimit.limit import RateLimit

#: Each bucket is looked at so often whether it is idle, in seconds, however many there are.
SWEEP_ROUND: Final = 1.0
#: Some of them are looked at so often at least, in seconds.
SWEEP_EVERY: Final = 0.25
#: So many buckets are looked at in one go, so that the event loop is never held up.
SWEEP_SIZE: Final = 512

_limiters: Final[WeakSet[LocalLimiter]] = WeakSet()


class LocalLimiter:
    """The buckets of one process.

    A bucket is kept for as long as its history matters and then let go, so a service may see any number of users.
    Whoever still holds one that was let go is led to the one of its key. A limiter may be used from several event
    loops as long as each user is on one of them.

    Args:
        share: the part of each limit that this process may spend, above 0 and up to 1, so that something else may
            spend the rest: half of 6 requests a second is 3. Each bucket has at least one request.
        lead: what `TokenBucket` does with it.
        push_back: what a refusal does, see `PushBack`.

    Raises:
        ConfigurationError: ``share`` or ``lead`` is not of the kind above.

    """

    def __init__(
        self,
        *,
        share: float = 1.0,
        lead: float | Literal["adaptive"] = 0.0,
        push_back: PushBack = DEFAULT,
    ) -> None:
        if type(share) not in {int, float} or not 0 < share <= 1:
            message = f"share must be a number above 0 and up to 1, not {share!r}"
            raise ConfigurationError(message, argument="share")
        check_lead(lead)
        self._share = share
        self._lead: float | Literal["adaptive"] = lead
        self._push_back = push_back
        # Owners that turned out to be somebody else, see `merge`; who that is may have turned out to be a third.
        self._owners: dict[str, str] = {}
        # A call that is collected while its thread is in here ends its lease in here.
        self._lock = threading.RLock()
        # The one that was asked for, or looked at, longest ago first.
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()
        # What their keys are but for the owners; there are as many as endpoints.
        self._routes: set[tuple[str, bool, str, str]] = set()
        self._longest = LongestAnswer()
        # The event loops with a timer for letting go what is idle on them.
        self._sweeping: set[asyncio.AbstractEventLoop] = set()
        _limiters.add(self)

    def __repr__(self) -> str:
        return f"<LocalLimiter of {len(self)} buckets>"

    def __len__(self) -> int:
        """How many buckets are alive."""
        return len(self._buckets)

    def bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:
        """Return the one bucket of ``key``, made for ``limit`` if there is none yet.

        Raises:
            ConfigurationError: the bucket of this key was made for another limit.

        """
        if self._share != 1:
            limit = attrs.evolve(limit, requests=max(int(limit.requests * self._share), 1))
        with self._lock:
            if self._owners:
                key = self._known_as(key)
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._keep(key, self._new_bucket(key, limit))
            else:
                self._buckets.move_to_end(key)
        if bucket.limit is not limit and bucket.limit != limit:
            message = f"these calls are already limited to {bucket.limit}, so they cannot be to {limit} as well"
            raise ConfigurationError(message, hint="Give one user and endpoint the same RateLimit everywhere.")
        self._see_to_sweeping()
        return bucket

    def merge(self, owner: str, into: str) -> None:
        """Count the calls of ``owner`` as those of ``into`` from now on, because they are one user.

        Their buckets become one, with the history, the calls in flight and the queues of both. This is remembered for
        as long as the limiter lives.

        Args:
            owner: a `Credentials.owner`, such as that of a key without a label.
            into: another one.

        Raises:
            ConfigurationError: one of them is at work on another event loop; nothing was changed.

        """
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
                    self._buckets[target]._share_loop_with(self._buckets[key])
            for key, target in pairs:
                self._merge_bucket(key, target)
            self._owners[owner] = into

    def _merge_bucket(self, key: BucketKey, into: BucketKey) -> None:
        bucket = self._buckets.pop(key)
        target = self._buckets.setdefault(into, bucket)
        if target is not bucket:
            target._absorb(bucket)
            bucket._let_go_by = (self, into)

    def _owner(self, owner: str) -> str:
        """Return who ``owner`` is, and make the way there short for the next time."""
        found, owners = owner, self._owners
        while found in owners:
            found = owners[found]
        while owner != found:
            owners[owner], owner = found, owners[owner]
        return found

    def _known_as(self, key: Hashable) -> Hashable:
        if is_bucket_key(key):
            origin, demo, owner, method, path = key
            if owner is not None and owner in self._owners:
                return origin, demo, self._owner(owner), method, path
        return key

    def _keep(self, key: Hashable, bucket: TokenBucket) -> TokenBucket:
        if is_bucket_key(key):
            origin, demo, _, method, path = key
            self._routes.add((origin, demo, method, path))
            # The garbage collector looks at objects of any class but this.
            key = tuple(key)
        return self._buckets.setdefault(key, bucket)

    def _new_bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:  # noqa: ARG002 - for buckets with a name
        lead = self._lead
        if lead != "adaptive":
            lead = min(lead, limit.seconds / 2)
        return TokenBucket(limit, lead=lead, push_back=self._push_back, _longest=self._longest)

    def _see_to_sweeping(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Asked for outside a loop; the next call that is made inside one sees to it.
            return
        if loop not in self._sweeping:
            with self._lock:
                # A loop that was closed takes its timer with it.
                self._sweeping = {other for other in self._sweeping if not other.is_closed()} | {loop}
            loop.call_later(SWEEP_EVERY, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of idle buckets, a few at a time."""
        with self._lock, PROCESS.moving:
            pause = self._drop_idle(loop)
            if pause is None:
                # A dict that has held many keys keeps their room until it goes.
                self._buckets = OrderedDict()
                self._routes.clear()
                self._sweeping.discard(loop)
                return
        loop.call_later(pause, self._sweep, loop)

    def _drop_idle(self, loop: asyncio.AbstractEventLoop) -> float | None:
        """Look at the buckets that were asked for or looked at longest ago.

        Returns:
            after how many seconds to look again, `None` if none is left.

        """
        buckets = self._buckets
        looks = min(SWEEP_SIZE, len(buckets))
        dropped = 0
        for _ in range(looks):
            key, bucket = next(iter(buckets.items()))
            # A bucket of another loop that is alive may be in use in another thread at this very moment.
            theirs = bucket._loop is not loop and bucket._loop_lives()
            idle_in = None if theirs else bucket._idle_in()
            if idle_in is None or idle_in > 0:
                buckets.move_to_end(key)
            else:
                del buckets[key]
                bucket._let_go_by = (self, key)
                dropped += 1
        if not buckets:
            return None
        # Where most are idle, the next ones are too.
        return 0 if dropped > looks / 2 else min(SWEEP_EVERY, SWEEP_ROUND * SWEEP_SIZE / len(buckets))

    def _begin_in_child(self) -> None:
        # Another thread of the parent may have held the lock, and is not here to let go of it.
        self._lock = threading.RLock()
        self._sweeping = set()

    def _take_back(self, key: Hashable, bucket: TokenBucket) -> TokenBucket:
        with self._lock:
            kept = self._keep(self._known_as(key), bucket)
            if kept is bucket:
                bucket._let_go_by = None
            return kept


def _begin_in_child() -> None:
    for limiter in tuple(_limiters):
        limiter._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)

#: The limiter of every `Session` that is given no other: so a new client finds the bucket that the last one left.
PROCESS_LIMITER: Final = LocalLimiter()
