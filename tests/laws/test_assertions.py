"""Each test can fail: it asserts something itself, or calls a helper that does."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]
#: Calls that are assertions.
ASSERTING: Final = ("raises", "fail", "warns", "assert_outcomes", "fnmatch_lines", "no_fnmatch_line")


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _called(function: ast.AST) -> set[str]:
    """Return the names of all that a function calls or passes on."""
    names = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return names | {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def _asserts(function: ast.AST, helpers: set[str]) -> bool:
    has_statement = any(isinstance(node, ast.Assert) for node in ast.walk(function))
    return has_statement or not _called(function).isdisjoint({*ASSERTING, *helpers})


def without_assertion(sources: dict[str, str]) -> list[str]:
    """Return the tests that assert nothing, nor use a function that does, of their module or of one without tests."""
    trees = {path: ast.parse(source) for path, source in sources.items()}
    helpers = {path: _helpers(tree) for path, tree in trees.items()}
    shared = {name for path, names in helpers.items() if not Path(path).name.startswith("test_") for name in names}
    return [
        f"{path}::{function.name}"
        for path, tree in trees.items()
        for function in _functions(tree)
        if _is_test(function) and not _asserts(function, shared | helpers[path])
    ]


def _helpers(tree: ast.Module) -> set[str]:
    """Return the functions of a module that assert something; not those inside of others."""
    outer = [node for part in tree.body for node in (part.body if isinstance(part, ast.ClassDef) else [part])]
    functions = [node for node in outer if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name for function in functions if not _is_test(function) and _asserts(function, set())}


def _is_test(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return function.name.startswith("test_")


def test_each_test_asserts_something() -> None:
    """A test without an assertion shows only that nothing is raised, and then it says so with an assertion."""
    files = [path for path in TESTS.rglob("*.py") if "benchmarks" not in path.parts]
    sources = {str(path.relative_to(TESTS)): path.read_text(encoding="utf-8") for path in files}

    assert [] == without_assertion(sources)


@pytest.mark.parametrize(
    ("body", "found"),
    [("assert call()", 0), ("call()", 1), ("helper()", 0), ("with pytest.raises(ValueError): call()", 0)],
)
def test_a_test_without_an_assertion_is_found(body: str, found: int) -> None:
    """An assertion is a statement, a block that expects an exception, or a call of a helper that asserts."""
    source = f"def helper():\n    assert True\n\n\ndef test_this():\n    {body}\n"

    assert found == len(without_assertion({"test_it.py": source}))
