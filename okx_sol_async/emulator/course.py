"""The course that one call takes: what the exchange does with it, and how the answer is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from okx_sol_async.emulator.answers import Answer

#: Where a cut is counted from.
Part = Literal["head", "body"]
#: What becomes of the connection after the answer.
Ending = Literal["keep", "close", "reset"]


@attrs.define
class Course:
    """What faults may change about a call; as it stands, nothing goes wrong. Times are seconds."""

    #: Whether the exchange looks at the request at all.
    processed: bool = True
    #: How much longer the request travels, and the answer.
    there: float = 0.0
    back: float = 0.0
    #: By how much the exchange's clock is ahead for this call.
    clock_off: float = 0.0
    #: The answer that is sent in place of the exchange's; `None` leaves the exchange's.
    instead: Answer | None = None
    #: Whether anything is answered.
    answered: bool = True
    #: Whether the connection stays open, and silent, in place of an answer.
    silent: bool = False
    #: Whether the answer waits until the fault is stopped.
    held: bool = False
    #: The value of Content-Type; `None` leaves the header out.
    content_type: str | None = "application/json; charset=utf-8"
    #: By how many seconds Date is off, its text, or `None` for none.
    date: float | str | None = 0.0
    #: More headers, also such that are there already.
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    #: A body that is too big to be held, and how many bytes it has.
    stream: Callable[[], Iterable[bytes]] | None = None
    stream_bytes: int = 0
    #: Whether Content-Length is told; without it the end of the connection is the end of the body.
    length_is_told: bool = True
    #: After so many bytes, from the beginning of the head or of the body, nothing more is sent.
    cut: tuple[Part, int] | None = None
    #: How fast the answer is sent; `None` is at once.
    bytes_per_second: float | None = None
    #: What becomes of the connection, and how long after the answer.
    ending: Ending = "keep"
    ends_after: float = 0.0
