"""What a call does after a failure: it counts it, asks the rules of `resend` what follows, and prepares that.

A call has a recovery from its first failure on, so most calls never have one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from okx_sol_async.errors import OKXError, OutcomeUnknown
from okx_sol_async.transport import _failures as failures
from okx_sol_async.transport import _resend as resend
from okx_sol_async.transport._attempt import Attempt, Sender
from okx_sol_async.transport._clock_sync import Correction, RefusedTimestamp
from okx_sol_async.transport._resend import FailureKind, Step

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import ClientRequest

    from okx_sol_async.endpoint import Endpoint
    from okx_sol_async.transport._clock_sync import TimeSample

logger: Final = logging.getLogger("okx_sol_async")


class FailedCall(Sender, Protocol):
    """What a recovery needs of its call."""

    endpoint: Endpoint[Any]
    http: aiohttp.ClientSession
    attempt: Attempt | None

    async def ask_time(self) -> TimeSample:
        """Ask OKX for its time, over the connections of this call."""


class Recovery:
    """The failures of one call, and what follows them."""

    __slots__ = ("_asked_for_time", "_call", "_counts")

    def __init__(self, call: FailedCall) -> None:
        self._call = call
        self._counts: Counter[FailureKind] = Counter()
        self._asked_for_time = False

    def next_step(self, failure: BaseException) -> Step:
        """Count a failure, and decide what follows it."""
        call, endpoint = self._call, self._call.endpoint
        kind = resend.kind_of(
            failure, is_read=endpoint.safe_to_resend, clock_is_known=self._asked_for_time or not endpoint.signed
        )
        self._counts[kind] += 1
        lease = None if call.attempt is None else call.attempt.lease
        if kind is FailureKind.REFUSED and lease is not None:
            call.record.refusals += 1
            call.bucket = lease.refused() or call.bucket
            if call.events is not None:
                call.events.refused()
        step = resend.decide(
            kind,
            is_read=endpoint.safe_to_resend,
            leased=lease is not None,
            failures=self._counts[kind],
            attempts=call.options.attempts,
        )
        if step is Step.BACK_OFF and not call.state.budget.spend(call.loop.time()):
            return Step.RAISE
        return step

    async def prepare(self, step: Step, failure: BaseException) -> bool:
        """Do what must be done before the call is sent again, and return whether that still makes sense."""
        wait = 0.0
        if step is Step.BACK_OFF:
            # Full jitter: calls that failed together are spread over the whole wait.
            longest = resend.longest_wait(self._counts[FailureKind.TEMPORARY])
            wait = random.uniform(0.0, longest)  # noqa: S311 - no secret
        self._log(step, failure, wait)
        if step is Step.SYNCHRONIZE_CLOCK:
            return await self._synchronize_clock()
        if wait:
            await asyncio.sleep(wait)
        return True

    def check_repetition(self, previous: Attempt, request: ClientRequest) -> None:
        """Check whether aiohttp or a middleware may send the request again that ``previous`` has sent.

        Raises:
            OutcomeUnknown: it is a write that may have happened.
            OKXError: the failure of ``previous``, if aiohttp repeats it and the call may have no further attempt.

        """
        call = self._call
        if not call.endpoint.safe_to_resend and previous.may_have_left:
            message = "a middleware sends a write again whose outcome is unknown"
            raise OutcomeUnknown(message)
        if previous.request is not request:
            self._count_hidden_resend(previous)
        # A middleware may have dropped its response.
        previous.leave_network()
        # It may have swallowed the end of that send too.
        call.interruption.take()

    def _count_hidden_resend(self, previous: Attempt) -> None:
        """Count what aiohttp sends again by itself, after a lost connection, as an attempt."""
        call, budget = self._call, self._call.state.budget
        self._counts[FailureKind.TEMPORARY] += 1
        if previous.error is not None:
            is_last = self._counts[FailureKind.TEMPORARY] >= call.options.attempts
            if is_last or not (budget.spend_on_kept() or budget.spend(call.loop.time())):
                raise failures.of_exception(previous.error, call.context())

    async def _synchronize_clock(self) -> bool:
        call, attempt = self._call, self._call.attempt
        assert attempt is not None  # noqa: S101 - `resend.decide` asks for a lease
        is_first = self._counts[FailureKind.CLOCK] == 1
        correction = await call.state.clock.correct(
            RefusedTimestamp(attempt.signed_at, attempt.date, attempt.times), call.ask_time, trust_date=is_first
        )
        self._asked_for_time = correction is not Correction.BY_DATE
        # A call that took long to arrive may be refused once, however right the clock is.
        return is_first or correction is not Correction.NONE

    def _log(self, step: Step, failure: BaseException, wait: float) -> None:
        endpoint = str(self._call.endpoint)
        summary = failure.summary if isinstance(failure, OKXError) else type(failure).__name__
        extra = {"endpoint": endpoint, "attempt": self._call.record.sends, "wait": wait}
        if step is Step.RESEND_FIRST_IN_QUEUE and self._counts[FailureKind.REFUSED] == 1:
            text = "OKX refused %s: other calls spend the same limit. It is resent after a pause"
            logger.info(text, endpoint, extra=extra)
        else:
            logger.debug("%s is resent in %.2f s: %s", endpoint, wait, summary, extra=extra)
