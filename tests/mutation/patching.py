"""Change functions of the package that has been imported already, which is quicker than to import it again."""

from __future__ import annotations

import ast
import gc
import inspect
from collections import defaultdict
from pathlib import Path
from types import CodeType, FunctionType

#: The code of a function as it is, and as it is to be.
Change = tuple[CodeType, CodeType]
#: Functions by their code.
Functions = dict[CodeType, list[FunctionType]]


class RunsAtImport(Exception):
    """What is changed runs when the module is imported."""


def changes(path: Path, mutated: ast.Module) -> list[Change]:
    """Return the functions of a module that are different in a mutant, the outer before the inner ones."""
    source = path.read_text(encoding="utf-8")
    return _changes(compiled(ast.parse(source), path), compiled(mutated, path))


def compiled(tree: ast.Module, path: Path) -> CodeType:
    """Compile a module."""
    return compile(tree, str(path), "exec", dont_inherit=True)


def functions_of(package: Path) -> Functions:
    """Return all functions of the package by their code."""
    functions: Functions = defaultdict(list)
    # What is frozen, as the suite does with all that it has imported, is not among the objects.
    gc.unfreeze()
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and found.__code__.co_filename.startswith(str(package)):
            functions[found.__code__].append(found)
    gc.freeze()
    return functions


def patch(functions: Functions, changed: list[Change]) -> None:
    """Give functions their new code."""
    for old, new in changed:
        for function in functions[old]:
            function.__code__ = new


def _changes(old: CodeType, new: CodeType) -> list[Change]:
    inner = list(zip(_inner(old), _inner(new), strict=False))
    if old.co_flags & inspect.CO_OPTIMIZED:
        if old.co_freevars != new.co_freevars:
            raise RunsAtImport
        found = [(old, new)] if old != new else []
    elif _own(old) != _own(new):
        raise RunsAtImport
    else:
        found = []
    return found + [change for pair in inner if pair[0] != pair[1] for change in _changes(*pair)]


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> object:
    """Return what a module or the body of a class does itself."""
    constants = [repr(constant) for constant in code.co_consts if not isinstance(constant, CodeType)]
    return code.co_code, code.co_names, constants, len(_inner(code))
