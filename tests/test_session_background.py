"""Calls in the background, which wait behind all others of their user."""

import asyncio
from contextlib import AsyncExitStack
from contextvars import ContextVar

import pytest

from okx_sol_async import (
    BALANCE,
    CallInfo,
    Credentials,
    LocalLimiter,
    Observer,
    SendEvent,
    Session,
    SolStaking,
    balances,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay, Refusal
from okx_sol_async.redis import RedisLimiter
from tests.support.limiters import InstantLimiter
from tests.support.scripted import CREDENTIALS, READ, Script, good
from tests.support.serving import serving
from tests.support.valkey import Valkey

#: What an observer notes of a call: who has made it.
CALLER: ContextVar[str] = ContextVar("caller", default="background")


class Order(Observer):
    """Notes who begins to wait and who is sent, in order, for each user."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str | None]] = []

    def queued(self, call: CallInfo) -> None:
        self.events.append(("queued", CALLER.get(), call.user))

    def sent(self, event: SendEvent) -> None:
        self.events.append(("sent", CALLER.get(), event.call.user))

    def sends(self, user: str | None = None) -> list[str]:
        return [caller for event, caller, of in self.events if event == "sent" and user in {None, of}]


async def interactive(staking: SolStaking) -> None:
    CALLER.set("interactive")
    await staking.balance()


@pytest.mark.virtual_clock
async def test_the_background_waits_behind_calls_that_come_later(exchange: Emulator) -> None:
    """Calls in the background are sent when no other call of the user waits, in their order."""
    order = Order()
    async with Session(base_url=exchange.url, limiter=LocalLimiter(), observe=order) as session:
        staking = SolStaking(exchange.credentials, session)
        view = staking.with_options(background=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(view.balance())
            await asyncio.sleep(0.5)
            for _ in range(8):
                group.create_task(interactive(staking))
    assert ["background"] * 6 + ["interactive"] * 8 + ["background"] * 4 == order.sends()


@pytest.mark.virtual_clock
async def test_a_sweep_delays_an_interactive_call_by_one_slot_at_most() -> None:
    """In a sweep over 1,000 users, no call is sent between the arrival of the user's own call and its turn."""
    order = Order()
    users = [Credentials(f"key-{number}", "secret", "words", f"user-{number}") for number in range(1000)]
    # Some are in it often enough for their calls to wait.
    swept = [user for number, user in enumerate(users) for _ in range(14 if number % 200 == 0 else 1)]
    watched = users[::200]
    async with (
        serving(Script(good).handle) as url,
        Session(base_url=url, limiter=LocalLimiter(), observe=order) as session,
    ):

        async def sweep() -> int:
            return len([found async for _, found in balances(session, swept, concurrency=len(swept))])

        async with asyncio.TaskGroup() as group:
            swept_users = group.create_task(sweep())
            for _ in range(4):
                await asyncio.sleep(0.4)
                for user in watched:
                    group.create_task(interactive(SolStaking(user, session)))
    assert 1065 == swept_users.result()
    for user in watched:
        sent_while_waiting = waiting = 0
        for event, caller, of in order.events:
            if of == user.user_id and caller == "interactive":
                waiting += 1 if event == "queued" else -1
            elif of == user.user_id and event == "sent":
                sent_while_waiting += waiting
        assert 0 == sent_while_waiting
        assert 18 == len(order.sends(user.user_id))


@pytest.mark.virtual_clock
async def test_a_refused_call_stays_in_the_background(exchange: Emulator) -> None:
    """A call in the background that OKX refuses waits behind the others again, before later ones of its kind."""
    order = Order()
    async with Session(base_url=exchange.url, limiter=LocalLimiter(), observe=order) as session:
        staking = SolStaking(exchange.credentials, session)
        view = staking.with_options(background=True)
        exchange.fail_next(Refusal("50011"))
        async with asyncio.TaskGroup() as group:
            group.create_task(view.balance())
            await asyncio.sleep(0.05)
            for _ in range(3):
                group.create_task(interactive(staking))
    assert ["background", "interactive", "interactive", "interactive", "background"] == order.sends()


async def test_the_background_waits_behind_calls_of_other_machines(exchange: Emulator, valkey_server: Valkey) -> None:
    """A machine with calls in the background takes no slot while a call of another machine waits."""
    order = Order()

    async def machine() -> tuple[RedisLimiter, Session]:
        limiter = await stack.enter_async_context(RedisLimiter.from_url(valkey_server.url, timeout=5))
        session = Session(base_url=exchange.url, limiter=limiter, observe=order)
        return limiter, await stack.enter_async_context(session)

    async with AsyncExitStack() as stack:
        (_, here), (_, there) = await machine(), await machine()
        view = SolStaking(exchange.credentials, here.with_options(background=True))
        staking = SolStaking(exchange.credentials, there)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(view.balance())
            while len(order.sends()) < 6:  # noqa: ASYNC110 - the order has no event
                await asyncio.sleep(0.01)
            for _ in range(6):
                group.create_task(interactive(staking))
    assert ["background"] * 6 + ["interactive"] * 6 + ["background"] * 2 == order.sends()


@pytest.mark.virtual_clock
async def test_no_interactive_read_waits_for_one_in_the_background(exchange: Emulator) -> None:
    """A shared read does not join a call in the background, but has its result when that is young enough."""
    async with Session(base_url=exchange.url, limiter=LocalLimiter()) as session:
        staking = SolStaking(exchange.credentials, session)
        view = staking.with_options(background=True)
        exchange.fail_next(Delay(5.0))
        slow = asyncio.create_task(view.balance(max_age=1.0))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(1.0):
            await staking.balance(max_age=1.0)
        await view.balance(max_age=1.0)
        assert 1 == session.counters.calls
        await slow
        await asyncio.sleep(2.0)
        await view.balance(max_age=1.0)
        assert 3 == session.counters.calls
        await staking.balance(max_age=1.0)
        assert 3 == session.counters.calls


async def test_a_limiter_of_ones_own_need_not_know_the_background() -> None:
    """A bucket whose `acquire` has no argument for it is used as it is."""
    limiter = InstantLimiter()
    async with (
        serving(Script(good).handle) as url,
        Session(base_url=url, limiter=limiter).with_options(background=True) as view,  # type: ignore[arg-type]
    ):
        await view.call(READ, CREDENTIALS)
        await view._viewed.aclose()  # type: ignore[union-attr]
    assert ["acquire", "answered"] == limiter.events


async def test_views_of_views_stay_in_the_background(exchange: Emulator, session: Session) -> None:
    """What is not given stays as it is, and `False` ends it."""
    view = session.with_options(background=True)
    assert view.with_options(timeout=3.0)._options.background
    assert not view.with_options(background=False)._options.background
    assert await view.call(BALANCE, exchange.credentials)
