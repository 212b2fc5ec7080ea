"""The name of a wrong argument, as it is typed or set: an option or a variable of the environment."""

from __future__ import annotations

from typing import Final

from okx_sol_async.errors import ConfigurationError, OKXError

_VARIABLES: Final = {
    "api_key": "OKX_API_KEY",
    "secret_key": "OKX_SECRET_KEY",
    "passphrase": "OKX_PASSPHRASE",
    "user_id": "OKX_USER_ID",
    "base_url": "--base-url (OKX_BASE_URL)",
    "amt": "the amount",
}


def summary_of(error: OKXError) -> str:
    """Return what happened and where, with the option or variable in place of the Python argument that is wrong."""
    argument = error.argument if isinstance(error, ConfigurationError) else None
    if argument is None or not error.summary.startswith(f"{argument} "):
        return error.summary
    name = _VARIABLES.get(argument) or f"--{argument.replace('_', '-')}"
    return name + error.summary.removeprefix(argument)
