"""The table of `docs/evidence.md`: why no test kills some mutants, and where they are."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import Final

import okx_sol_async
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import mutants_of

# The installed one: its source is not always beside the tests.
PACKAGE: Final = Path(okx_sol_async.__file__).parent


def table() -> str:
    """Return the rows, one for each reason; raise where a mutant is none any more."""
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for (path, text, change), reason in EQUIVALENT.items():
        source = (PACKAGE / path).read_text(encoding="utf-8")
        lines = [mutant.line for mutant in mutants_of(path, source) if (mutant.text, mutant.change) == (text, change)]
        assert lines, f"{path} has no such line: {text} [{change}]"
        name = ".".join([Path(path).stem.removeprefix("_"), *_names(ast.parse(source), lines[0])])
        places[reason][f"`{name}`"] = None
    return "\n".join(f"| {reason} | {', '.join(names)} |" for reason, names in places.items())


def _names(node: ast.AST, line: int) -> list[str]:
    """Return the name of the class or function around a line, or of what it assigns outside of both."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and child.lineno <= line <= (child.end_lineno or 0):
            match child:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    return [child.name]
                case ast.AnnAssign():
                    return [ast.unparse(child.target)]
                case _:
                    return _names(child, line)
    return []
