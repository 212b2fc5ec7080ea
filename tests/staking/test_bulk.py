"""Many users at once: each result as it comes, with bounded concurrency, and nothing left behind."""

import asyncio
import gc
import random
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from itertools import cycle, islice

import pytest

from okx_sol_async import (
    Balance,
    ConfigurationError,
    Credentials,
    LocalLimiter,
    OKXError,
    Session,
    SolStaking,
    Unavailable,
    balances,
)
from okx_sol_async.emulator import Emulator
from tests.support.virtual_time import run


def users(count: int, made: list[int] | None = None) -> Iterator[Credentials]:
    for number in range(count):
        if made is not None:
            made.append(number)
        yield Credentials(f"key-{number}", "secret", "passphrase")


class Exchange(Session):
    """A session without a wire, which takes its time and counts what it has under way."""

    def __init__(self, *, took: float = 1.0) -> None:
        super().__init__(base_url="http://127.0.0.1:9", limiter=LocalLimiter())
        self.took = took
        self.under_way = 0
        self.most = 0
        self.cancelled = 0
        self.random = random.Random(5)

    def with_options(self, **options: object) -> Session:  # type: ignore[override]
        assert {"background": True} == options
        return self

    async def call(
        self, endpoint: object, credentials: Credentials | None = None, parameters: object = None
    ) -> Balance:  # type: ignore[override]
        assert credentials is not None
        number = int(credentials.api_key.partition("-")[2])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.took * self.random.random())
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if number % 10 == 7:
            raise Unavailable("x")
        return Balance("OKSOL", Decimal(number), Decimal(0), Decimal(0))


def test_each_user_is_given_once_as_the_responses_come() -> None:
    """Each user comes with a balance or an error, and no more calls than `concurrency` are in flight."""

    async def scenario() -> tuple[list[tuple[str, str]], int]:
        session = Exchange()
        found = [
            (user.api_key, str(answer.amt) if isinstance(answer, Balance) else str(answer))
            async for user, answer in balances(session, users(1000), concurrency=30)
        ]
        await session.aclose()
        return found, session.most

    found, most = run(scenario())

    assert {(f"key-{number}", "x" if number % 10 == 7 else str(number)) for number in range(1000)} == set(found)
    assert 1000 == len(found)
    assert found != sorted(found, key=lambda one: int(one[0].partition("-")[2]))
    assert 30 == most


def test_a_slow_reader_is_not_overrun() -> None:
    """No more calls are made than results can be held, and users are read only when they are called for."""

    async def scenario() -> list[tuple[int, int]]:
        made: list[int] = []
        seen = 0
        states = []
        async for _ in balances(Exchange(), users(200, made), concurrency=10):
            seen += 1
            await asyncio.sleep(5)
            states.append((seen, len(made)))
        return states

    assert all(read - seen < 10 for seen, read in run(scenario()))


@pytest.mark.parametrize("end", ["break", "cancel", "raise"])
def test_leaving_the_loop_cancels_the_calls_in_flight(end: str) -> None:
    """No task runs on after it."""

    async def scenario() -> tuple[int, int, int]:
        session = Exchange()
        answers = balances(session, users(1000), concurrency=20)

        async def read() -> None:
            async for _ in answers:
                if end == "break":
                    break
                if end == "raise":
                    raise LookupError

        reading = asyncio.create_task(read())
        if end == "cancel":
            await asyncio.sleep(0.001)
            reading.cancel()
        result = (await asyncio.gather(reading, return_exceptions=True))[0]
        await answers.aclose()
        assert {"break": None, "cancel": asyncio.CancelledError, "raise": LookupError}[end] in (result, type(result))
        await session.aclose()
        return session.under_way, session.cancelled, len(asyncio.all_tasks())

    under_way, cancelled, tasks = run(scenario())

    assert (0, 1) == (under_way, tasks)
    assert 19 <= cancelled <= 20


def test_an_error_of_the_users_generator_is_raised() -> None:
    """It is raised as it is, and cancels the calls in flight."""

    def failing() -> Iterator[Credentials]:
        yield from users(30)
        raise LookupError

    async def scenario() -> int:
        session = Exchange()
        with pytest.raises(LookupError):
            async for _ in balances(session, failing(), concurrency=5):
                pass
        return session.under_way

    assert 0 == run(scenario())


def test_no_users_give_no_results() -> None:
    """An empty iterable gives nothing."""

    async def scenario() -> list[object]:
        return [found async for found in balances(Exchange(), [])]

    assert [] == run(scenario())


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, None, 10_001])
def test_concurrency_is_a_whole_number(concurrency: object) -> None:
    """The error is raised at once."""
    with pytest.raises(ConfigurationError, match=r"^concurrency must "):
        balances(Session(), [], concurrency=concurrency)  # type: ignore[arg-type]


def test_how_many_calls_are_under_way_without_an_argument() -> None:
    """A hundred; and ten thousand are the most."""

    async def scenario(**arguments: int) -> int:
        session = Exchange()
        async for _ in balances(session, users(10_001), **arguments):
            pass
        return session.most

    assert 100 == run(scenario())
    assert 10_000 == run(scenario(concurrency=10_000))


def test_ten_thousand_users_need_no_more_memory_than_a_thousand() -> None:
    """What is held does not grow with the number of users."""
    # Always the same ones, because the guard against leaks remembers each.
    some = list(users(100))

    async def scenario(count: int) -> int:
        session = Exchange()
        async for _ in balances(session, islice(cycle(some), count), concurrency=50):
            pass
        return session.most

    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            assert 50 == run(scenario(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)

    assert peak(10_000) < 1.5 * peak(1000)


async def test_three_hundred_users_over_the_network(exchange: Emulator, session: Session) -> None:
    """Three hundred users of one session, one of whom the exchange does not know."""
    known = [exchange.add_user().credentials for _ in range(300)]
    stranger = Credentials("unknown", "key", "altogether")
    found = {user.api_key: answer async for user, answer in balances(session, [*known, stranger])}

    assert 301 == len(found)
    failure = found.pop("unknown")
    assert isinstance(failure, OKXError)
    assert "50119" == failure.code
    assert all(isinstance(answer, Balance) for answer in found.values())
    assert 0 == exchange.count(code="50011")


async def test_an_invalid_key_does_not_hide_the_others() -> None:
    """It is given like any other failure, and the others have their balances."""
    async with Emulator() as exchange, Session(base_url=exchange.url) as session:
        found = [found async for _, found in balances(session, ["oops", exchange.credentials])]  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="credentials must be Credentials, not str"):
            SolStaking("oops", session)  # type: ignore[arg-type]

    assert {ConfigurationError, Balance} == {type(one) for one in found}


async def test_one_user_is_not_many(exchange: Emulator, session: Session) -> None:
    """What cannot be iterated over is refused at once, and nothing is sent."""
    with pytest.raises(ConfigurationError, match="an iterable of Credentials, not Credentials") as caught:
        balances(session, exchange.credentials)  # type: ignore[arg-type] # that is the point

    assert "credentials" == caught.value.argument
    assert () == exchange.calls
