"""What a session tells about its calls."""

from __future__ import annotations

import attrs

from okx_sol_async.errors import OKXError


@attrs.define
class Counters:
    """How many of what a session has seen since it was made."""

    #: Calls that have ended, in whatever way.
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
