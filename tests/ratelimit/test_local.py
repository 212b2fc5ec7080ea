"""The limiter of a process: one bucket for each key, and its settings."""

import asyncio

import pytest

from okx_sol_async import ConfigurationError, LocalLimiter, RateLimit, Scope
from tests.support.buckets import SIX, TICKS, key
from tests.support.virtual_time import now, run


def test_one_key_has_one_bucket() -> None:
    """Each caller that asks for a key gets the same bucket."""
    limiter = LocalLimiter()

    assert limiter.bucket(key("a"), SIX) is limiter.bucket(key("a"), SIX)
    assert limiter.bucket(key("a"), SIX) is not limiter.bucket(key("b"), SIX)


def test_two_limits_for_one_key_are_refused() -> None:
    """A key that is in use with another limit raises an error."""
    limiter = LocalLimiter()
    limiter.bucket(key("a"), SIX)

    with pytest.raises(ConfigurationError, match="already limited"):
        limiter.bucket(key("a"), RateLimit(3, 1.0, Scope.USER))


def test_history_outlives_the_event_loop() -> None:
    """A second `asyncio.run` finds the bucket as the first one left it."""
    limiter = LocalLimiter()

    async def spend() -> None:
        for _ in range(6):
            (await limiter.bucket(key("a"), SIX).acquire()).answered()

    async def wait_for_one() -> float:
        began = asyncio.get_running_loop().time()
        await limiter.bucket(key("a"), SIX).acquire()
        return asyncio.get_running_loop().time() - began

    run(spend())

    assert run(wait_for_one()) > 0.99


@pytest.mark.parametrize(("share", "requests"), [(1.0, 6), (0.5, 3), (0.99, 5), (0.01, 1)])
def test_a_share_leaves_room_for_others(share: float, requests: int) -> None:
    """The limit of each bucket is that part of OKX's, and at least one request."""
    bucket = LocalLimiter(share=share).bucket(key("a"), SIX)

    assert (requests, requests, 0, 0.0) == (bucket.limit.requests, bucket.free, bucket.queue, bucket.wait)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"lead": -1}, "lead"),
        ({"lead": "some"}, "lead"),
        ({"lead": float("inf")}, "lead"),
    ],
)
def test_the_settings_of_a_limiter_are_checked(arguments: dict[str, object], field: str) -> None:
    """A setting that makes no sense raises an error that names it."""
    with pytest.raises(ConfigurationError, match=f"{field} must"):
        LocalLimiter(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("lead", "early_release"), [(0.3, 0.3), (0.5, 0.5), (0.9, 0.5), (30.0, 0.5)])
def test_the_lead_is_at_most_half_of_the_period(lead: float, early_release: float) -> None:
    """A slot is in use for half a period at least, whatever lead the limiter was given."""
    bucket = LocalLimiter(lead=lead).bucket(key("a"), RateLimit(1, 1.0, Scope.USER))

    async def main() -> float:
        (await bucket.acquire()).answered()
        began = now()
        await bucket.acquire()
        return now() - began

    assert 1.001 - early_release == pytest.approx(run(main()), abs=TICKS)
