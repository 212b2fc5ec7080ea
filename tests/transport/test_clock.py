"""What a session knows of OKX's clock."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okx_sol_async.transport._clock import TOLERANCE, RoundTrip, ServerClock
from tests.support.skewed import NOW, http_date

pytestmark = [pytest.mark.virtual_clock, pytest.mark.usefixtures("clocks_of_the_loop")]


class Machine:
    """Two clocks that a test moves."""

    def __init__(self, wall: float = NOW, steady: float = 1000.0) -> None:
        self.wall, self.steady = wall, steady

    def clock(self) -> ServerClock:
        return ServerClock(lambda: self.wall, lambda: self.steady)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def exchange_of(machine: Machine, took: float) -> RoundTrip:
    sent = machine.steady
    machine.pass_(took)
    return RoundTrip(sent, machine.steady)


def test_setting_the_clock_of_the_machine_moves_nothing() -> None:
    """Once OKX's time is known, it runs on by itself."""
    machine = Machine()
    clock = machine.clock()
    clock.correct_by_time(NOW + 600, exchange_of(machine, 0.0))
    machine.wall -= 3600
    machine.pass_(10)

    assert clock.now() == pytest.approx(NOW + 610)
    assert clock.offset == pytest.approx(600 + 3600)


@given(
    off=st.floats(-86_400, 86_400).filter(lambda off: abs(off) > TOLERANCE),
    ways=st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.1, 5)), min_size=1, max_size=30),
)
def test_many_dates_narrow_the_difference(off: float, ways: list[tuple[float, float, float]]) -> None:
    """Whatever the ways take, OKX's real time stays within what was learnt: a second and a whole way at most."""
    machine = Machine()
    clock = machine.clock()
    for number, (there, back, pause) in enumerate(ways):
        signed_at, sent = clock.now(), machine.steady
        machine.pass_(there)
        date = http_date(machine.wall + off)
        machine.pass_(back)
        times = RoundTrip(sent, machine.steady)
        if number == 0:
            assert clock.correct_by_date(date, signed_at, times)
        else:
            clock.note_date(date, times)
        assert abs(clock.now() - (machine.wall + off)) <= 1.0
        machine.pass_(pause)


DATES = ("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.parametrize(
    "date", ["", "soon", "Mon, 99 Foo 2026 99:99:99 GMT", "0", "Sun, 06 Nov 9999999 08:49:37 GMT", *DATES]
)
def test_a_date_that_is_none_is_ignored(date: str) -> None:
    """It is passed over, wherever it comes."""
    machine = Machine()
    clock = machine.clock()
    times = exchange_of(machine, 0.1)
    clock.note_date(date, times)

    assert clock.offset is None
    assert not clock.correct_by_date(date, NOW, times)
    assert clock.now() == pytest.approx(machine.wall)


def test_a_call_that_was_long_on_its_way_says_nothing_of_the_clock() -> None:
    """Its timestamp was right when it was made, so it is only signed again."""
    machine = Machine()
    clock = machine.clock()
    times = exchange_of(machine, 40.0)

    assert clock.correct_by_date(http_date(machine.wall), NOW, times)
    assert clock.now() == pytest.approx(machine.wall)


def test_the_default_clock_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is known."""
    monkeypatch.undo()
    before = time.time()
    found = ServerClock().now()

    assert before - 0.01 <= found <= time.time() + 0.01
