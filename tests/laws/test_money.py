"""Money moves once, and what is said of it is true, whatever a program does to its calls."""

import pytest

from tests.support.money import run_program

#: `python -m tests.benchmarks money` runs 20,000.
PROGRAMS = 100
PART = 25


@pytest.mark.parametrize("first", range(0, PROGRAMS, PART))
def test_what_is_said_of_a_write_is_true(first: int) -> None:
    """Model-based: of random programs, the book of the exchange knows what became of each write.

    No write that happened is denied, and no write is given the order of another, as far as time can tell them apart; and
    of each set of equal writes as many are found as have happened.
    """
    for seed in range(first, first + PART):
        assert [] == run_program(seed).wrong, f"in the program of seed {seed}"
