"""What came of the mutants of each module, so that the next run can leave out what has not changed."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.mutants import Mutant

FILE: Final = Path(__file__).with_name("outcomes.json")


def digest(path: Path) -> str:
    """Return a hash of the code of a module, whatever its comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(node, name, [child for child in value if not _is_docstring(child)])
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def recorded() -> dict[str, dict[str, object]]:
    """Return the outcome of each module that was run."""
    found: dict[str, dict[str, object]] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def up_to_date(package: Path) -> set[str]:
    """Return the modules whose outcome is that of their present code."""
    return {
        name
        for name, outcome in recorded().items()
        if (package / name).exists() and outcome["code"] == digest(package / name)
    }


def shown(mutant: Mutant) -> str:
    """Return a mutant as the file names it."""
    return f"{mutant.text}  [{mutant.change}]"


def survived(path: str) -> list[str]:
    """Return the mutants of a module that survived the last time."""
    found = recorded().get(path, {}).get("survived", [])
    assert isinstance(found, list)
    return found


def record(
    package: Path, path: str, mutants: Sequence[Mutant], known: Sequence[Mutant], alive: Sequence[Mutant]
) -> None:
    """Write the outcome of one module."""
    survivors = [shown(mutant) for mutant in alive if mutant.path == path]
    number, equivalent = (sum(mutant.path == path for mutant in those) for those in (mutants, known))
    outcome = {
        "code": digest(package / path),
        "mutants": number,
        "equivalent": equivalent,
        "killed": number - equivalent - len(survivors),
        "survived": survivors,
    }
    FILE.write_text(json.dumps(recorded() | {path: outcome}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
