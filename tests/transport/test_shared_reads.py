"""Equal reads of one user that share a call."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from okx_sol_async import (
    Balance,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    ProductInfo,
    Session,
    SessionClosed,
    SolStaking,
    Unavailable,
)
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Delay, Refusal
from okx_sol_async.transport._shared_reads import SharedReads, _SharedRead

pytestmark = pytest.mark.virtual_clock


def session_on(exchange: Emulator, attempts: int = 1) -> Session:
    return Session(base_url=exchange.url, limiter=LocalLimiter(), attempts=attempts)


@pytest.mark.parametrize("read", [SolStaking.balance, SolStaking.product_info], ids=["balance", "product_info"])
async def test_twenty_at_once_cost_one_call(
    exchange: Emulator, read: Callable[..., Awaitable[Balance | ProductInfo]]
) -> None:
    """Equal reads that are in flight share one call, also through views and other objects of the user."""
    async with session_on(exchange) as session:
        users = [SolStaking(exchange.credentials, session.with_options(timeout=5.0 + n % 2)) for n in range(20)]
        results = await asyncio.gather(*(read(user, max_age=0.5) for user in users))
        assert 1 == session.counters.calls
    assert 1 == len(set(map(repr, results)))


async def test_a_result_is_shared_while_it_is_young_enough(exchange: Emulator) -> None:
    """Each caller says how old a result may be; without `max_age` a call is made."""
    async with session_on(exchange) as session:
        staking = SolStaking(exchange.credentials, session)
        await staking.balance(max_age=1.0)
        await asyncio.sleep(2.0)
        for max_age, calls in ((3.0, 1), (1.0, 2), (1.0, 2), (0.0, 3)):
            await staking.balance(max_age=max_age)
            assert calls == session.counters.calls


async def test_users_do_not_share(exchange: Emulator) -> None:
    """A read of another user is another read."""
    async with session_on(exchange) as session:
        other = exchange.add_user().credentials
        for credentials in (exchange.credentials, other):
            await SolStaking(credentials, session).balance(max_age=60.0)
        assert 2 == session.counters.calls


async def test_an_error_is_shared_only_by_who_waited_for_that_call(exchange: Emulator) -> None:
    """The waiters of a call that failed have its error, each a copy, and the next caller makes a call."""
    async with session_on(exchange) as session:
        staking = SolStaking(exchange.credentials, session)
        exchange.fail_next(Refusal("50013"))
        errors = await asyncio.gather(*(staking.balance(max_age=9.0) for _ in range(3)), return_exceptions=True)
        assert 1 == session.counters.calls
        assert 3 == len({id(error) for error in errors if isinstance(error, Unavailable)})
        assert {"50013"} == {error.code for error in errors if isinstance(error, Unavailable)}
        await staking.balance(max_age=9.0)
        assert 2 == session.counters.calls


@pytest.mark.parametrize("cancelled", [0, 1], ids=["who began it", "who joined it"])
async def test_a_cancelled_waiter_cancels_no_other(exchange: Emulator, cancelled: int) -> None:
    """The call goes on for the others, also if the one that began it is cancelled."""
    async with session_on(exchange) as session:
        staking = SolStaking(exchange.credentials, session)
        exchange.fail_next(Delay(0.5))
        tasks = [asyncio.create_task(staking.balance(max_age=1.0)) for _ in range(3)]
        await asyncio.sleep(0.1)
        tasks[cancelled].cancel()
        await asyncio.wait(tasks)
        assert [cancelled] == [index for index, task in enumerate(tasks) if task.cancelled()]
        assert 1 == session.counters.calls


async def test_a_call_that_has_no_waiter_left_is_cancelled(exchange: Emulator) -> None:
    """Without waiters the call ends, and the next caller makes another."""
    async with session_on(exchange) as session:
        staking = SolStaking(exchange.credentials, session)
        exchange.fail_next(Delay(30))
        tasks = [asyncio.create_task(staking.balance(max_age=1.0)) for _ in range(3)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await staking.balance(max_age=1.0)
        assert 2 == session.counters.calls
        assert "0 calls in flight" in repr(session)


async def test_closing_ends_a_shared_call(exchange: Emulator) -> None:
    """All waiters of a shared call have `SessionClosed`, and a read of a closed session too."""
    async with session_on(exchange) as session:
        staking = SolStaking(exchange.credentials, session)
        await staking.balance(max_age=1.0)
        await asyncio.sleep(2.0)
        exchange.fail_next(Delay(30))
        tasks = [asyncio.create_task(staking.balance(max_age=1.0)) for _ in range(3)]
        await asyncio.sleep(0.1)
    await asyncio.wait(tasks)
    assert {SessionClosed} == {type(task.exception()) for task in tasks}
    with pytest.raises(SessionClosed):
        await staking.balance(max_age=60.0)


@pytest.mark.parametrize("max_age", [-1.0, "1", None, float("inf")])
async def test_a_wrong_max_age_is_named(max_age: object) -> None:
    """`max_age` is a number of seconds from 0 on."""
    async with Session(limiter=LocalLimiter()) as session:
        with pytest.raises(ConfigurationError) as caught:
            await SolStaking(Credentials("key", "secret", "words"), session).balance(max_age=max_age)  # type: ignore[arg-type]
    assert "max_age" == caught.value.argument


async def test_a_result_is_shared_up_to_its_age() -> None:
    """One that is exactly so old is young enough."""
    read = _SharedRead(asyncio.create_task(asyncio.sleep(0)), background=False)
    read.ended_at = 5.0

    assert [True, False] == [read.serves(oldest, background=False) for oldest in (5.0, 5.1)]
    await read.task


async def test_no_more_than_ten_thousand_results_are_kept() -> None:
    """The oldest goes first, by the time of its response."""
    reads = SharedReads()
    calls: list[int] = []

    async def read(number: int, max_age: float = 1000.0) -> None:
        async def call() -> None:
            calls.append(number)

        await reads.read(number, max_age, call)

    for number in (*range(10_001), 10_000, 1, 0):
        await read(number)
    await read(2, max_age=-1.0)
    await read(10_001)
    await read(2)

    assert [*range(10_001), 0, 2, 10_001] == calls


async def test_a_read_is_in_the_foreground_unless_it_says_otherwise() -> None:
    """So one in the foreground may share it."""
    reads = SharedReads()
    first = asyncio.create_task(reads.read("key", 1.0, lambda: asyncio.sleep(1, "first")))
    await asyncio.sleep(0)

    assert "first" == await reads.read("key", 1.0, lambda: asyncio.sleep(1, "second"), background=False)
    await first


async def test_a_call_that_was_given_up_serves_no_one() -> None:
    """Who asks before it has ended makes a call of its own."""
    reads, began = SharedReads(), asyncio.Event()

    async def call() -> int:
        began.set()
        await asyncio.sleep(0.01)
        return 5

    first = asyncio.create_task(reads.read("x", 60.0, call))
    await began.wait()
    first.cancel()
    second = asyncio.create_task(reads.read("x", 60.0, call))

    assert 5 == await second
    assert first.cancelled()
