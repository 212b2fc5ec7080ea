"""The retry budget of a session: an outage is not answered by a storm of calls."""

import asyncio

import pytest

from okx_sol_async import (
    Credentials,
    TransportError,
    Unavailable,
)
from okx_sol_async.transport import _budget as retries
from tests.support.scripted import (
    CREDENTIALS,
    READ,
    Script,
    coded,
    reset,
    session_of,
)

pytestmark = pytest.mark.virtual_clock


def test_an_outage_is_not_answered_by_a_storm() -> None:
    """Of ten thousand calls that fail within a second, about a tenth is tried again, and the reserve."""
    budget = retries.RetryBudget()
    spent = 0
    for number in range(10_000):
        budget.earn()
        spent += budget.spend(number / 10_000)
        spent += budget.spend(number / 10_000)

    assert 1000 <= spent <= 1000 + retries.RESERVE + 2


async def test_a_storm_of_lost_connections_is_held_back_too() -> None:
    """What aiohttp sends again by itself is taken from the budget where it was no kept connection that was dead."""
    script = Script(reset)
    keys = [Credentials(f"storm-{number}", "secret-secret", "passphrase") for number in range(300)]
    kinds = set()
    async with session_of(script, timeout=5) as session:
        # No more at once than a server lets wait to be accepted: the kernel would try the others again in a second.
        for some in (keys[:100], keys[100:200], keys[200:]):
            outcomes = await asyncio.gather(*(session.call(READ, key) for key in some), return_exceptions=True)
            kinds |= {type(outcome) for outcome in outcomes}

    assert {TransportError} == kinds
    # A tenth more, and the reserve.
    assert 300 <= len(script.timestamps) <= 300 + 30 + retries.RESERVE


def test_connections_that_were_kept_may_all_be_dead() -> None:
    """As many as have carried a response, and no more than are kept."""
    budget = retries.RetryBudget()
    assert not budget.spend_on_kept()
    for _ in range(2):
        budget.kept()
    assert [True, True, False] == [budget.spend_on_kept() for _ in range(3)]
    for _ in range(1000):
        budget.kept()
    assert 256 == sum(budget.spend_on_kept() for _ in range(1000))


def test_what_a_session_may_retry() -> None:
    """Fifty times at once, then once a second, and once for each ten calls; what is not used does not add up."""
    budget = retries.RetryBudget()
    budget.earn()
    assert 50.0 == budget.left
    assert [True] * 50 + [False] == [budget.spend(100.0) for _ in range(51)]
    assert [True, False] == [budget.spend(101.0) for _ in range(2)]
    for _ in range(11):
        budget.earn()
    assert [True, False] == [budget.spend(101.0) for _ in range(2)]
    assert [True] * 50 + [False] == [budget.spend(1000.0) for _ in range(51)]


@pytest.mark.parametrize(("seconds", "records"), [(25.0, 1), (26.0, 2)])
def test_half_a_reserve_is_the_end_of_an_outage(caplog: pytest.LogCaptureFixture, seconds: float, records: int) -> None:
    """The next one is logged again."""
    budget = retries.RetryBudget()
    for at in (0.0, seconds):
        for _ in range(52):
            budget.spend(at)

    assert records == len(caplog.records)


async def test_a_retry_is_taken_from_the_budget_once() -> None:
    """Each further attempt takes one."""
    script = Script(coded("50001", 503))
    async with session_of(script, attempts=3) as session:
        budget = session._state.budget
        budget._left = 10.0
        with pytest.raises(Unavailable):
            await session.call(READ, CREDENTIALS)

        assert 8.0 <= budget._left < 8.9


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A retry that drips in meanwhile is no end of it; half a reserve is."""
    budget = retries.RetryBudget()

    def fail(begin: float, seconds: int) -> None:
        for number in range(seconds * 100):
            budget.spend(begin + number / 100)

    fail(0.0, 60)
    assert 1 == len(caplog.records)

    fail(1000.0, 60)
    assert 2 == len(caplog.records)


def test_a_lone_bot_never_runs_out_of_retries() -> None:
    """A call each ten seconds may be tried three times, for as long as an outage lasts."""
    budget = retries.RetryBudget()
    for number in range(1000):
        budget.earn()
        assert budget.spend(number * 10.0)
        assert budget.spend(number * 10.0 + 1)
