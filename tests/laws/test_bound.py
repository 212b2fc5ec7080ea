"""The bound of the benchmarks keeps what it is compared by: it is cheap, and not by promising less than the package."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Literal

import pytest
from aiohttp import web

from okx_sol_async import Balance, DecodeError, OKXError, RateLimited, SessionClosed, Timeout, TransportError
from okx_sol_async.emulator import Emulator
from tests.benchmarks.bound import Bound, User
from tests.support.scripted import CREDENTIALS, ROW, Reply, Script, coded, cut, good, hang, page, reset
from tests.support.serving import serving
from tests.support.skewed import wall
from tests.support.virtual_time import now

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("clocks_of_the_loop")]
USER = User(CREDENTIALS)


@asynccontextmanager
async def bound_to(*replies: Reply, timeout: float = 0.5) -> AsyncIterator[tuple[Bound, Script]]:  # noqa: ASYNC109 - the bound's
    """Yield one whose calls go to a server with these replies."""
    script = Script(*replies)
    async with serving(script.handle) as url:
        bound = Bound(url, timeout=timeout)
        try:
            yield bound, script
        finally:
            await bound.aclose()


@pytest.mark.parametrize("window", ["sliding", "fixed", "token"])
async def test_no_window_of_a_user_holds_more_than_six(window: Literal["sliding", "fixed", "token"]) -> None:
    """Calls with jitter, of which some are cancelled, draw no refusal, and users do not wait for each other."""
    async with Emulator(window=window, latency=0.025, jitter=0.02, seed=1, now=wall) as exchange:
        bound = Bound(exchange.url)
        emulated = [exchange.add_user() for _ in range(3)]
        began = now()
        tasks = [asyncio.create_task(bound.balance(User(user.credentials))) for user in emulated for _ in range(30)]
        asyncio.get_running_loop().call_later(1.5, tasks[20].cancel)
        asyncio.get_running_loop().call_later(0.01, tasks[31].cancel)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert 0 == exchange.tally().refused
        assert 88 == sum(isinstance(outcome, Balance) for outcome in outcomes)
        assert now() - began < 5.5
        # What does not matter any more is dropped.
        await asyncio.sleep(5)
        assert 0 == len(bound.buckets)
        await bound.aclose()


async def test_aiohttps_hidden_resend_takes_a_lease_and_a_fresh_signature() -> None:
    """A connection that is dead is noticed by aiohttp, which sends again."""

    async def reset_later(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return await reset(request)

    async with bound_to(good, reset_later, good) as (bound, script):
        await bound.balance(USER)
        await asyncio.sleep(0.01)
        seen: list[tuple[int, object]] = []
        bound.observers = (lambda _, __, sends, error: seen.append((sends, error)),)
        await bound.balance(USER)

        assert [(2, None)] == seen
        assert 3 == len(script.timestamps) == len(set(script.timestamps))
        assert 3 == len(bound.buckets[USER.owner].releases)
        assert 1 == bound.counters.resends


async def test_closing_ends_calls_in_flight_and_in_the_queue() -> None:
    """All end at once, as what they are."""
    async with bound_to(hang, timeout=4) as (bound, script):
        calls = [asyncio.create_task(bound.balance(USER)) for _ in range(7)]
        await script.asked.wait()
        await bound.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert [SessionClosed] * 7 == [type(outcome) for outcome in outcomes]
        assert not any(call.cancelling() for call in calls)
        with pytest.raises(SessionClosed):
            await bound.balance(USER)


@pytest.mark.parametrize(
    ("kind", "reply", "sends"),
    [
        (Timeout, hang, 3),
        (TransportError, reset, 3),
        (TransportError, cut, 3),
        (RateLimited, coded("50011", 429), 10),
        (OKXError, coded("50102", 401), 3),
        (DecodeError, page(200, json.dumps({"code": "0", "msg": "", "data": [ROW | {"amt": "1e5"}]}).encode()), 1),
        (DecodeError, page(200, json.dumps({"code": "0", "msg": "", "data": [ROW | {"amt": 1}]}).encode()), 1),
        (DecodeError, page(200, b"x" * 2_000_000), 3),
    ],
    ids=["timeout", "reset", "cut", "50011", "50102", "exponent", "number", "too long"],
)
async def test_every_failure_has_its_name(kind: type[OKXError], reply: Reply, sends: int) -> None:
    """What goes wrong is an error of the package without a secret, and is sent again as often as by the package."""
    async with bound_to(reply, timeout=0.1) as (bound, script):
        with pytest.raises(kind) as caught:
            await bound.balance(USER)

        assert sends == len(script.timestamps)
        assert CREDENTIALS.secret_key not in repr(caught.value)
        assert not bound.due
        assert not bound.reasons


async def test_a_cancellation_of_the_callers_stays_one() -> None:
    """It is passed on, and leaves nothing behind but the lease, which ends when the call may have arrived."""
    async with bound_to(hang) as (bound, script):
        call = asyncio.create_task(bound.balance(USER))
        await script.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert not bound.due
        assert 1 == len(bound.buckets[USER.owner].releases)


async def elsewhere(_: web.BaseRequest) -> web.StreamResponse:
    """Redirect to another host."""
    raise web.HTTPFound("http://localhost:1/")


async def test_a_redirect_is_not_followed() -> None:
    """The signature goes to one origin only."""
    async with bound_to(elsewhere) as (bound, script):
        with pytest.raises(OKXError, match="302"):
            await bound.balance(USER)

        assert 1 == len(script.timestamps)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW | {"amt": "0.01100012", "new": [1]}, Balance("OKSOL", Decimal("0.01100012"), Decimal(0), Decimal(0))),
        (ROW | {"latestInterestAccrual": ""}, Balance("OKSOL", Decimal(1), Decimal(0), Decimal(0))),
        (None, Balance("OKSOL", Decimal(0), Decimal(0), Decimal(0))),
    ],
    ids=["unknown field", "blank", "no row"],
)
async def test_amounts_are_exact_and_unknown_fields_tolerated(row: dict[str, object] | None, expected: Balance) -> None:
    """The result is the package's own."""
    data = [] if row is None else [row]
    async with bound_to(page(200, json.dumps({"code": "0", "msg": "", "data": data}).encode())) as (bound, _):
        assert expected == await bound.balance(USER)


async def test_after_a_failure_that_passes_the_balance_comes() -> None:
    """A refusal is waited for, and a temporary failure costs a retry of the budget."""
    async with bound_to(coded("50011", 429), coded("50001", 503), good) as (bound, script):
        assert Decimal(1) == (await bound.balance(USER)).amt

        assert 3 == len(script.timestamps)
        assert 1 == bound.counters.refusals
        assert bound.retries < 50
