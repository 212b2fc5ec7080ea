"""Ending what a task awaits, from outside of it, without mistaking that for a cancellation by its caller."""

from __future__ import annotations

import asyncio
from typing import Any

from okx_sol_async.errors import OKXError


class Interruption:
    """Cancels a task for a reason of ours: its timeout is over, or the session closes.

    Code that catches the `asyncio.CancelledError` asks `take` for the reason. There is none if the caller cancelled the
    task too, and then the cancellation must be passed on.
    """

    __slots__ = ("_cancellations", "_task", "reason")

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task
        # How many cancellations the task had before.
        self._cancellations = 0 if task is None else task.cancelling()
        #: Why the task was interrupted; `None` if it was not.
        self.reason: OKXError | None = None

    def interrupt(self, reason: OKXError) -> None:
        """Cancel the task, unless it was interrupted before."""
        if self.reason is None and self._task is not None:
            self.reason = reason
            self._task.cancel()

    def take(self) -> OKXError | None:
        """Take the interruption back, and return its reason; `None` if the task was cancelled by its caller as well.

        A task that a middleware has started is cancelled with the interrupted one, and has nothing to take.
        """
        if self.reason is None or self._task is None or asyncio.current_task() is not self._task:
            return None
        reason, self.reason = self.reason, None
        return reason if self._task.uncancel() <= self._cancellations else None
