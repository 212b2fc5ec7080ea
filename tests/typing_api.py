"""What a type checker knows of the public names. Checked by mypy, never run.

A line with `type: ignore[...]` must be wrong for exactly that reason: mypy complains of one that is not needed.
"""

from collections.abc import Awaitable
from decimal import Decimal

from okx_sol_async import (
    BALANCE,
    Balance,
    Bucket,
    BucketKey,
    Credentials,
    Endpoint,
    Lease,
    Limiter,
    LocalLimiter,
    OKXError,
    RateLimit,
    Region,
    Scope,
    Session,
    Signer,
    SolStaking,
    TokenBucket,
)


async def user_script() -> Balance:
    async with SolStaking(Credentials("key", "secret", "passphrase")) as staking:
        return await staking.balance()


async def call_is_as_typed_as_its_endpoint(session: Session, credentials: Credentials) -> None:
    balance: Balance = await session.call(BALANCE, credentials)
    amt: Decimal = balance.amt
    wrong: str = await session.call(BALANCE, credentials)  # type: ignore[arg-type]
    float_amt: float = balance.amt  # type: ignore[assignment]
    balance.amt = amt  # type: ignore[misc]
    assert wrong
    assert float_amt


async def session_takes_what_it_says(credentials: Credentials) -> None:
    Session(region=Region.EEA, demo=True, timeout=3, max_wait=None, limiter=LocalLimiter())
    Session(region="eea")  # type: ignore[arg-type]
    Session(Region.EEA)  # type: ignore[call-arg]
    Session(middlewares=(Signer(credentials, "https://openapi.okx.com"),))


class NoLease:
    def answered(self) -> None: ...
    def abandoned(self) -> None: ...
    def refused(self) -> None: ...


class NoBucket:
    async def acquire(self, deadline: float | None) -> NoLease:
        return NoLease()


class NoLimiter:
    def bucket(self, key: BucketKey, limit: RateLimit) -> NoBucket:
        return NoBucket()


def protocols_fit_the_least_that_implements_them() -> tuple[Limiter, Limiter, Bucket, Bucket, Lease]:
    local = LocalLimiter()
    bucket = TokenBucket(RateLimit(6, 1.0, Scope.USER))
    return local, NoLimiter(), bucket, NoBucket(), NoLease()


def an_endpoint_of_ones_own() -> Endpoint[int]:
    wrong: Endpoint[str] = BALANCE  # type: ignore[assignment]
    assert wrong is None
    return Endpoint("GET", "/api/v5/public/time", RateLimit(10, 2.0, Scope.IP), decode=lambda _: 0, signed=False)


def errors_tell_all(error: OKXError) -> tuple[str | None, int | None, str | None, str | None, str | None]:
    return error.code, error.status, error.endpoint, error.trace_id, error.hint


def results_are_awaitable(staking: SolStaking) -> Awaitable[Balance]:
    return staking.balance()
