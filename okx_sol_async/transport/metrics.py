"""What a session tells about its calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from okx_sol_async.errors import OKXError

logger: Final = logging.getLogger("okx_sol_async")


@attrs.define
class Counters:
    """How many of what a session has seen since it was made."""

    #: Calls that have ended, in whatever way, with those that asked OKX for its time to heal another one.
    calls: int = 0
    #: Calls that had to wait for their turn.
    waits: int = 0
    #: Answers with 50011.
    refusals: int = 0
    #: How often a call was sent again: after a refusal or a failure, also by aiohttp itself.
    resends: int = 0


@attrs.frozen
class CallReport:
    """One call that has ended."""

    #: Method and path: ``"GET /api/v5/finance/staking-defi/sol/balance"``.
    endpoint: str
    #: Seconds in the queue, over all sendings.
    waited: float
    #: Seconds on the wire, over all sendings.
    took: float
    #: How often it was sent.
    sends: int
    #: How often it was refused with 50011.
    refusals: int
    #: What its caller got instead of a result; `None` for success, and for a call that was cancelled.
    error: OKXError | None
    #: Whether its caller cancelled it.
    cancelled: bool


class Ended(Protocol):
    """A call that has ended."""

    def count(self, counters: Counters) -> None:
        """Add the call to ``counters``."""

    def report(self, error: BaseException | None) -> CallReport:
        """Return what there is to tell of the call, which has ended with ``error``."""


@attrs.frozen(eq=False)
class Onlookers:
    """Those who are told of each call of a session that has ended: its counters, the log, and who observes it."""

    observe: Callable[[CallReport], None] | None = None
    counters: Counters = attrs.field(factory=Counters)

    def see(self, call: Ended, error: BaseException | None) -> None:
        """Count a call that has ended with ``error``, and tell of it if anybody listens."""
        call.count(self.counters)
        if self.observe is not None or logger.isEnabledFor(logging.DEBUG):
            self._tell(call.report(error))

    def _tell(self, report: CallReport) -> None:
        outcome = "cancelled" if report.cancelled else type(report.error).__name__ if report.error else "answered"
        logger.debug(
            "%s: %s, %.3f s in the queue, %.3f s on the wire",
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
                # What is wrong with an onlooker must not end the call.
                logger.exception("observe raised an error")
