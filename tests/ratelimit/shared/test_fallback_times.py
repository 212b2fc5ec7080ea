"""The times at which a process may call while the server is unavailable."""

import math
from types import SimpleNamespace
from typing import cast

import pytest

from okx_sol_async.ratelimit._state import BucketState
from okx_sol_async.ratelimit.shared._fallback import DELAY, PUNCTUALITY, Fallback
from okx_sol_async.ratelimit.shared._store import Place, Reservation, SlotStore
from tests.support.buckets import SIX

#: Seconds that six requests may take, by a clock that may be slow.
WINDOW = 1.001
#: Seconds for which a slot is in use, if calls leave 0.2 s apart.
HOLD = 6 * 0.2 - PUNCTUALITY - DELAY


def fallback() -> Fallback:
    """Return one whose store leaves 0.2 s between two calls of all processes."""
    store = SimpleNamespace(alone=lambda _, processes: max(6 // processes, 1) if processes else 3, hold=lambda _: HOLD)
    return Fallback(SIX, cast("SlotStore", store))


def place(processes: int, rank: int, offset: float = 0.0) -> Place:
    return Place(processes, rank, offset, offset, 0.0)


def departure(
    now: float,
    where: Place | None,
    used: Reservation | None = None,
    own: float | None = -1.0,
    away_for: float = math.inf,
) -> float | None:
    asked: list[int] = []

    def own_departure(now: float, requests: int) -> float | None:
        asked.append(requests)
        return now if own == -1.0 else own

    state = cast("BucketState", SimpleNamespace(own_departure=own_departure))
    found = fallback().departure(state, now, where, used, away_for)
    assert asked == [3 if where is None else max(6 // where.processes, 1)]
    return found


def test_up_to_six_processes_have_requests_of_their_own() -> None:
    """Each leaves when it likes; without a word of the server, as the part says that it was given."""
    assert [10.0, 10.0, 10.0] == [departure(10.0, where) for where in (None, place(1, 0), place(6, 5))]
    assert departure(10.0, place(12, 3), own=None) is None


@pytest.mark.parametrize(
    ("now", "at"), [(10.0, 10.3), (10.3, 10.3), (10.31, 10.31), (10.33, 12.7), (12.6, 12.7), (0.0, 0.7)]
)
def test_more_processes_have_times_of_their_own(now: float, at: float) -> None:
    """The twelve calls of 2.4 seconds are all equally far apart, by the clock of the server."""
    assert at == pytest.approx(departure(now, place(12, 3, 0.1)))


def test_who_is_late_waits_for_the_next_time() -> None:
    """It would be too near to the next process."""
    assert 2.4 == pytest.approx(departure(PUNCTUALITY, place(12, 0)))
    assert 7.9 == pytest.approx(departure(5.0, place(12, 3, 0.1), own=7.0))


def test_no_call_of_ones_own_while_others_may_use_their_reservations() -> None:
    """Each may have reserved one before the server went, and a window must pass after the last of them."""
    long = cast("Reservation", SimpleNamespace(hold=2.0))
    short = cast("Reservation", SimpleNamespace(hold=0.5))
    where = place(12, 3, 0.1)

    assert 15.1 == pytest.approx(departure(10.6, where, away_for=0.1))
    assert 12.7 < 10.5 + 2 * HOLD + WINDOW < 15.1
    assert 15.1 == pytest.approx(departure(10.6, where, short, away_for=0.1))
    assert 17.5 == pytest.approx(departure(10.6, where, long, away_for=0.1))
    assert 15.1 < 10.5 + 2 * 2.0 + WINDOW < 17.5
    assert 22.3 == pytest.approx(departure(20.0, where, long, away_for=9.5))


def test_a_call_that_is_late_on_its_way_does_not_break_the_limit() -> None:
    """The seventh call leaves later than a window after the first one, even if that is late and is sent later still."""
    turns = [departure(0.0, place(12, rank, 1.0)) or 0.0 for rank in range(7)]

    assert turns[6] - turns[0] >= HOLD + PUNCTUALITY + DELAY - 1e-9


def test_for_how_long_a_call_without_the_store_counts() -> None:
    """For two windows, unless the store has heard of it and nothing has left since."""
    own = fallback()
    own.left(10.0)
    assert 10.0 + 2 * WINDOW == pytest.approx(own.counts_until)
    before = own.counts_until
    own.left(11.0)
    own.reported(before)
    assert 11.0 + 2 * WINDOW == pytest.approx(own.counts_until)
    own.reported(own.counts_until)
    assert -math.inf == own.counts_until
    assert [3, 2, 1] == [own.sent(where) for where in (None, place(3, 0), place(9, 0))]
