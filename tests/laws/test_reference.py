"""The reference describes every public name and every public field; the build of the pages checks the anchors."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import attrs
import pytest

import okx_sol_async
from okx_sol_async import emulator, redis
from okx_sol_async.emulator import faults

DOCS: Final = Path(__file__).parents[2] / "docs"
MODULES: Final = (okx_sol_async, emulator, faults, redis)
DIRECTIVE: Final = re.compile(r"^\.\. auto\w+:: (\S+)$", re.MULTILINE)


def described(source: str) -> set[str]:
    """Return the names in a class's body that a ``#:`` comment above or a docstring explains with a sentence."""
    lines = source.splitlines()
    found = set()
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if ast.get_docstring(node):
                found.add(node.name)
            continue
        target = getattr(node, "target", None) or (getattr(node, "targets", None) or [None])[0]
        above = lines[node.lineno - 2].strip()
        if isinstance(target, ast.Name) and re.match(r"#: .*\w", above):
            found.add(target.id)
    return found


def fields(kind: type) -> set[str]:
    """Return the public fields and members that a class itself defines."""
    own = {name for name in vars(kind).get("__annotations__", {}) if not name.startswith("_")}
    methods = {
        name
        for name, value in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod))
    }
    attributes = {field.name for field in attrs.fields(kind) if not field.inherited} if attrs.has(kind) else set()
    return {
        name for name in own | methods | attributes | set(getattr(kind, "__members__", ())) if not name.startswith("_")
    }


def public_classes() -> Iterator[type]:
    """Give the public classes of the package."""
    for module in MODULES:
        values = (getattr(module, name) for name in module.__all__)
        yield from {
            value: None for value in values if inspect.isclass(value) and value.__module__.startswith("okx_sol_async")
        }


@pytest.mark.parametrize("kind", list(dict.fromkeys(public_classes())), ids=lambda kind: kind.__name__)
def test_every_public_field_has_a_sentence(kind: type) -> None:
    """Each field, member, property and method of a public class says what it is."""
    missing = fields(kind) - described(inspect.getsource(kind))

    assert set() == missing


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_reference_has_every_public_name(module: ModuleType) -> None:
    """A page of the reference has a directive, and so an anchor, for each public name."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("api-*.md"))
    named = {name.rpartition(".")[2] for name in DIRECTIVE.findall(pages)}
    public = {name for name in module.__all__ if not inspect.ismodule(getattr(module, name))}

    assert set() == public - named - {"__version__"}


def test_the_search_for_sentences_can_fail() -> None:
    """A field without a comment, and a method without a docstring, are missing."""
    source = "class A:\n    #: Said.\n    a: int\n    b: int\n    def c(self): ...\n    def d(self):\n        'Said.'\n"

    assert {"a", "d"} == described(source)
