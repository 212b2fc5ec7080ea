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


@pytest.mark.parametrize(
    ("off", "corrected", "offset"),
    [
        (30, False, 30.5),
        (31, False, None),
        (-31, False, -30.5),
        (-32, False, None),
        (15, True, 15.5),
        (16, True, 0.0),
        (-16, True, -15.5),
        (-17, True, 0.0),
    ],
)
def test_which_dates_are_believed(off: int, corrected: bool, offset: float | None) -> None:  # noqa: FBT001
    """Those that OKX would accept a signature by; of a clock that was corrected by OKX's time, those half as far."""
    machine = Machine()
    clock = machine.clock()
    if corrected:
        clock.correct_by_time(NOW, exchange_of(machine, 0.0))
    clock.note_date(http_date(NOW + off), exchange_of(machine, 0.0))

    assert offset == clock.offset
    # What was never corrected is not moved.
    assert (offset if corrected else 0.0) == pytest.approx(clock.now() - NOW)
    assert (offset or 0.0) == pytest.approx(clock.estimate() - NOW)


@pytest.mark.parametrize(
    ("off", "took", "explains"),
    [
        (25, 0, False),
        (26, 0, True),
        (-26, 0, False),
        (-27, 0, True),
        (0, 25, False),
        (0, 25.5, True),
        (10, 25.5, False),
    ],
)
def test_what_explains_a_refused_timestamp(off: int, took: float, explains: bool) -> None:  # noqa: FBT001
    """More than 25 seconds between it and the `Date`; or a request that took as long, while the clock is right."""
    machine = Machine()
    clock = machine.clock()
    times = exchange_of(machine, took)

    assert explains == clock.correct_by_date(http_date(NOW + took + off), NOW, times)
    assert (explains and off != 0) == (clock.corrected_at == machine.steady)


@pytest.mark.parametrize(("off", "explains"), [(25.0, False), (25.5, True), (-25.0, False), (-25.5, True)])
def test_whether_okxs_time_would_explain_a_refused_timestamp(off: float, explains: bool) -> None:  # noqa: FBT001
    """It is that far away from what was signed."""
    machine = Machine()

    clock = machine.clock()

    assert explains == clock.correct_by_time(NOW + off, exchange_of(machine, 0.0), NOW - 1000.0)
    assert (off if explains else 0.0) == clock.now() - NOW
    assert off == clock.offset


@pytest.mark.parametrize(("off", "records"), [(1.0, 0), (1.5, 1), (-1.5, 1)])
def test_a_correction_of_more_than_a_second_is_logged(
    caplog: pytest.LogCaptureFixture, off: float, records: int
) -> None:
    """With the seconds."""
    machine = Machine()
    machine.clock().correct_by_time(NOW + off, exchange_of(machine, 0.0))

    assert [f"{off:+.1f} s"] * records == [record.getMessage()[-6:] for record in caplog.records]


def test_two_clocks_drift_apart() -> None:
    """By half a second in a thousand at most, so OKX's time was exact then, and is within that now."""
    machine = Machine()
    clock = machine.clock()
    clock.correct_by_time(NOW, exchange_of(machine, 0.0))
    machine.pass_(1000.6)
    clock.note_date(http_date(NOW + 1001), exchange_of(machine, 0.0))

    assert (0.4 + 0.0005 * 1000.6) / 2 == pytest.approx(clock.now() - machine.wall, abs=1e-5)


@pytest.mark.parametrize(("seconds", "known"), [(1e9 - 1, False), (1e9, True), (1e10 - 1, True), (1e10, False)])
def test_dates_of_our_time(seconds: float, known: bool) -> None:  # noqa: FBT001
    """OKX writes times in 13 digits: from 2001 to 2286."""
    machine = Machine(wall=seconds)
    clock = machine.clock()
    clock.note_date(http_date(seconds), exchange_of(machine, 0.0))

    assert known == (clock.offset is not None)


def test_a_round_trip() -> None:
    """It takes from the signature to the response, and OKX's time lies anywhere within it."""
    machine = Machine()
    clock = machine.clock()
    times = exchange_of(machine, 0.5)
    assert not clock.correct_by_time(NOW + 10, times, NOW - 1000.0)

    assert 0.5 == times.took
    assert 9.75 == clock.offset
    assert 0.0 == clock.now() - machine.wall


def test_a_date_that_has_come_before_says_nothing_new() -> None:
    """And neither does a response without one."""
    machine = Machine()
    clock = machine.clock()
    clock.note_date(http_date(NOW), exchange_of(machine, 0.0))
    machine.pass_(0.9)
    clock.note_date(http_date(NOW), exchange_of(machine, 0.0))
    clock.note_date(None, exchange_of(machine, 0.0))

    assert 0.5 == pytest.approx(clock.offset)


def test_a_date_that_only_just_agrees_changes_nothing() -> None:
    """OKX's time is known to the moment, and lies at the edge of the second."""
    machine = Machine()
    clock = machine.clock()
    clock.correct_by_time(NOW, exchange_of(machine, 0.0))
    clock.note_date(http_date(NOW), exchange_of(machine, 0.0))

    assert 0.0 == clock.offset
