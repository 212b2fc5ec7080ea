"""The limiter of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs

from okx_sol_async._checks import part
from okx_sol_async.ratelimit._bucket import TokenBucket, check_lead, make_bucket
from okx_sol_async.ratelimit._latency import MaxLatency
from okx_sol_async.ratelimit._pacing import DEFAULT, PushBack
from okx_sol_async.ratelimit._registry import BucketRegistry
from okx_sol_async.ratelimit._state import Rules, make_rules

if TYPE_CHECKING:
    from collections.abc import Hashable

    from okx_sol_async.ratelimit._limit import RateLimit


class LocalLimiter(BucketRegistry):
    """The buckets of one process.

    A bucket is kept for as long as its history matters and then evicted, so a service may serve any number of users.
    A bucket that is still held when it is evicted stays usable, and shares the history of its key. A limiter may be
    used from several event loops as long as each user is on one of them.

    Args:
        share: the part of each limit that this process may spend, above 0 and up to 1, so that something else may
            spend the rest: half of 6 requests a second is 3. Each bucket has at least one request.
        lead: as for `TokenBucket`, and at most half of the period.
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
        check_lead(lead)
        super().__init__(self._make_bucket)
        self._share = part("share", share)
        self._lead: float | Literal["adaptive"] = lead
        self._push_back = push_back
        self._rules: dict[RateLimit, Rules] = {}
        self._max_latency = MaxLatency()

    def __repr__(self) -> str:
        return f"<LocalLimiter of {len(self)} buckets>"

    def _make_bucket(self, key: Hashable, limit: RateLimit) -> TokenBucket:  # noqa: ARG002 - all keys are alike here
        rules = self._rules.get(limit)
        if rules is None:
            lead = self._lead if self._lead == "adaptive" else min(self._lead, limit.seconds / 2)
            own = attrs.evolve(limit, requests=max(int(limit.requests * self._share), 1))
            rules = make_rules(own, lead=lead, push_back=self._push_back, max_latency=self._max_latency, asked=limit)
            self._rules[limit] = rules
        return make_bucket(rules)


#: The limiter of every `Session` that is given no other: so a new client finds the bucket that the last one left.
PROCESS_LIMITER: Final = LocalLimiter()
