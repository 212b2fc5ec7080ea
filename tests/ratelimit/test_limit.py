"""The limit of an endpoint: what it takes."""

import math
from collections.abc import Hashable

import pytest

from okx_sol_async import ConfigurationError, LocalLimiter, RateLimit, Scope
from okx_sol_async.ratelimit._limit import is_bucket_key
from tests.support.buckets import SIX, key


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((0, 1.0, Scope.USER), "requests"),
        ((True, 1.0, Scope.USER), "requests"),
        ((1.5, 1.0, Scope.USER), "requests"),
        ((6, 0, Scope.USER), "seconds"),
        ((6, math.inf, Scope.USER), "seconds"),
        ((6, math.nan, Scope.USER), "seconds"),
        ((6, "1", Scope.USER), "seconds"),
        ((6, 1.0, "user"), "scope"),
    ],
)
def test_a_limit_is_checked(arguments: tuple[object, ...], field: str) -> None:
    """A limit that makes no sense raises an error that names its field."""
    with pytest.raises(ConfigurationError, match=field):
        RateLimit(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [12345, "abcde", ("a", "b")])
def test_a_key_may_be_anything_hashable(name: Hashable) -> None:
    """Only what a `BucketKey` is equal to has an owner, which may turn out to be another one."""
    limiter = LocalLimiter()
    bucket = limiter.bucket(name, SIX)
    limiter.merge("c", "d")

    assert limiter.bucket(name, SIX) is bucket
    assert (is_bucket_key(tuple(key("a"))), is_bucket_key(name)) == (True, False)
