"""What is closed at the end of an ``async with`` block."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Closing(abc.ABC):
    """Something to be closed by `aclose`, or as an async context manager."""

    __slots__ = ()

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close it. Closing again does nothing."""

    async def __aenter__(self) -> Self:
        """Return the object itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()
