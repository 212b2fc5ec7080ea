"""What an error knows of its call, as the keywords that errors take."""

from datetime import datetime
from typing import TypedDict


class CallDetails(TypedDict, total=False):
    """What an error knows of its call. Each is an attribute of `OKXError`, `None` where it is not given."""

    endpoint: str | None
    trace_id: str | None
    attempts: int | None
    waited: float | None
    retry_after: float | None
    sent_at: datetime | None


class ErrorDetails(CallDetails, total=False):
    """What every error takes besides its message."""

    code: str | None
    status: int | None
    hint: str | None
    transient: bool
