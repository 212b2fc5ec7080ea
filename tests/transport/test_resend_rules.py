"""The rules by which a call is sent again, as a table."""

from __future__ import annotations

import itertools

import pytest

from okx_sol_async import (
    ClockSkew,
    ConfigurationError,
    DecodeError,
    OKXError,
    QueueTimeout,
    RateLimited,
    Rejected,
    SessionClosed,
    Timeout,
    TransportError,
    Unavailable,
)
from okx_sol_async.transport._resend import FailureKind, Step, decide, kind_of, longest_wait

#: Failure, whether it is of a read, what left, the number of such failures: what follows with three attempts.
TABLE = """
refused    read   leased      1    resend first in queue
refused    read   leased      9    resend first in queue
refused    read   leased     10    raise
refused    read   unleased    1    raise
refused    write  leased      1    resend first in queue
refused    write  leased     10    raise
refused    write  unleased    1    raise
clock      read   leased      1    synchronize the clock, then resend
clock      read   leased      2    synchronize the clock, then resend
clock      read   leased      3    raise
clock      read   unleased    1    raise
clock      write  leased      1    synchronize the clock, then resend
clock      write  leased      3    raise
temporary  read   leased      1    wait, then resend
temporary  read   leased      2    wait, then resend
temporary  read   leased      3    raise
temporary  read   unleased    1    raise
temporary  write  leased      1    raise
temporary  write  unleased    1    raise
final      read   leased      1    raise
final      write  leased      1    raise
"""
ROWS = [line.split(maxsplit=4) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:4]))
def test_the_table_of_resends(row: list[str]) -> None:
    """What follows a failure depends on its kind, on read or write, on what left, and on how many there were."""
    kind, endpoint, sent, failures, step = row

    found = decide(
        FailureKind(kind), is_read=endpoint == "read", leased=sent == "leased", failures=int(failures), attempts=3
    )

    assert Step(step) is found, f"\n{TABLE}"


def test_a_write_is_resent_only_after_a_certain_refusal() -> None:
    """Whatever else is true of a failed write, it is not sent again."""
    certain = {FailureKind.REFUSED, FailureKind.CLOCK}
    for kind, leased, failures in itertools.product(FailureKind, (True, False), range(1, 20)):
        step = decide(kind, is_read=False, leased=leased, failures=failures, attempts=100)
        assert step is Step.RAISE or (kind in certain and leased)


@pytest.mark.parametrize(
    ("failure", "read", "write"),
    [
        (RateLimited("no", code="50011"), FailureKind.REFUSED, FailureKind.REFUSED),
        (RateLimited("no", code="50011_1000"), FailureKind.REFUSED, FailureKind.REFUSED),
        (RateLimited("no", status=429), FailureKind.REFUSED, FailureKind.FINAL),
        (RateLimited("no", code="50061"), FailureKind.FINAL, FailureKind.FINAL),
        (ClockSkew("no", code="50102"), FailureKind.CLOCK, FailureKind.CLOCK),
        (TransportError("no"), FailureKind.TEMPORARY, FailureKind.TEMPORARY),
        (TransportError("a wrong certificate", transient=False), FailureKind.FINAL, FailureKind.FINAL),
        (Timeout("no"), FailureKind.TEMPORARY, FailureKind.TEMPORARY),
        (QueueTimeout("no turn"), FailureKind.FINAL, FailureKind.FINAL),
        (Unavailable("no"), FailureKind.TEMPORARY, FailureKind.TEMPORARY),
        (DecodeError("a broken row"), FailureKind.FINAL, FailureKind.FINAL),
        (DecodeError("a login page", transient=True), FailureKind.TEMPORARY, FailureKind.TEMPORARY),
        (Rejected("no"), FailureKind.FINAL, FailureKind.FINAL),
        (SessionClosed("closed"), FailureKind.FINAL, FailureKind.FINAL),
        (ConfigurationError("wrong"), FailureKind.FINAL, FailureKind.FINAL),
        (KeyboardInterrupt(), FailureKind.FINAL, FailureKind.FINAL),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_kind_of_a_failure(failure: OKXError, read: FailureKind, write: FailureKind) -> None:
    """A bare 429 says of a read that it was not processed, and nothing of a write; a full queue is not retried."""
    assert read is kind_of(failure, is_read=True, clock_is_known=False)
    assert write is kind_of(failure, is_read=False, clock_is_known=False)


def test_a_timestamp_by_okxs_own_clock_is_not_corrected_again() -> None:
    """Once OKX was asked for its time, a further refusal is final."""
    assert FailureKind.FINAL is kind_of(ClockSkew("no"), is_read=True, clock_is_known=True)


def test_waits_double_up_to_ten_seconds() -> None:
    """The longest wait before each resend, in seconds."""
    assert [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == [longest_wait(failures) for failures in range(1, 8)]
