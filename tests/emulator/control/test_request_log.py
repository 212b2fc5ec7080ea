"""The line that is written for each request."""

import json

from okx_sol_async.emulator import JournalEntry, RequestLog, faults


def entry(at: float, code: str = "0", *, status: int = 200, uid: str | None = "447") -> JournalEntry:
    injected = (faults.Reset(),) if status == 0 else ()
    return JournalEntry(uid, "GET /api/v5/x", at, status, code, "abc", injected, at=1_768_485_600.149)


def test_text() -> None:
    """A line has the time, user, endpoint, status, code, the calls of the last second, the trace id and faults."""
    lines: list[str] = []
    log = RequestLog(lines.append, "text")
    for one in (entry(1.0), entry(1.5, "50011", status=429), entry(2.0), entry(2.1, "", status=0, uid=None)):
        log.write_entry(one)

    assert [
        "2026-01-15T14:00:00.149+00:00 447 GET /api/v5/x 200 0 1/s abc\n",
        "2026-01-15T14:00:00.149+00:00 447 GET /api/v5/x 429 50011 2/s abc\n",
        "2026-01-15T14:00:00.149+00:00 447 GET /api/v5/x 200 0 2/s abc\n",
        "2026-01-15T14:00:00.149+00:00 - GET /api/v5/x 0 - 1/s abc Reset\n",
    ] == lines


def test_json() -> None:
    """As JSON, each line is an object."""
    lines: list[str] = []
    RequestLog(lines.append, "json").write_entry(entry(1.0))

    assert {
        "time": "2026-01-15T14:00:00.149+00:00",
        "user": "447",
        "method": "GET",
        "endpoint": "/api/v5/x",
        "status": 200,
        "code": "0",
        "in_last_second": 1,
        "trace_id": "abc",
        "faults": [],
    } == json.loads(lines[0])
