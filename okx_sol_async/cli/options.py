"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

from okx_sol_async.errors import ConfigurationError

Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
Csv: TypeAlias = Annotated[bool, Parameter(name="--csv", negative=(), show_default=False)]


def only_one(**options: bool) -> None:
    """Refuse options that exclude each other.

    Raises:
        ConfigurationError: more than one of them is given.

    """
    given = [f"--{name}" for name, is_given in options.items() if is_given]
    if len(given) > 1:
        message = f"{' and '.join(given)} exclude each other"
        raise ConfigurationError(message, hint="Choose one of them.")
