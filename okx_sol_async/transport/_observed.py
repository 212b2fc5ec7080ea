"""The events of one call, for the observers of its session. A call has them only if there is an observer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from okx_sol_async.transport._events import CallInfo, ResendReason, ResponseEvent, SendEvent
from okx_sol_async.transport._metrics import inform

if TYPE_CHECKING:
    from okx_sol_async.transport._events import Observer
    from okx_sol_async.transport._metrics import CallRecord


class CallEvents:
    """Builds the events of one call, in their order, and hands them to the observers."""

    __slots__ = ("_is_sent", "_number", "_observers", "_reason", "_waited", "info")

    def __init__(self, observers: tuple[Observer, ...], info: CallInfo) -> None:
        self._observers = observers
        #: Which call it is.
        self.info: CallInfo = info
        # The current send, whether it was sent, and why; and the seconds in the queue before it.
        self._number = 0
        self._is_sent = False
        self._reason: ResendReason | None = None
        self._waited = 0.0

    def queued(self, reason: ResendReason | None) -> None:
        """Report that the call begins to wait for a turn, which it needs for ``reason``."""
        self._reason = reason
        for observer in self._observers:
            inform(observer.queued, self.info)

    def sent(self, record: CallRecord) -> None:
        self._number, self._is_sent = record.sends, True
        waited, self._waited = record.waited - self._waited, record.waited
        event = SendEvent(self.info, self._number, waited, self._reason)
        for observer in self._observers:
            inform(observer.sent, event)

    def responded(
        self,
        took: float,
        *,
        status: int | None = None,
        code: str | None = None,
        trace_id: str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Report that the send has ended, if there was one."""
        if self._is_sent:
            self._is_sent = False
            name = None if error is None else type(error).__name__
            event = ResponseEvent(self.info, self._number, took, status, code, trace_id, name)
            for observer in self._observers:
                inform(observer.responded, event)

    def refused(self) -> None:
        for observer in self._observers:
            inform(observer.refused, self.info)
