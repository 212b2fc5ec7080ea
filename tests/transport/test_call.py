"""How often one call is sent: the exact numbers, and what follows what."""

import asyncio
import json
from decimal import Decimal

import pytest
from aiohttp import web

from okx_sol_async import (
    DecodeError,
    OKXError,
    RateLimited,
    Rejected,
    Timeout,
    TransportError,
    Unavailable,
)
from tests.support.scripted import (
    CREDENTIALS,
    READ,
    WRITE,
    Reply,
    Script,
    coded,
    cut,
    good,
    hang,
    page,
    reset,
    session_of,
)

pytestmark = pytest.mark.virtual_clock

FAILING: dict[str, tuple[type[OKXError], tuple[Reply, ...]]] = {
    "50001": (Unavailable, (coded("50001", 503),)),
    "html 502": (Unavailable, (page(502, b"<html>"),)),
    "html 200": (DecodeError, (page(200, b"<html>"),)),
    "cut": (TransportError, (cut,)),
    "hang": (Timeout, (hang,)),
    # aiohttp itself sends a read again once whose connection is lost, and that is an attempt too.
    "reset": (TransportError, (reset,)),
    "reset after 50001": (TransportError, (coded("50001", 503), reset)),
    "50001 after reset": (Unavailable, (reset, coded("50001", 503))),
    "refused after 50001": (RateLimited, (coded("50001", 503), coded("50061"))),
}


@pytest.mark.parametrize("attempts", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", [name for name in FAILING if "refused" not in name])
async def test_a_read_that_fails_is_sent_exactly_attempts_times(name: str, attempts: int) -> None:
    """``attempts=3`` is three sends, also where aiohttp makes one of them, and the error says three."""
    kind, replies = FAILING[name]
    script = Script(*replies)
    async with session_of(script, attempts=attempts, timeout=0.1) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(READ, CREDENTIALS)

    assert attempts == len(script.timestamps) == caught.value.attempts
    if attempts >= len(replies) + 1:
        assert kind is type(caught.value)


@pytest.mark.parametrize("attempts", [1, 2, 3, 4])
async def test_the_last_attempt_may_succeed(attempts: int) -> None:
    """Of ``attempts`` sends, all but one may fail."""
    script = Script(*[coded("50001", 503)] * (attempts - 1), good)
    async with session_of(script, attempts=attempts) as session:
        assert Decimal(1) == (await session.call(READ, CREDENTIALS)).amt

        assert attempts - 1 == session.counters.resends
    assert attempts == len(script.timestamps)


@pytest.mark.parametrize("endpoint", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_ten_refusals_raise_rate_limited(endpoint: object, attempts: int) -> None:
    """A call is refused ten times before its caller sees `RateLimited`, and ``attempts`` does not count here."""
    script = Script(coded("50011", 429))
    async with session_of(script, attempts=attempts) as session:
        with pytest.raises(RateLimited) as caught:
            await session.call(endpoint, CREDENTIALS)  # type: ignore[arg-type]

        assert 10 == session.counters.refusals
    assert 10 == len(script.timestamps) == caught.value.attempts


@pytest.mark.parametrize("endpoint", [READ, WRITE], ids=["read", "write"])
async def test_nine_refusals_are_recovered(endpoint: object) -> None:
    """The tenth send may still succeed."""
    script = Script(*[coded("50011", 429)] * 9, good)
    async with session_of(script) as session:
        await session.call(endpoint, CREDENTIALS)  # type: ignore[arg-type]

    assert 10 == len(script.timestamps)


async def time_of_okx(request: web.BaseRequest) -> web.StreamResponse:
    """Reply with a time that is right."""
    milliseconds = int(asyncio.get_running_loop().time() * 1000) + 1_700_000_000_000
    return web.json_response({"code": "0", "msg": "", "data": [{"ts": str(milliseconds)}]})


REFUSED, SKEWED = coded("50011", 429), coded("50102", 401)


class Timed(Script):
    """A script whose replies are for signed calls only. Who asks for OKX's time always gets it."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await (time_of_okx(request) if "OK-ACCESS-SIGN" not in request.headers else super().handle(request))


@pytest.mark.parametrize("endpoint", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize(
    "replies",
    [
        (SKEWED, REFUSED, good),
        (SKEWED, REFUSED, REFUSED, good),
        (REFUSED, SKEWED, good),
        (REFUSED, SKEWED, REFUSED, good),
    ],
    ids=["skewed, refused", "skewed, refused twice", "refused, skewed", "refused, skewed, refused"],
)
async def test_a_refusal_and_a_wrong_clock_are_recovered_in_any_order(
    endpoint: object, replies: tuple[Reply, ...]
) -> None:
    """A 50011 after a 50102 that was recovered is recovered as well, also with one attempt."""
    script = Timed(*replies)
    async with session_of(script, attempts=1) as session:
        await session.call(endpoint, CREDENTIALS)  # type: ignore[arg-type]

    assert len(replies) == script.signed


@pytest.mark.parametrize("between", [(), (REFUSED,)], ids=["at once", "with a refusal between"])
async def test_a_timestamp_that_is_refused_again_is_raised(between: tuple[Reply, ...]) -> None:
    """A call is signed again once by the `Date` and once by OKX's own time at most; then 50102 is raised."""
    script = Timed(SKEWED, *between, SKEWED)
    async with session_of(script) as session:
        with pytest.raises(OKXError) as caught:
            await session.call(READ, CREDENTIALS)

    assert "50102" == caught.value.code
    assert 2 <= script.signed - len(between) <= 3


async def test_refusals_around_a_wrong_clock_are_ten_together() -> None:
    """The ten refusals are those of the whole call: a corrected clock does not allow ten more."""
    script = Timed(*[REFUSED] * 5, SKEWED, REFUSED)
    async with session_of(script) as session:
        with pytest.raises(RateLimited):
            await session.call(READ, CREDENTIALS)

        assert 10 == session.counters.refusals
    assert 11 == script.signed


async def test_failures_around_a_refusal_are_counted_once() -> None:
    """A refusal between two failures neither takes an attempt nor gives one back."""
    failed = coded("50001", 503)
    script = Script(failed, REFUSED, failed, REFUSED, failed)
    async with session_of(script, attempts=3) as session:
        with pytest.raises(Unavailable) as caught:
            await session.call(READ, CREDENTIALS)

    assert 5 == len(script.timestamps) == caught.value.attempts


async def test_an_order_limit_is_not_this_limit() -> None:
    """A 50061 is raised at once, after a failure too."""
    kind, replies = FAILING["refused after 50001"]
    script = Script(*replies)
    async with session_of(script) as session:
        with pytest.raises(kind) as caught:
            await session.call(READ, CREDENTIALS)

    assert "50061" == caught.value.code
    assert 2 == len(script.timestamps)


@pytest.mark.parametrize(("code", "sends"), [("50011_1", 2), ("500110", 1), ("50102_1", 2), ("1_50011", 1)])
async def test_a_sub_code_counts_as_its_code(code: str, sends: int) -> None:
    """What stands before the underscore decides."""
    msg = json.dumps({"code": code, "msg": "no"}).encode()
    script = Timed(page(400, msg, "application/json"), good)
    async with session_of(script) as session:
        if sends == 1:
            with pytest.raises(Rejected):
                await session.call(READ, CREDENTIALS)
        else:
            await session.call(READ, CREDENTIALS)

    assert sends == script.signed
