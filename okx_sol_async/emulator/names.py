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
_failing: Final[dict[int, Callable[[], bool]]] = {}
_genuine: Callable[..., Any] = socket.getaddrinfo


def begin(port: int, fails: Callable[[], bool]) -> None:
    """Ask ``fails``, from now on, whether a look-up of this machine's name for this port finds nothing."""
    global _genuine
    with _lock:
        _failing[port] = fails
        if socket.getaddrinfo is not _look_up:
            _genuine, socket.getaddrinfo = socket.getaddrinfo, _look_up


def end(port: int) -> None:
    """Look the name up as ever."""
    with _lock:
        _failing.pop(port, None)
        # Who has put something of their own in its place since then takes it away first, or leaves it: it changes nothing.
        if not _failing and socket.getaddrinfo is _look_up:
            socket.getaddrinfo = _genuine


def _look_up(host: Any, port: Any, *how: Any, **more: Any) -> Any:  # noqa: ANN401 - as Python's
    fails = _failing.get(port) if host == NAME else None
    if fails is not None and fails():
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _genuine(host, port, *how, **more)
