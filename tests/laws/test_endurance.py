import logging

import pytest

from okx_sol_async.signing import _signer as signing
from okx_sol_async.transport import _resend as resend
from tests.benchmarks import endurance
from tests.support.virtual_time import run_with_sockets


def test_hundreds_of_calls_with_faults_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No task, no timer, no more sockets than are kept alive, and not one block of memory for each."""
    # What the test suite keeps of logs and signatures would be memory.
    monkeypatch.setattr(signing, "sign", signing.sign.__wrapped__)  # type: ignore[attr-defined]
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    monkeypatch.setattr(resend, "FIRST_WAIT", 0.001)
    # A virtual clock, because on a busy machine a real one would end calls that were under way.
    before, after, outcomes = run_with_sockets(endurance.run_calls(600))

    assert {"answered", "TransportError", "CancelledError"} <= set(outcomes)
    assert 600 == sum(outcomes.values())
    assert before.tasks == after.tasks
    # That of the session, which ends what is on the wire for too long.
    assert after.timers <= before.timers + 1
    assert after.files <= before.files + endurance.AT_ONCE
    assert after.blocks - before.blocks < 600
