"""The name under which an exchange can be looked up, and look-ups that find nothing.

Python's own look-up of names is stood in for, in this process, for as long as an exchange asks for it. Every other name,
and the same name with another port, is looked up as ever.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, Final

#: The name of this machine.
NAME: Final = "localhost"
_lock: Final = threading.Lock()
# By port, whether the next look-up finds nothing.
_failing: Final[dict[str, Callable[[], bool]]] = {}


class _StandIn:
    """Stands in for what it has found in the place of Python's own: that, or what a test has put there."""

    #: In each thread, whether one of them has asked already: between two of them there may be what a test has put there.
    _asked: Final = threading.local()

    def __init__(self, behind: Callable[..., Any]) -> None:
        self.behind: Final = behind

    def __call__(self, host: Any, port: Any, *how: Any, **more: Any) -> Any:  # noqa: ANN401 - as Python's
        if getattr(self._asked, "now", False) or _takes_no_name(*how, **more):
            return self.behind(host, port, *how, **more)
        fails = _failing.get(_text(port)) if _text(host).lower() == NAME else None
        if fails is not None and fails():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self._asked.now = True
        try:
            return self.behind(host, port, *how, **more)
        finally:
            self._asked.now = False


def begin(port: int, fails: Callable[[], bool]) -> None:
    """Ask ``fails``, from now on, whether a look-up of this machine's name for this port finds nothing."""
    with _lock:
        _failing[_text(port)] = fails
        if not isinstance(socket.getaddrinfo, _StandIn):
            socket.getaddrinfo = _StandIn(socket.getaddrinfo)


def end(port: int) -> None:
    """Look the name up as ever."""
    with _lock:
        _failing.pop(_text(port), None)
        # Who has put something of their own in its place since then takes it away first, or leaves it: it changes nothing.
        while not _failing and isinstance(standing := socket.getaddrinfo, _StandIn):
            socket.getaddrinfo = standing.behind


def _takes_no_name(family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> bool:  # noqa: A002 - as Python's
    # trio asks so first, whether it is an address.
    del family, type, proto
    return bool(flags & socket.AI_NUMERICHOST)


def _text(value: object) -> str:
    # anyio and trio look names up as bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else f"{value}"
