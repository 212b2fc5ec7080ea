"""What a session counts and reports of its calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias, TypeVar

import attrs

from okx_sol_async._checks import wrong_type
from okx_sol_async.transport._events import CallReport, Observer

E = TypeVar("E")

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

    #: When it began, by the event loop's clock.
    began: float
    #: How many times it was sent.
    sends: int = 0
    #: How many times OKX refused it with 50011.
    refusals: int = 0
    #: Seconds in the queue.
    waited: float = 0.0
    #: Seconds on the network.
    took: float = 0.0


#: What a `Session` takes as ``observe``: observers, and callables that are called when a call has ended.
Observe: TypeAlias = (
    "Observer | Callable[[CallReport], None] | Iterable[Observer | Callable[[CallReport], None]] | None"
)


def observers_of(observe: Observe) -> Observers:
    """Return the observers in ``observe``."""
    if observe is None:
        return Observers()
    several = isinstance(observe, Iterable) and not isinstance(observe, Observer) and not callable(observe)
    live: list[Observer] = []
    on_end: list[Callable[[CallReport], None]] = []
    for one in observe if several else (observe,):  # type: ignore[union-attr] # it is iterable
        if isinstance(one, Observer):
            live.append(one)
            on_end.append(one.ended)
        elif callable(one):
            on_end.append(one)
        else:
            raise wrong_type(one, "observe", "callable or an Observer")
    return Observers(tuple(live), tuple(on_end))


@attrs.frozen(eq=False)
class Observers:
    """What is informed of calls: the counters of a session, the log, and what the session's user has passed."""

    #: What receives the events of a call while it lives; empty if nothing does, so that no event is built.
    live: tuple[Observer, ...] = ()
    #: What is called when a call has ended.
    on_end: tuple[Callable[[CallReport], None], ...] = ()
    counters: Counters = attrs.field(factory=Counters)

    def ended(self, call: EndedCall, error: BaseException | None) -> None:
        record, counters = call.record, self.counters
        counters.calls += 1
        counters.waits += record.waited > NOTICEABLE_WAIT
        counters.refusals += record.refusals
        if record.sends > 1:
            counters.resends += record.sends - 1
        is_logged = logger.isEnabledFor(logging.DEBUG)
        if self.on_end or is_logged:
            report = call.report(error)
            if is_logged:
                _log(report)
            for observe in self.on_end:
                inform(observe, report)


def _log(report: CallReport) -> None:
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
            "status": report.status,
            "code": report.code,
            "trace_id": report.trace_id,
        },
    )


def inform(receive: Callable[[E], None], event: E) -> None:
    """Call a method of an observer, or a callable in the place of one."""
    try:
        receive(event)
    except Exception:
        # An observer that fails must not end the call.
        logger.exception("observe raised an error")
