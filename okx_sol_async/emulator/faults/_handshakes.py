"""Faults of the TLS handshake of a new connection."""

from __future__ import annotations

import ssl
from typing import ClassVar

import attrs

from okx_sol_async.emulator._arguments import wrong
from okx_sol_async.emulator.faults._base import Fault, FaultTarget


class HandshakeFault(Fault):
    """Applies to the handshake of a new connection to an exchange over TLS."""

    target: ClassVar[FaultTarget] = "handshake"


@attrs.frozen
class WrongCertificate(HandshakeFault):
    """Shows another certificate: an expired one, one for another host, or one of an authority that clients don't trust."""

    #: A context for servers with that certificate; trustme makes such.
    context: ssl.SSLContext = attrs.field()

    @context.validator
    def _check(self, _field: object, context: object) -> None:
        if not isinstance(context, ssl.SSLContext):
            raise wrong(context, "context", "an ssl.SSLContext")


@attrs.frozen
class BrokenHandshake(HandshakeFault):
    """Ends the connection in the middle of the handshake."""
