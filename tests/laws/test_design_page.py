"""docs/design.md names files and tests that exist, and each module of the core has tests or is named here."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

import okx_sol_async

PACKAGE: Final = Path(okx_sol_async.__file__).parent
TESTS: Final = Path(__file__).parents[1]
PAGE: Final = (TESTS.parent / "docs" / "design.md").read_text(encoding="utf-8")
#: The modules of the core without a test file of their own, and where they are tested.
TESTED_ELSEWHERE: Final = {
    "config.py": "test_settings.py",
    "endpoint.py": "staking/test_endpoints.py",
    "models.py": "codec/test_structure.py",
    "pytest_plugin.py": "emulator/test_pytest_plugin.py",
    "redis.py": "test_public_names.py",
    "version.py": "test_public_names.py",
    "_error_codes.py": "test_errors.py",
    "_error_details.py": "test_errors.py",
    "_writes.py": "staking/test_write_log.py",
    "ratelimit/_state.py": "ratelimit/test_bucket.py",
    "ratelimit/_turns.py": "ratelimit/test_waiters.py",
    "ratelimit/shared/_batching.py": "ratelimit/shared/test_servers.py",
    "ratelimit/shared/_moves.py": "ratelimit/shared/test_script.py",
    "signing/_owners.py": "staking/test_write_log.py",
    "staking/_receipts.py": "staking/test_writing.py",
    "transport/_events.py": "transport/test_observed.py",
    "transport/_recovery.py": "transport/test_call.py",
    "transport/_report.py": "transport/test_metrics.py",
    "transport/_state.py": "test_session_options.py",
}


def core_modules() -> list[str]:
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))
    return sorted(path.as_posix() for path in paths if path.parts[0] not in {"_entry", "emulator", "cli"})


def file_of_tests(module: str) -> Path:
    """Return the file of the tests of a module, which mirrors its path."""
    folder, _, name = module.rpartition("/")
    return TESTS / folder / f"test_{name.removeprefix('_')}"


def test_each_module_of_the_core_has_tests_at_its_place() -> None:
    """`transport/_attempt.py` is tested in `tests/transport/test_attempt.py`; exceptions are named with their file."""
    without = {module for module in core_modules() if not file_of_tests(module).exists()}

    assert set() == without - set(TESTED_ELSEWHERE)
    assert [] == [module for module in TESTED_ELSEWHERE if not (PACKAGE / module).exists()]
    assert [] == [file for file in TESTED_ELSEWHERE.values() if not (TESTS / file).exists()]


@pytest.mark.parametrize("module", core_modules())
def test_the_first_line_of_a_module_says_its_job(module: str) -> None:
    """It is one sentence of at most a line."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))) or ""
    first = docstring.split("\n")[0]

    assert first.endswith((".", ":"))
    assert len(first.split()) >= 3


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", PAGE))))
def test_what_the_design_names_of_the_tests_exists(name: str) -> None:
    """Each file and each test that the page names is there."""
    path, _, function = name.partition("::")
    file = TESTS.parent / path

    assert file.exists()
    if function:
        nodes = ast.parse(file.read_text(encoding="utf-8")).body
        assert function in {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_what_the_design_names_of_the_package_exists() -> None:
    """Each module that the page names is there."""
    names = {
        name for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)+\.(?:py|lua))`", PAGE) if not name.startswith("tests/")
    }

    assert [] == sorted(name for name in names if not (PACKAGE / name).exists())
