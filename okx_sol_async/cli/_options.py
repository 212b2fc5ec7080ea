"""Options that several commands have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from cyclopts import Parameter, Token

from okx_sol_async.errors import ConfigurationError

Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
Csv: TypeAlias = Annotated[bool, Parameter(name="--csv", negative=(), show_default=False)]


def _whole(kind: type[int], tokens: Sequence[Token]) -> int:
    # cyclopts would round "1.5", and take "0x10" for 16.
    text = tokens[0].value
    if not re.fullmatch("[+-]?[0-9]{1,400}", text):
        message = f"{text[:40]!r} is no whole number"
        raise ValueError(message)
    return kind(text)


#: A whole number in digits.
WholeNumber: TypeAlias = Annotated[int, Parameter(converter=_whole)]


def only_one(**options: bool) -> None:
    """Check that at most one of these options is given.

    Raises:
        ConfigurationError: more than one of them is given.

    """
    given = [f"--{name}" for name, is_given in options.items() if is_given]
    if len(given) > 1:
        message = f"{' and '.join(given)} exclude each other"
        raise ConfigurationError(message, hint="Choose one of them.")
