"""What can be changed in a module: comparisons, conditions, numbers, returned values, calls."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Final

import attrs

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
#: Parts of a node that are not run, or only describe.
_SKIPPED: Final = {"annotation", "returns", "decorator_list", "type_comment"}
#: What they return is for people to read.
_SHOWN: Final = {"__repr__", "__str__"}


@attrs.frozen
class Mutant:
    """One change: of the node with this number, by the variant with this one."""

    path: str
    line: int
    #: The line of the source, without indentation.
    text: str
    change: str
    node: int
    variant: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}  [{self.change}]"


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Return all the changes of a module."""
    lines = source.splitlines()
    return [
        Mutant(path, node.lineno, lines[node.lineno - 1].strip(), change, number, variant)
        for number, node in enumerate(_nodes(ast.parse(source)))
        for variant, (change, _) in enumerate(_changes(node))
    ]


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """Return a module with the change made."""
    tree = ast.parse(source)
    node = list(_nodes(tree))[mutant.node]
    list(_changes(node))[mutant.variant][1]()
    return ast.fix_missing_locations(tree)


def _nodes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Give the nodes that are run, in the order of the source."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.FunctionDef) and node.name in _SHOWN:
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child)


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give the ways to change a node, each with what makes the change."""
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                other = _COMPARED[type(operator)]
                yield f"{type(operator).__name__} to {other.__name__}", _setter(node.ops, index, other())
        case ast.BoolOp():
            swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"{type(node.op).__name__} to {type(swapped).__name__}", _setter(node, "op", swapped)
        case ast.UnaryOp(op=ast.Not()):
            yield "without not", _setter(node, "operand", _not(node.operand))
        case ast.BinOp() | ast.AugAssign() if type(node.op) in _COMPUTED:
            computed = _COMPUTED[type(node.op)]
            yield f"{type(node.op).__name__} to {computed.__name__}", _setter(node, "op", computed())
        case ast.Constant(value=bool()):
            yield f"{node.value} to {not node.value}", _setter(node, "value", not node.value)
        case ast.Constant(value=int() | float()):
            yield f"{node.value} to {node.value + 1}", _setter(node, "value", node.value + 1)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return None", _setter(node, "value", ast.Constant(None))
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger")))):
            # What is logged is for people to read.
            return
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "left out", _setter(node, "value", ast.Constant(None))
        case ast.If() | ast.While() | ast.IfExp() if isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
            yield "condition negated", _setter(node, "test", _not(node.test))


def _not(expression: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), expression)


def _setter(owner: object, key: int | str, value: object) -> Callable[[], None]:
    def change() -> None:
        if isinstance(owner, list):
            owner[key] = value  # type: ignore[call-overload]
        else:
            setattr(owner, str(key), value)

    return change
