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


@pytest.mark.parametrize(
    ("seed", "delay"),
    [*((seed, 0.0) for seed in (9181, 10600, 13859, 14325, 16137, 16257)), (17, 9), (32, 0.05), (158, 0.5), (251, 9)],
)
def test_an_order_is_not_taken_for_that_of_the_next_write(seed: int, delay: float) -> None:
    """Model-based: one write arrived late, or is in flight, or the history does not show its order yet."""
    assert [] == run_program(seed, delay=delay).wrong
