"""What a session counts and reports of its calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from okx_sol_async.errors import OKXError

logger: Final = logging.getLogger("okx_sol_async")

#: A wait of fewer seconds is the time that taking a lease takes.
NOTICEABLE_WAIT: Final = 0.001


@attrs.define
class Counters:
    """What a session has counted since it was made."""

    #: Calls that have ended, in any way, with those that asked OKX for its time to correct the clock.
    calls: int = 0
    #: Calls that waited in the queue.
    waits: int = 0
    #: Responses with 50011.
    refusals: int = 0
    #: Resends: after a refusal or a failure, also by aiohttp itself.
    resends: int = 0


@attrs.frozen
class CallReport:
    """One call that has ended."""

    #: Method and path: ``"GET /api/v5/finance/staking-defi/sol/balance"``.
    endpoint: str
    #: Seconds in the queue, over all sends.
    waited: float
    #: Seconds on the network, over all sends.
    took: float
    #: How many times it was sent.
    sends: int
    #: How many times OKX refused it with 50011.
    refusals: int
    #: What was raised instead of a result; `None` for success, and for a call that was cancelled.
    error: OKXError | None
    #: Whether its caller cancelled it.
    cancelled: bool


class EndedCall(Protocol):
    """A call that has ended."""

    @property
    def record(self) -> CallRecord:
        """What was counted of it."""

    def report(self, error: BaseException | None) -> CallReport:
        """Return the report of the call, which has ended with ``error``."""


@attrs.define
class CallRecord:
    """What is counted of a call, over all its sends."""

    #: How many times it was sent.
    sends: int = 0
    #: How many times OKX refused it with 50011.
    refusals: int = 0
    #: Seconds in the queue.
    waited: float = 0.0
    #: Seconds on the network.
    took: float = 0.0


@attrs.frozen(eq=False)
class Observers:
    """What is informed when a call has ended: the counters of a session, the log, and a callable of the caller's."""

    observe: Callable[[CallReport], None] | None = None
    counters: Counters = attrs.field(factory=Counters)

    def ended(self, call: EndedCall, error: BaseException | None) -> None:
        """Count a call that has ended with ``error``, and report it where reports are wanted."""
        record, counters = call.record, self.counters
        counters.calls += 1
        counters.waits += record.waited > NOTICEABLE_WAIT
        counters.refusals += record.refusals
        if record.sends > 1:
            counters.resends += record.sends - 1
        if self.observe is not None or logger.isEnabledFor(logging.DEBUG):
            self._report(call.report(error))

    def _report(self, report: CallReport) -> None:
        outcome = "cancelled" if report.cancelled else type(report.error).__name__ if report.error else "answered"
        logger.debug(
            "%s: %s, %.3f s in the queue, %.3f s on the network",
            report.endpoint,
            outcome,
            report.waited,
            report.took,
            extra={
                "endpoint": report.endpoint,
                "outcome": outcome,
                "waited": report.waited,
                "took": report.took,
                "sends": report.sends,
                "refusals": report.refusals,
            },
        )
        if self.observe is not None:
            try:
                self.observe(report)
            except Exception:
                # An observer that fails must not end the call.
                logger.exception("observe raised an error")
