import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import okx_sol_async


def test_all_names_what_the_package_offers() -> None:
    """`__all__` is the public names, no more and no less."""
    offered = {
        name for name, value in vars(okx_sol_async).items() if not name.startswith("_") and not inspect.ismodule(value)
    }

    assert set(okx_sol_async.__all__) == offered | {"__version__"}


def test_the_version_is_the_one_that_was_built() -> None:
    """The version in the User-Agent is the version of the distribution."""
    assert version("okx-sol-async") == okx_sol_async.__version__


@pytest.mark.parametrize(
    "name", [name for name in okx_sol_async.__all__ if name != "__version__" and not name.isupper()]
)
def test_every_public_name_is_explained(name: str) -> None:
    """Each public name has a docstring of its own."""
    assert getattr(okx_sol_async, name).__doc__


@pytest.mark.parametrize("extra", ["cyclopts", "rich", "redis", "pytest"])
def test_importing_the_package_imports_no_extra(extra: str) -> None:
    """Extras are imported when they are used."""
    script = f"import sys, okx_sol_async; sys.exit({extra!r} in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", script], check=False).returncode  # noqa: S603
