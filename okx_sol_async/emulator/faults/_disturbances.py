"""Faults that let the exchange respond, and change how or when the response arrives."""

from __future__ import annotations

from typing import get_args

import attrs

from okx_sol_async.emulator._arguments import (
    check_choice,
    check_finite,
    check_flag,
    check_header,
    check_rate,
    check_seconds,
    check_size,
    checked,
)
from okx_sol_async.emulator.faults._base import Fault
from okx_sol_async.emulator.faults._plan import Part, ResponsePlan


def _check_part(name: str, value: object) -> None:
    check_choice(name, value, get_args(Part))


def _check_date(name: str, value: object) -> None:
    if isinstance(value, str):
        check_header(name, value)
    elif value is not None:
        check_finite(name, value)


@attrs.frozen
class TruncateResponse(Fault):
    """Ends the connection in the middle of the response."""

    #: How many bytes of the head or of the body are sent.
    at: int = attrs.field(validator=checked(check_size))
    #: ``"body"`` sends the whole head and counts from its end; ``"head"`` counts from the first byte of all.
    of: Part = attrs.field(default="body", kw_only=True, validator=checked(_check_part))
    #: Whether the connection is reset (RST) and not closed (FIN). What was sent just before a reset may be lost too.
    reset: bool = attrs.field(default=False, validator=checked(check_flag), kw_only=True)

    def apply(self, plan: ResponsePlan) -> None:
        """Set where the response ends."""
        plan.truncated = (self.of, self.at)
        plan.ending = "reset" if self.reset else "close"


@attrs.frozen
class SlowResponse(Fault):
    """Sends the response slowly."""

    #: How fast it is sent.
    bytes_per_second: float = attrs.field(default=10.0, validator=checked(check_rate))

    def apply(self, plan: ResponsePlan) -> None:
        """Set the speed."""
        plan.bytes_per_second = self.bytes_per_second


@attrs.frozen
class Delay(Fault):
    """Adds latency to a call."""

    #: Seconds added until the exchange sees the request.
    there: float = attrs.field(default=0.0, validator=checked(check_seconds))
    #: Seconds added until the response is sent.
    back: float = attrs.field(default=0.0, validator=checked(check_seconds))

    def apply(self, plan: ResponsePlan) -> None:
        """Add both."""
        plan.there += self.there
        plan.back += self.back


@attrs.frozen
class HoldResponse(Fault):
    """Holds the response until `Injection.stop`, or the end of its ``with`` block; its connection is busy meanwhile.

    With as many of them as a client may have connections, its pool is exhausted.
    """

    def apply(self, plan: ResponsePlan) -> None:
        """Hold the response."""
        plan.held = True


@attrs.frozen
class DateHeader(Fault):
    """Sends a Date that differs from the exchange's time; that time stays as it is."""

    #: How many seconds it is ahead of the exchange's time, or any text; `None` leaves the header out.
    value: float | str | None = attrs.field(validator=checked(_check_date))

    def apply(self, plan: ResponsePlan) -> None:
        """Set the header."""
        plan.date = self.value


@attrs.frozen
class WrongClock(Fault):
    """Changes the exchange's clock for one call: for the check of its timestamp and for Date."""

    #: How many seconds it is ahead; less than 0 for behind.
    seconds: float = attrs.field(validator=checked(check_finite))

    def apply(self, plan: ResponsePlan) -> None:
        """Change the clock."""
        plan.clock_off += self.seconds


@attrs.frozen
class ExtraHeader(Fault):
    """Sends one more header, also if it is there already: a second Content-Length, a second Date."""

    #: Its name.
    name: str = attrs.field(validator=checked(check_header))
    #: Its value.
    value: str = attrs.field(validator=checked(check_header))

    def apply(self, plan: ResponsePlan) -> None:
        """Add the header."""
        plan.headers.append((self.name, self.value))


@attrs.frozen
class CloseIdle(Fault):
    """Responds, and then closes the connection unannounced; the next call may find it closed."""

    #: Seconds after the response.
    after: float = attrs.field(default=0.0, validator=checked(check_seconds))

    def apply(self, plan: ResponsePlan) -> None:
        """Set the end of the connection."""
        plan.ending = "close"
        plan.ends_after = self.after
