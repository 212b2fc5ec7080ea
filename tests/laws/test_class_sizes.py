"""Classes have one job, so they are small; the larger ones stand in docs/design.md with the reason."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import okx_sol_async

PACKAGE: Final = Path(okx_sol_async.__file__).parent
PAGE: Final = Path(__file__).parents[2] / "docs" / "design.md"
#: The most attributes, and the most methods, with properties and ``__init__``.
MOST: Final = 15
#: Classes that have more, each with its reason in docs/design.md, "Large classes". It only gets shorter.
LARGER: Final = ("Call", "CallReport", "Session", "SolStaking")


def methods_of(node: ast.ClassDef) -> set[str]:
    return {member.name for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)}


def attributes_of(node: ast.ClassDef) -> set[str]:
    """Return what a class declares as fields, and what its methods assign to ``self``."""
    fields = {
        member.target.id
        for member in node.body
        if isinstance(member, ast.AnnAssign)
        and isinstance(member.target, ast.Name)
        and "ClassVar" not in ast.unparse(member.annotation)
    }
    assigned = {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.ctx, ast.Store)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
    }
    return fields | assigned


def core_classes() -> Iterator[ast.ClassDef]:
    """Give the classes of the package, without those of the emulator and the command line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in {"emulator", "cli"}:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield from (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def larger_than(most: int) -> set[str]:
    return {node.name for node in core_classes() if max(len(methods_of(node)), len(attributes_of(node))) > most}


def test_the_count_sees_attributes_and_methods() -> None:
    """The check can fail: it counts fields, assignments in any method, properties and coroutines."""
    [node] = ast.parse(
        "class A:\n"
        "    x: int = 0\n"
        "    kind: ClassVar[int] = 0\n"
        "    def __init__(self): self.y, self.z = 1, 2\n"
        "    @property\n"
        "    def p(self): return self.x\n"
        "    async def q(self): self.y += 1; other.w = 3\n"
    ).body
    assert isinstance(node, ast.ClassDef)

    assert ({"x", "y", "z"}, {"__init__", "p", "q"}) == (attributes_of(node), methods_of(node))


def test_no_class_of_the_core_is_large() -> None:
    """None has more than 15 attributes or 15 methods but those that are named here."""
    assert set(LARGER) == larger_than(MOST)


@pytest.mark.parametrize("name", LARGER)
def test_a_larger_class_has_its_reason_in_the_design(name: str) -> None:
    """docs/design.md says why it is one class."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## Large classes")

    assert f"`{name}`" in section.partition("\n## ")[0]
