"""Money moves once, and its outcome is reported truly, whatever a program does to its calls."""

import pytest

from okx_sol_async.ratelimit import _registry
from tests.support.money import run_program

#: `python -m tests.benchmarks money --full` runs 20,000.
PROGRAMS = 200
PART = 25


@pytest.fixture(name="few_timers")
def _few_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let idle buckets be looked for less often: most jumps of the virtual clock would go to that."""
    monkeypatch.setattr(_registry, "SWEEP_EVERY", 10.0)


@pytest.mark.usefixtures("few_timers")
@pytest.mark.parametrize("first", range(0, PROGRAMS, PART))
def test_the_outcome_of_a_write_is_true(first: int) -> None:
    """Model-based: of random programs, the emulator's books have the outcome of each write.

    No write that happened is resolved as `None`, and no write gets the order of another that time can distinguish; and of
    each set of equal writes as many orders are found as there are.
    """
    for seed in range(first, first + PART):
        assert [] == run_program(seed).wrong, f"in the program of seed {seed}"


@pytest.mark.parametrize("seed", [9181, 10600, 13859, 14325, 16137])
def test_a_late_write_is_not_mistaken_for_the_next_one(seed: int) -> None:
    """Model-based: an equal write was sent just after the order of one that arrived late."""
    assert [] == run_program(seed).wrong


def test_an_equal_write_in_flight_does_not_take_the_order_of_another() -> None:
    """Model-based: of three equal writes two have happened and the third is in flight, while an order is looked up."""
    assert [] == run_program(16257).wrong
