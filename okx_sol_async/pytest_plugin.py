"""The pytest fixtures of the emulator, which pytest finds as soon as this package is installed.

They are in a module beside the package, so that a test suite that doesn't use them doesn't import the package.
"""

from okx_sol_async_pytest import (
    okx_emulator,
    okx_emulator_env,
    okx_emulator_process,
    okx_emulator_session,
    pytest_configure,
)

__all__ = [
    "okx_emulator",
    "okx_emulator_env",
    "okx_emulator_process",
    "okx_emulator_session",
    "pytest_configure",
]
