"""The events of a call while it lives, and the protocol of what receives them."""

from __future__ import annotations

import enum
import itertools
from datetime import UTC, datetime
from typing import Final, Protocol, runtime_checkable

import attrs

from okx_sol_async.errors import OKXError

_IDS: Final = itertools.count(1)


class ResendReason(enum.StrEnum):
    """Why a call is sent again."""

    #: OKX counted too many calls (50011).
    REFUSED = "refused"
    #: OKX did not accept the timestamp (50102).
    CLOCK = "clock"
    #: The network or OKX failed for a moment.
    FAILURE = "failure"
    #: aiohttp or a middleware has sent the same request again by itself.
    HIDDEN = "hidden"


@attrs.frozen(eq=False)
class CallInfo:
    """Which call an event is about. All events of a call have the same object."""

    #: ``"GET"`` or ``"POST"``.
    method: str
    #: The path: ``"/api/v5/finance/staking-defi/sol/balance"``.
    path: str
    #: The host: ``"https://openapi.okx.com"``.
    origin: str
    #: `Credentials.user_id`; `None` for a user without a label and for a public endpoint.
    user: str | None
    #: When the call began (UTC), by the clock of this machine.
    started_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    #: A number that no other call of this process has.
    id: int = attrs.field(factory=lambda: next(_IDS))

    @property
    def endpoint(self) -> str:
        """Method and path, as in a `CallReport`."""
        return f"{self.method} {self.path}"


@attrs.frozen
class SendEvent:
    """A send that has its lease, and is about to be signed and to leave."""

    #: The call that it belongs to.
    call: CallInfo
    #: Which send of the call it is, from 1 on.
    number: int
    #: Seconds that it waited for the lease.
    waited: float
    #: Why the call is sent again; `None` for the first send.
    reason: ResendReason | None


@attrs.frozen
class ResponseEvent:
    """A send that has ended, with a response or without."""

    #: The call that it belongs to.
    call: CallInfo
    #: Which send of the call it is, from 1 on.
    number: int
    #: Seconds on the network.
    took: float
    #: The HTTP status; `None` without a response.
    status: int | None
    #: OKX's code: ``"0"`` for success; `None` without one.
    code: str | None
    #: OKX's id of the send; `None` without one.
    trace_id: str | None
    #: What went wrong, as the name of the class: ``"Timeout"``; `None` for success.
    error: str | None


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
    #: When it began (UTC), by the clock of this machine.
    started_at: datetime
    #: `Credentials.user_id`; `None` for a user without a label and for a public endpoint.
    user: str | None = None
    #: The HTTP status of the last response; `None` without one.
    status: int | None = None
    #: OKX's code: ``"0"`` for success; `None` without one.
    code: str | None = None
    #: OKX's id of the call; `None` without one.
    trace_id: str | None = None
    #: By how many seconds OKX's clock is ahead of that of this machine; `None` where it is not known.
    clock_offset: float | None = None
    #: How many retries the session's budget has left.
    retries_left: float = 0.0
    #: Whether the server that shares the rate limit responds; `None` with a limiter that shares none.
    shared_limit_up: bool | None = None
    #: Seconds from its begin to its end, over queue, sends and pauses between them.
    duration: float = 0.0
    #: `CallInfo.id` of its events.
    id: int = 0


@runtime_checkable
class Observer(Protocol):
    """Receives the events of calls, as they happen: pass it as ``observe`` to a `Session`.

    Subclass it and define what you need: the methods here do nothing. They run between the steps of a call, in its task,
    so they should return at once. What they raise is logged, and changes nothing.

    Each call begins with `queued` and ends with `ended`. For each send there is one `queued`, and then, if it has its
    turn, one `sent` and one `responded`. A mock in place of the network has neither.
    """

    def queued(self, call: CallInfo) -> None:
        """A call begins to wait for its turn, also before each resend."""
        # An empty body would be an abstract method to type checkers.
        del call

    def sent(self, event: SendEvent) -> None:
        """A call has its turn, and is about to be sent."""
        del event

    def responded(self, event: ResponseEvent) -> None:
        """A send has ended, with a response or with an error in its place."""
        del event

    def refused(self, call: CallInfo) -> None:
        """OKX counted too many calls (50011), so the call takes another turn, at the front of the queue."""
        del call

    def ended(self, report: CallReport) -> None:
        """A call has ended."""
        del report
