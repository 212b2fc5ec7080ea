"""What an error says of its call besides the reason: when it was sent, and when to make it again."""

import asyncio

import attrs
import pytest
from aiohttp import web

from okx_sol_async import (
    BALANCE,
    LocalLimiter,
    OKXError,
    QueueTimeout,
    RateLimited,
    Session,
    TokenBucket,
    Unavailable,
    to_builtins,
)
from tests.support.limiters import InstantLimiter
from tests.support.scripted import CREDENTIALS, READ, Reply, Script, coded, good, hang, page, reset, session_of
from tests.support.serving import serving

pytestmark = pytest.mark.virtual_clock


@pytest.mark.parametrize("max_wait", [None, 0.5], ids=["ten refusals", "max_wait"])
async def test_a_refused_call_says_when_the_next_turn_is_free(max_wait: float | None) -> None:
    """`RateLimited.retry_after` is the wait of the bucket, after the pause that the refusal has begun."""
    script = Script(coded("50011"))
    async with (
        serving(script.handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), max_wait=max_wait) as session,
    ):
        with pytest.raises(RateLimited) as caught:
            await session.call(BALANCE, CREDENTIALS)
        bucket = session.bucket(BALANCE, CREDENTIALS)
        assert isinstance(bucket, TokenBucket)
        assert 0.5 < caught.value.retry_after == pytest.approx(bucket.wait, abs=0.01)  # type: ignore[operator]
        script.replies = [good]
        await asyncio.sleep(caught.value.retry_after)  # type: ignore[arg-type]
        await session.with_options(max_wait=0.01).call(BALANCE, CREDENTIALS)


async def test_without_a_bucket_of_this_package_the_wait_is_not_known() -> None:
    """With another limiter, `RateLimited.retry_after` is `None`."""
    async with (
        serving(Script(coded("50011")).handle) as url,
        Session(base_url=url, limiter=InstantLimiter()) as session,  # type: ignore[arg-type]
    ):
        with pytest.raises(RateLimited) as caught:
            await session.call(BALANCE, CREDENTIALS)
    assert caught.value.retry_after is None


def busy(retry_after: str | None) -> Reply:
    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        response = await page(503, b"busy")(request)
        if retry_after is not None:
            response.headers["Retry-After"] = retry_after
        return response

    return reply


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, None), ("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("", None)]
)
async def test_what_a_response_asks_for_is_kept(header: str | None, seconds: float | None) -> None:
    """`Unavailable.retry_after` is the number of seconds in ``Retry-After``, and `None` without one."""
    async with session_of(Script(busy(header)), attempts=1) as session:
        with pytest.raises(Unavailable) as caught:
            await session.call(READ, CREDENTIALS)
    assert seconds == caught.value.retry_after


@pytest.mark.parametrize(
    "reply", [coded("51000", 400), coded("50013", 503), page(200, b"<html>"), reset, hang], ids=lambda reply: ""
)
async def test_an_error_knows_when_its_call_was_sent(reply: Reply) -> None:
    """`sent_at` is the timestamp in the signature of the last send, in UTC."""
    script = Script(reply)
    async with session_of(script, attempts=2) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(READ, CREDENTIALS)
    sent_at = caught.value.sent_at
    assert sent_at is not None
    assert script.timestamps[-1] == f"{sent_at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    assert to_builtins(caught.value)["sent_at"] == script.timestamps[-1]


async def test_a_call_without_a_turn_was_not_sent() -> None:
    """`QueueTimeout.sent_at` is `None`, and its `retry_after` the wait for the next slot."""
    slow = attrs.evolve(READ, limit=attrs.evolve(BALANCE.limit, requests=1))
    async with session_of(Script(good)) as session:
        await session.call(slow, CREDENTIALS)
        with pytest.raises(QueueTimeout) as caught:
            await session.with_options(max_wait=0.1).call(slow, CREDENTIALS)
    assert (None, 0) == (caught.value.sent_at, caught.value.attempts)
    assert 1.0 == pytest.approx(caught.value.retry_after, abs=0.1)
