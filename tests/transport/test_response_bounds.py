"""Where the reading of a response changes: statuses, lengths, and how far two clocks are apart."""

import json

import pytest

from okx_sol_async import (
    BALANCE,
    APIError,
    Balance,
    ClockSkew,
    DecodeError,
    OKXError,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async.transport._failures import FailureContext, of_exception
from okx_sol_async.transport._response import is_certain, outcome_of, safe_headers, trace_id_of
from tests.support.scripted import GOOD


def context(offset: float | None = None) -> FailureContext:
    return FailureContext(
        endpoint="GET /x",
        attempts=1,
        waited=0.0,
        credentials=None,
        signature="",
        clock_offset=offset,
        sent_at=None,
        foreign_code="a middleware",
    )


def outcome(
    status: int, body: bytes = GOOD, headers: dict[str, str] | None = None, offset: float | None = None
) -> Balance | OKXError:
    return outcome_of(BALANCE, status, headers or {}, body, lambda: context(offset))


def refusal(code: str, status: int = 200, offset: float | None = None) -> OKXError:
    found = outcome(status, json.dumps({"code": code, "msg": "no", "data": []}).encode(), offset=offset)
    assert isinstance(found, OKXError)
    return found


@pytest.mark.parametrize(("status", "good"), [(199, False), (200, True), (299, True), (300, False), (503, False)])
def test_which_statuses_have_a_result(status: int, good: bool) -> None:  # noqa: FBT001
    """Those of success, whatever the body says."""
    assert isinstance(outcome(status), Balance if good else APIError)
    assert isinstance(outcome(status, b"<html>"), DecodeError if good else APIError)


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0.0), ("30", 30.0), ("99999", 99999.0), ("100000", None), ("-1", None), ("٣", None)]
)
def test_the_seconds_that_a_proxy_asks_to_wait(value: str, seconds: float | None) -> None:
    """A whole number of at most five digits."""
    found = outcome(503, b"", {"retry-after": value})

    assert isinstance(found, Unavailable)
    assert seconds == found.retry_after


@pytest.mark.parametrize(
    ("offset", "words", "agree"),
    [
        (None, "is not known", False),
        (30.0, "30.0 s behind OKX's", True),
        (-30.0, "30.0 s ahead of OKX's", True),
        (30.5, "30.5 s behind OKX's", False),
        (0.5, "0.5 s behind OKX's", True),
        (0.0, "0.0 s ahead of OKX's", True),
    ],
)
def test_what_a_refused_timestamp_says_of_the_clock(offset: float | None, words: str, agree: bool) -> None:  # noqa: FBT001
    """By how much it is off, and whether that is why OKX refused."""
    found = refusal("50102", offset=offset)

    assert isinstance(found, ClockSkew)
    assert words in found.message
    assert agree == ("The clocks agree" in (found.hint or ""))


@pytest.mark.parametrize(
    ("code", "status", "certain"),
    [("51727", 200, True), ("51727", 408, True), ("50001", 503, False)],
)
def test_which_refusals_say_that_nothing_happened(code: str, status: int, certain: bool) -> None:  # noqa: FBT001
    """All with a code, but for an OKX that is not available."""
    assert certain == is_certain(refusal(code, status))


@pytest.mark.parametrize(("status", "certain"), [(400, True), (408, False), (429, False), (499, False), (403, True)])
def test_which_statuses_say_that_nothing_happened(status: int, certain: bool) -> None:  # noqa: FBT001
    """A proxy may have given up after it had forwarded the call."""
    found = outcome(status, b"<html>")
    assert isinstance(found, OKXError)

    assert certain == is_certain(found)


def test_what_an_error_quotes_is_short() -> None:
    """Of a page 64 characters, of a code 40, of a trace id 64."""
    page = outcome(200, b"<" + b"h" * 1000)
    coded = refusal("5" * 1000)

    assert isinstance(page, DecodeError)
    assert "'<" + "h" * 62 + "\\u2026'" in page.message
    assert isinstance(coded, APIError)
    assert "5" * 39 + "…" == coded.code
    assert "a" * 63 + "…" == trace_id_of({"x-trace-id": "a" * 1000}, context().redact)


def test_which_headers_are_shown() -> None:
    """All but cookies; the first id of those that OKX and others write."""
    headers = {"Date": "now", "Set-Cookie": "a=b", "traceid": "3", "x-request-id": "2"}

    assert {"Date", "traceid", "x-request-id"} == set(safe_headers(headers, context()))
    assert "2" == trace_id_of(headers, context().redact)
    assert trace_id_of({}, context().redact) is None


@pytest.mark.parametrize(
    ("error", "kind", "transient"), [(ValueError("x"), TransportError, False), (TimeoutError(), Timeout, True)]
)
def test_what_a_middleware_raises(error: Exception, kind: type[OKXError], transient: bool) -> None:  # noqa: FBT001
    """It is not the network's, so it is not tried again; but for a timeout of its own."""
    found = of_exception(error, context())

    assert (kind, transient) == (type(found), found.transient)
