"""What all faults have in common."""

from __future__ import annotations

from typing import ClassVar, Literal

from okx_sol_async.emulator.faults._plan import ResponsePlan

#: What a fault applies to: a call, or the TLS handshake of a new connection.
FaultTarget = Literal["call", "handshake"]


class Fault:
    """Something that goes wrong with a call, or with the handshake before it."""

    #: What it applies to.
    target: ClassVar[FaultTarget] = "call"

    def apply(self, plan: ResponsePlan) -> None:
        """Change how a call is handled, before the exchange sees it."""
        raise NotImplementedError

    def matches(self, *, kept_alive: bool) -> bool:
        """Return whether it can apply to a call on a connection that has, or has not, carried one before."""
        del kept_alive
        return True
