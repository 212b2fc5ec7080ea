"""TLS for the exchange, and the handshakes that go wrong."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from okx_sol_async.emulator.faults._base import Fault
from okx_sol_async.emulator.faults._handshakes import BrokenHandshake, WrongCertificate


def with_faults(context: ssl.SSLContext, draw: Callable[[], Fault | None]) -> ssl.SSLContext:
    """Return a context that shows the certificate of ``context``, unless ``draw`` returns a fault for a handshake.

    ``context`` itself stays as it is, so several exchanges can use it.
    """

    def show(hello: ssl.SSLObject, name: str | None, _listening: ssl.SSLContext) -> int | None:
        del name
        fault = draw()
        if isinstance(fault, BrokenHandshake):
            return ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        hello.context = fault.context if isinstance(fault, WrongCertificate) else context
        return None

    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    listening.sni_callback = show
    return listening
