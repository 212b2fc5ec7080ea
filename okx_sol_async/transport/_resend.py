"""What follows a failed send: a table of rules, and nothing that acts on them.

`Call` asks `decide` and does what it says. A row of `RULES` is all there is to a kind of failure.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from okx_sol_async.errors import ClockSkew, OKXError, QueueTimeout, RateLimited

#: How many times OKX may refuse a call for its rate limit (50011) before `RateLimited` is raised.
MAX_REFUSALS: Final = 10
#: How many times the clock is corrected for one call: by the ``Date`` of the refusal, and by asking OKX if that was wrong.
MAX_CLOCK_CORRECTIONS: Final = 2
#: The longest wait before the first resend, in seconds. It doubles with each further one, up to `LONGEST_WAIT`.
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 10.0


class FailureKind(enum.Enum):
    """What a failure means for sending again."""

    #: OKX counted too many calls and did not process this one: 50011, or for a read an HTTP 429 without an envelope.
    REFUSED = "refused"
    #: OKX did not accept the timestamp (50102), and did not process the call.
    CLOCK = "clock"
    #: The network or OKX failed for a moment.
    TEMPORARY = "temporary"
    #: Sending again would not help, or is not for this call to decide.
    FINAL = "final"


class Step(enum.Enum):
    """What follows a failure."""

    RAISE = "raise"
    #: Send again, ahead of the calls that wait for the same limit.
    RESEND_FIRST_IN_QUEUE = "resend first in queue"
    SYNCHRONIZE_CLOCK = "synchronize the clock, then resend"
    BACK_OFF = "wait, then resend"


@attrs.frozen
class Rule:
    """What follows one kind of failure, and how many times within one call."""

    step: Step
    #: Whether it holds for writes too. OKX has certainly not processed a write then.
    writes: bool
    #: How many failures of this kind a call may have, the last of which is raised. `None`: the call's ``attempts``.
    at_most: int | None


RULES: Final[Mapping[FailureKind, Rule]] = MappingProxyType(
    {
        FailureKind.REFUSED: Rule(Step.RESEND_FIRST_IN_QUEUE, writes=True, at_most=MAX_REFUSALS),
        FailureKind.CLOCK: Rule(Step.SYNCHRONIZE_CLOCK, writes=True, at_most=MAX_CLOCK_CORRECTIONS + 1),
        FailureKind.TEMPORARY: Rule(Step.BACK_OFF, writes=False, at_most=None),
    }
)


def kind_of(failure: BaseException, *, is_read: bool, clock_is_known: bool) -> FailureKind:
    """Return what ``failure`` means for sending again.

    Args:
        failure: what went wrong.
        is_read: whether sending twice does no more than sending once.
        clock_is_known: whether there is nothing to correct: OKX was asked for its time, or the call has no timestamp.

    """
    if isinstance(failure, RateLimited):
        return FailureKind.REFUSED if _was_not_processed(failure, is_read=is_read) else FailureKind.FINAL
    if isinstance(failure, ClockSkew):
        return FailureKind.FINAL if clock_is_known else FailureKind.CLOCK
    if isinstance(failure, OKXError) and failure.transient and not isinstance(failure, QueueTimeout):
        return FailureKind.TEMPORARY
    return FailureKind.FINAL


def decide(kind: FailureKind, *, is_read: bool, leased: bool, failures: int, attempts: int) -> Step:
    """Return what follows a failure.

    Args:
        kind: what has just failed.
        is_read: whether sending twice does no more than sending once.
        leased: whether the send took a lease. Without one, a mock or a middleware responded in place of the network,
            so nothing is sent again.
        failures: how many failures of this kind the call has had, with this one.
        attempts: how many attempts the call may make in all.

    """
    rule = RULES.get(kind)
    if rule is None or not leased or not (is_read or rule.writes):
        return Step.RAISE
    return rule.step if failures < (attempts if rule.at_most is None else rule.at_most) else Step.RAISE


def longest_wait(failures: int) -> float:
    """Return the longest wait after a number of temporary failures, in seconds."""
    return min(FIRST_WAIT * 2.0 ** (failures - 1), LONGEST_WAIT)


def _was_not_processed(refusal: RateLimited, *, is_read: bool) -> bool:
    return is_read if refusal.code is None else refusal.code.partition("_")[0] == "50011"
