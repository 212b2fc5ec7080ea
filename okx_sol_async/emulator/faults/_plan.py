"""What faults may change about one call: what the exchange does with it, and how the response is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import attrs

from okx_sol_async.emulator.gateway._responses import ExchangeResponse

#: Where the length of a truncated response is counted from.
Part = Literal["head", "body"]
#: What becomes of the connection after the response.
Ending = Literal["keep", "close", "reset"]


@attrs.define
class ResponsePlan:
    """How one call is handled; the defaults are those without a fault. Times are seconds."""

    #: Whether the exchange sees the request at all.
    processed: bool = True
    #: Additional latency of the request and of the response.
    there: float = 0.0
    back: float = 0.0
    #: How far the exchange's clock is ahead for this call.
    clock_off: float = 0.0
    #: The response that is sent in place of the exchange's; `None` leaves the exchange's.
    instead: ExchangeResponse | None = None
    #: Whether a response is sent.
    responds: bool = True
    #: Whether the connection stays open and silent in place of a response.
    silent: bool = False
    #: Whether the response waits until the fault is stopped.
    held: bool = False
    #: How many seconds Date is ahead of the exchange's time, its text, or `None` for none.
    date: float | str | None = 0.0
    #: More headers, also ones that are there already.
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    #: Whether Content-Type is sent.
    has_content_type: bool = True
    #: A body that is too large to be held, and its size in bytes.
    stream: Callable[[], Iterable[bytes]] | None = None
    stream_bytes: int = 0
    #: Whether Content-Length is sent; without it the end of the connection is the end of the body.
    has_length: bool = True
    #: Nothing is sent after this many bytes from the start of the head or of the body.
    truncated: tuple[Part, int] | None = None
    #: How fast the response is sent; `None` is at once.
    bytes_per_second: float | None = None
    #: What becomes of the connection, and how long after the response.
    ending: Ending = "keep"
    ends_after: float = 0.0
