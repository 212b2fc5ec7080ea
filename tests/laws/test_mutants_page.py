"""`docs/evidence.md` lists each mutant that no test can kill."""

from pathlib import Path

from tests.mutation.page import table

PAGE = Path(__file__).parents[2] / "docs/evidence.md"


def test_each_equivalent_mutant_is_on_the_page() -> None:
    """With the reason why nothing is different, and in the code as it is."""
    assert table() in PAGE.read_text(encoding="utf-8")
