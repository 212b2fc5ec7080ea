"""A call waits for its user's limit: which calls share one, and what a refusal does."""

import asyncio
from datetime import datetime
from decimal import Decimal

import attrs
import pytest

from okx_sol_async import (
    BALANCE,
    Balance,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    OKXError,
    OutcomeUnknown,
    RateLimit,
    RateLimited,
    Scope,
    Session,
    SolStaking,
    TokenBucket,
    apy_history,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.transport._resend import MAX_REFUSALS
from tests.support.foreign import Foreign
from tests.support.limiters import InstantLimiter
from tests.support.scripted import CREDENTIALS
from tests.support.serving import serving
from tests.support.virtual_time import now

pytestmark = pytest.mark.virtual_clock

EXPECTED = Balance("OKSOL", Decimal("0.01100012"), Decimal("0.00000012"), Decimal("0.00000012"))


async def test_sixty_calls_at_once_are_never_refused() -> None:
    """One user, two keys and two sessions share one bucket, and the exchange refuses nothing."""
    async with Emulator(latency=0.005, jitter=0.01) as exchange:
        other_key = exchange.user.add_key()
        async with Session(base_url=exchange.url) as one, Session(base_url=exchange.url) as two:
            users = [SolStaking(exchange.credentials, one), SolStaking(other_key, two)]
            began = now()
            await asyncio.gather(*(users[number % 2].balance() for number in range(20)))

        assert now() - began >= 3.0
        assert 6 == exchange.most_within(1.0)
        assert 0 == exchange.tally().refused


async def test_a_client_made_again_finds_its_history(exchange: Emulator) -> None:
    """Closing and opening does not refill the bucket."""
    waited = []
    for _ in range(2):
        async with Session(base_url=exchange.url) as session:
            began = now()
            await asyncio.gather(*(session.call(BALANCE, exchange.credentials) for _ in range(6)))
            waited.append(now() - began)

    assert waited[0] < 0.9 < waited[1]
    assert 0 == exchange.tally().refused


@pytest.mark.usefixtures("short_windows")
def test_a_second_event_loop_finds_the_history_too(background_exchange: Emulator) -> None:
    """Nor does a second `asyncio.run`."""
    exchange = background_exchange

    async def spend() -> None:
        async with SolStaking(exchange.credentials, Session(base_url=exchange.url)) as staking:
            await asyncio.gather(*(staking.balance() for _ in range(6)))
            await staking._session.aclose()

    asyncio.run(spend())
    asyncio.run(spend())

    assert 12 == exchange.tally().accepted
    assert 0 == exchange.tally().refused


async def test_users_do_not_wait_for_each_other(exchange: Emulator, session: Session) -> None:
    """Ten users make sixty calls in no time."""
    users = [SolStaking(exchange.add_user().credentials, session) for _ in range(10)]
    began = now()

    await asyncio.gather(*(user.balance() for user in users for _ in range(6)))

    assert now() - began < 0.9
    assert 60 == exchange.tally().accepted


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"msg":"Too Many Requests","code":"50011"}'),
        (200, b'{"msg":"Rate limit reached.","code":50011,"data":[]}'),
        (429, b"Too Many Requests"),
    ],
)
@pytest.mark.usefixtures("clocks_of_the_loop")
async def test_a_refusal_is_recovered_unseen(status: int, body: bytes) -> None:
    """After a 50011 the bucket pauses for a second, and the call is signed and sent again."""
    foreign = Foreign(1, status, body)

    async with serving(foreign.handle) as url, Session(base_url=url, limiter=LocalLimiter()) as session:
        balance = await session.call(BALANCE, CREDENTIALS)

    assert Decimal(1) == balance.amt
    first, second = foreign.came_at
    assert 1.0 <= second - first < 1.1
    signed = [datetime.fromisoformat(timestamp).timestamp() - 1.7e9 for timestamp in foreign.timestamps]
    assert foreign.came_at == pytest.approx(signed, abs=0.1)


async def test_two_programs_that_spend_one_limit_both_get_their_balances(exchange: Emulator) -> None:
    """Neither knows of the other; what is refused is healed unseen, in both."""
    async with (
        Session(base_url=exchange.url, limiter=LocalLimiter()) as one,
        Session(base_url=exchange.url, limiter=LocalLimiter()) as other,
    ):
        calls = [session.call(BALANCE, exchange.credentials) for session in (one, other) for _ in range(9)]
        assert [EXPECTED] * 18 == await asyncio.gather(*calls)

        assert one.counters.refusals + other.counters.refusals == exchange.tally().refused > 0


async def test_ten_refusals_end_each_lease() -> None:
    """The caller learns of it only when one call was refused ten times."""
    foreign, limiter = Foreign(refusals=1000), InstantLimiter()

    async with serving(foreign.handle) as url, Session(base_url=url, limiter=limiter) as session:
        with pytest.raises(RateLimited) as caught:
            await session.call(BALANCE, CREDENTIALS)

    assert "50011" == caught.value.code
    assert MAX_REFUSALS == len(foreign.timestamps)
    assert ["acquire", "answered", "refused"] * MAX_REFUSALS == limiter.events


