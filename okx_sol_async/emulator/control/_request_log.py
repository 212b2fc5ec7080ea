"""A line for each request, for people or for programs."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Final, Literal

from okx_sol_async.emulator.gateway._journal import JournalEntry

#: How lines are written.
LogFormat = Literal["text", "json"]

#: Seconds of which the calls are counted.
_WINDOW: Final = 1.0


class RequestLog:
    """Writes a line for each entry of the journal; pass `write_entry` to its listeners."""

    def __init__(self, write: Callable[[str], object], form: LogFormat) -> None:
        self._write = write
        self._form = form
        self._recent: defaultdict[tuple[str | None, str], deque[float]] = defaultdict(deque)

    def write_entry(self, entry: JournalEntry) -> None:
        """Write the line of one request."""
        recent = self._recent[entry.uid, entry.endpoint]
        recent.append(entry.arrived_at)
        while entry.arrived_at - recent[0] >= _WINDOW:
            recent.popleft()
        method, _, path = entry.endpoint.partition(" ")
        values: dict[str, object] = {
            "time": entry.received_at.isoformat(timespec="milliseconds"),
            "user": entry.uid,
            "method": method,
            "endpoint": path,
            "status": entry.status,
            "code": entry.code,
            "in_last_second": len(recent),
            "trace_id": entry.trace_id,
            "faults": [type(fault).__name__ for fault in entry.faults],
        }
        self._write(f"{json.dumps(values) if self._form == 'json' else _text(values)}\n")


def _text(values: dict[str, object]) -> str:
    faults = values["faults"]
    parts = [
        values["time"],
        values["user"] or "-",
        values["method"],
        values["endpoint"],
        values["status"],
        values["code"] or "-",
        f"{values['in_last_second']}/s",
        values["trace_id"],
        ",".join(faults) if isinstance(faults, list) else "",
    ]
    return " ".join(str(part) for part in parts).rstrip()
