"""Mutants that no test can kill, each with the reason why it behaves as the original does."""

from typing import Final

#: The module, the line and the change, and why nothing is different.
EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {}