async def test_a_refusal_whose_pause_exceeds_max_wait_is_raised() -> None:
    """The pause is longer than the call may wait, so what OKX said is raised."""
    foreign = Foreign(refusals=1000)

    async with serving(foreign.handle) as url, Session(base_url=url, max_wait=0.5, limiter=LocalLimiter()) as session:
        with pytest.raises(RateLimited):
            await session.call(BALANCE, CREDENTIALS)

    assert 1 == len(foreign.timestamps)


@pytest.mark.parametrize(
    ("status", "body", "safe_to_resend", "failure"),
    [
        (200, b'{"msg":"the limit of orders","code":"50061"}', True, RateLimited),
        (429, b"Too Many Requests", False, OutcomeUnknown),
    ],
)
async def test_what_is_not_certainly_uncounted_is_not_sent_again(
    status: int,
    body: bytes,
    safe_to_resend: bool,  # noqa: FBT001
    failure: type[OKXError],
) -> None:
    """A limit on orders is not this one, and a page without a code does not say what became of a write."""
    foreign, limiter = Foreign(1, status, body), InstantLimiter()
    endpoint = attrs.evolve(BALANCE, safe_to_resend=safe_to_resend)

    async with serving(foreign.handle) as url, Session(base_url=url, limiter=limiter) as session:
        with pytest.raises(failure):
            await session.call(endpoint, CREDENTIALS)

    assert ["acquire", "answered"] == limiter.events


@pytest.mark.parametrize("kept_by", ["origin", "demo", "owner", "method", "path"])
async def test_who_shares_a_bucket(exchange: Emulator, kept_by: str) -> None:
    """The key of a bucket is the origin, the mode, the user and the endpoint, and holds no key of the user's."""
    limiter = InstantLimiter()
    async with Session(base_url=exchange.url, limiter=limiter) as session:
        await session.call(BALANCE, exchange.credentials)

    [key] = limiter.keys
    expected = {
        "origin": exchange.url,
        "demo": False,
        "owner": f"user:{exchange.user.uid}",
        "method": "GET",
        "path": "/api/v5/finance/staking-defi/sol/balance",
    }
    assert expected[kept_by] == getattr(key, kept_by)
    assert exchange.credentials.api_key not in repr(key)


async def test_by_ip_everybody_shares_a_bucket(exchange: Emulator) -> None:
    """Where OKX counts by IP address, the user is not part of the key."""
    limiter = InstantLimiter()
    by_ip = attrs.evolve(BALANCE, limit=RateLimit(6, 1.0, Scope.IP))
    async with Session(base_url=exchange.url, limiter=limiter) as session:
        await session.call(by_ip, exchange.credentials)

    assert limiter.keys[0].owner is None
    assert limiter.keys[0].demo is False


async def test_by_ip_demo_and_live_share_a_bucket(exchange: Emulator) -> None:
    """A public call of demo trading is the same request as a live one, and comes from the same address."""
    async with Session(base_url=exchange.url) as live, Session(base_url=exchange.url, demo=True) as demo:
        await asyncio.gather(*(apy_history(1, session) for session in (live, demo) for _ in range(4)))

    assert (8, 0) == (exchange.tally().accepted, exchange.tally().refused)


async def test_a_bucket_can_be_looked_at(exchange: Emulator, session: Session) -> None:
    """With the limiter of this package it shows its free tokens."""
    await session.call(BALANCE, exchange.credentials)

    bucket = session.bucket(BALANCE, exchange.credentials)

    assert isinstance(bucket, TokenBucket)
    assert 5 == bucket.free
    with pytest.raises(ConfigurationError, match="needs credentials"):
        session.bucket(BALANCE)


async def test_keys_of_one_user_share_a_limit_once_they_are_identified(exchange: Emulator) -> None:
    """Two keys without a label are two users until they are looked up, and then never refused."""
    keys = [exchange.credentials, exchange.user.add_key()]
    unlabelled = [Credentials(key.api_key, key.secret_key, key.passphrase) for key in keys]
    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        users = [SolStaking(credentials, session) for credentials in unlabelled]
        assert [exchange.user.uid] * 2 == [await user.identify() for user in users]

        await asyncio.gather(*(user.balance() for user in users * 4), session.call(BALANCE, unlabelled[0]))

    assert 0 == exchange.tally().refused
    assert 6 == exchange.most_within(1.0, endpoint=str(BALANCE))


async def test_identifying_keeps_history_and_order(exchange: Emulator) -> None:
    """Calls that wait while their keys turn out to be one user leave in the order in which they came."""
    one = Credentials(exchange.credentials.api_key, exchange.credentials.secret_key, exchange.credentials.passphrase)
    order: list[int] = []

    async def call(session: Session, number: int) -> None:
        await session.call(BALANCE, one if number % 2 else exchange.credentials)
        order.append(number)

    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        # Three of each leave at once; the rest wait in two queues.
        calls = [asyncio.create_task(call(session, number)) for number in range(6)]
        await asyncio.gather(*calls)
        assert exchange.credentials == await session.identify(one)
        await asyncio.gather(*(call(session, number) for number in range(6, 14)))

    assert list(range(14)) == sorted(order)
    assert 0 == exchange.tally(endpoint=str(BALANCE)).refused


async def test_a_limiter_of_ones_own_need_not_merge(exchange: Emulator) -> None:
    """`identify` returns the user all the same."""
    async with Session(base_url=exchange.url, limiter=InstantLimiter()) as session:
        known = await session.identify(exchange.credentials)

    assert exchange.user.uid == known.user_id
