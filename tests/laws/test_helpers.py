"""Helpers of the tests exist once, and no fixture hides another one."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
#: Shorter functions may look alike by chance.
SHORT: Final = 160

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[Path, Function]]:
    """Give the functions at the top of each file that are not tests."""
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, Function) and not node.name.startswith("test_"):
                yield path, node


def fixture_name(node: Function) -> str | None:
    """Return the name by which tests ask for a fixture, `None` if a function is none."""
    for decorator in node.decorator_list:
        if "fixture" in ast.unparse(decorator):
            keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
            named = [word.value for word in keywords if word.arg == "name"]
            return str(ast.literal_eval(named[0])) if named else node.name
    return None


def scope_of(node: Function) -> str:
    """Return the scope of a fixture; fixtures of two scopes are two."""
    found = [word for decorator in node.decorator_list for word in getattr(decorator, "keywords", ())]
    return next((ast.unparse(word.value) for word in found if word.arg == "scope"), "")


def test_no_fixture_hides_another_one() -> None:
    """A fixture of a conftest has the same settings in all files below it."""
    folders = defaultdict(list)
    for path, node in functions():
        if (name := fixture_name(node)) is not None:
            folders[name].append(path)
    hidden = {
        name: sorted(str(path.relative_to(TESTS)) for path in paths)
        for name, paths in folders.items()
        for outer in paths
        if outer.name == "conftest.py" and any(path != outer and outer.parent in path.parents for path in paths)
    }

    assert {} == hidden


def test_no_helper_exists_twice() -> None:
    """Two functions with the same arguments and the same code are one, in tests/support/ or a conftest."""
    places = defaultdict(list)
    for path, node in functions():
        documented = ast.get_docstring(node) is not None
        code = "".join(ast.dump(statement) for statement in node.body[documented:])
        if len(code) > SHORT:
            places[scope_of(node), ast.dump(node.args), code].append(f"{path.relative_to(TESTS)}: {node.name}")

    assert [] == [names for names in places.values() if len(names) > 1]
