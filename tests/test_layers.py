import ast
from pathlib import Path

import pytest

import okx_sol_async

PACKAGE = Path(okx_sol_async.__file__).parent

# From the bottom up, as in docs/design.md; modules of one row know nothing of each other.
ROWS = (
    {"version"},
    {"models", "errors"},
    {"signing", "wire", "pushback", "travel", "telemetry", "clock", "retries"},
    {"ratelimit"},
    {"endpoints"},
    {"call"},
    {"session", "redis"},
    {"staking", "emulator"},
    {"cli", "pytest_plugin"},
    {"__init__", "__main__"},
)
LEVEL = {module: level for level, row in enumerate(ROWS) for module in row}
# What makes the command line and the test fixture must not reach everybody who imports the package.
EXTRAS = {"cli", "redis", "pytest_plugin", "emulator"}


def imported_modules(module: str) -> set[str]:
    """Return the modules of the package that ``module`` imports, in any way and anywhere in it."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("okx_sol_async.")} & set(LEVEL)


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def test_every_module_has_its_row() -> None:
    """A module that is not in the order is not checked, so each one is in it."""
    assert set(MODULES) <= set(LEVEL)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A module imports from rows below its own only, `TYPE_CHECKING` imports included."""
    upward = {other for other in imported_modules(module) if LEVEL[other] >= LEVEL[module]}

    assert set() == upward


@pytest.mark.parametrize("module", sorted(set(MODULES) - EXTRAS - {"__main__"}))
def test_the_core_never_imports_an_extra(module: str) -> None:
    """Nobody pays for the command line, Redis or the emulator who does not use them."""
    assert set() == imported_modules(module) & EXTRAS


def test_only_the_session_and_its_calls_talk_http() -> None:
    """The layers below a call are functions of plain values: none of them imports aiohttp at run time."""
    importers = set()
    for module in MODULES:
        tree = ast.parse((PACKAGE / f"{module}.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.Import) and any(alias.name == "aiohttp" for alias in node.names):
                importers.add(module)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "aiohttp":
                importers.add(module)

    assert {"call", "session", "emulator"} == importers
