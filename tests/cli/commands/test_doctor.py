"""``okx-sol doctor``."""

import json

import pytest

from okx_sol_async.cli._app import run
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Refusal
from tests.support.terminals import set_of, terminal


def test_each_finding_is_a_line_with_what_to_do(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """The emulator's key is not bound to an address, which is a warning: exit code 1."""
    assert 1 == run(["doctor"])

    printed = capsys.readouterr().out
    names = [line.split()[1] for line in printed.splitlines() if line[0] != " "]
    assert [
        "connection",
        "clock",
        "maintenance",
        "key",
        "region",
        "mode",
        "permissions",
        "ip",
        "account",
        "limit",
        "funding",
    ] == names
    assert "Bind the key to this machine's IP address" in printed
    key = as_user.credentials
    assert not [secret for secret in (key.api_key, key.secret_key, key.passphrase) if secret in printed]


def test_the_findings_in_json(as_user: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the worst level and every finding."""
    assert 1 == run(["doctor", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert "warning" == found["worst"]
    assert {"name", "level", "message", "advice", "code"} == set(found["findings"][0])
    assert 11 == len(found["findings"])


@pytest.mark.parametrize(
    ("variable", "value", "code", "words"),
    [
        ("OKX_API_KEY", "", 2, "--emulator"),
        ("OKX_API_KEY", "with space", 2, "OKX_API_KEY has a space"),
        ("OKX_SECRET_KEY", "wrong-secret", 3, "OKX_SECRET_KEY"),
        ("OKX_DEMO", "1", 3, "OKX_DEMO"),
        ("OKX_BASE_URL", "http://127.0.0.1:9", 10, "OKX_BASE_URL"),
    ],
)
def test_the_exit_code_is_that_of_the_worst_finding(
    as_user: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    code: int,
    words: str,
) -> None:
    """What is wrong is shown among the findings, and nothing on stderr."""
    monkeypatch.setenv(variable, value)

    assert code == run(["doctor"])

    output = capsys.readouterr()
    assert words in output.out
    assert "" == output.err


def test_a_bound_key_is_healthy(as_user: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 0."""
    key = as_user.user.add_key(ips=["127.0.0.1"])
    monkeypatch.setenv("OKX_API_KEY", key.api_key)
    monkeypatch.setenv("OKX_SECRET_KEY", key.secret_key)
    monkeypatch.setenv("OKX_PASSPHRASE", key.passphrase)

    assert 0 == run(["doctor"])


def test_the_findings_in_a_terminal_without_unicode(as_user: Emulator) -> None:
    """The marks are words then, and lines are wrapped."""
    as_user.fail_next(Refusal("50113"), times=None, endpoint="GET /api/v5/account/config")
    with terminal("doctor", columns=70, PYTHONIOENCODING="ascii:replace", PYTHONUTF8="0", **set_of(as_user)) as shown:
        assert 3 == shown.end()

    assert "FAIL" in shown.text
    assert "✗" not in shown.text
    assert max(map(len, shown.text.splitlines())) <= 70
