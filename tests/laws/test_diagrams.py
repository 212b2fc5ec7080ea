import pytest

from tests.benchmarks.diagrams import CALL, DIAGRAMS, FOLDER, LAYERS
from tests.laws.test_layers import PACKAGE, ROWS


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_up_to_date(name: str) -> None:
    """The file in docs/images is what `tests.benchmarks.diagrams` draws."""
    assert DIAGRAMS[name]() == (FOLDER / name).read_text(encoding="utf-8")


def test_the_diagram_of_the_layers_shows_the_rows_that_imports_are_checked_by() -> None:
    """A row of the picture is a row of the layer test, in the same order."""
    drawn = [set(step.name.split(" · ")) for step in reversed(LAYERS)]

    assert [row for row in ROWS if row != {"__init__", "__main__"}] == drawn


def test_the_steps_of_a_call_are_in_the_files_that_the_diagram_names() -> None:
    """A file that was moved or renamed is noticed."""
    files = [step.name for step in CALL if "/" in step.name or step.name.endswith(".py")]

    assert 7 == len(files)
    assert [] == [name for name in files if not (PACKAGE / name).exists()]
