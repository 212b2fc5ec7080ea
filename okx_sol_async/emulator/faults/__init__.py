"""What can go wrong with a call, as values for `Emulator.fail_next` and `Emulator.fail_sometimes`.

There are three kinds. Some replace the exchange's response; with ``processed=False``, the default, the exchange does
not do what the call asked for, and with ``processed=True`` it does, and only its response is lost. Others let the
exchange respond, and change how the response arrives; several of these two kinds may apply to one call. The third kind
applies to the TLS handshake of a new connection, and is used alone.

Each of them raises `ConfigurationError` for a wrong value. Times are seconds.
"""

from okx_sol_async.emulator.faults._base import Fault
from okx_sol_async.emulator.faults._disturbances import (
    CloseIdle,
    DateHeader,
    Delay,
    ExtraHeader,
    HoldResponse,
    SlowResponse,
    TruncateResponse,
    WrongClock,
)
from okx_sol_async.emulator.faults._handshakes import BrokenHandshake, WrongCertificate
from okx_sol_async.emulator.faults._replacements import (
    Body,
    CloseConnection,
    GzipBomb,
    HugeBody,
    NoResponse,
    Page,
    Redirect,
    Refusal,
    Reset,
    StaleConnection,
)

__all__ = [
    "Body",
    "BrokenHandshake",
    "CloseConnection",
    "CloseIdle",
    "DateHeader",
    "Delay",
    "ExtraHeader",
    "Fault",
    "GzipBomb",
    "HoldResponse",
    "HugeBody",
    "NoResponse",
    "Page",
    "Redirect",
    "Refusal",
    "Reset",
    "SlowResponse",
    "StaleConnection",
    "TruncateResponse",
    "WrongCertificate",
    "WrongClock",
]
