"""The guard that watches every test of this suite does find what leaks."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAKING = """
import logging, subprocess, sys, warnings
import pytest
from hypothesis import given, settings, strategies
from okx_sol_async import (Credentials, OKXError, sign)

KEYS = Credentials("an-api-key-of-a-test-0000", "7D3A9C55E0B14F6688AA0123", "Correct-Horse#7")

def test_prints():
    print("once", KEYS.passphrase)

def test_prints_a_part_to_stderr():
    print(KEYS.secret_key[5:13], file=sys.stderr)

def test_prints_and_reads_it(capsys):
    print(KEYS.passphrase)
    capsys.readouterr()

def test_logs_below_every_level():
    logging.getLogger("aiohttp.client").debug("headers: %s", {"x": KEYS.passphrase})

def test_logs_beside_the_message():
    logging.getLogger("okx_sol_async").warning("no", extra={"headers": KEYS.secret_key})

def test_warns():
    warnings.warn(KEYS.passphrase)

def test_tells_the_whole_key():
    print(KEYS.api_key)

def test_prints_in_a_process():
    subprocess.run([sys.executable, "-c", f"print({KEYS.passphrase!r})"], capture_output=True, check=True)

def test_raises_and_catches():
    with pytest.raises(OKXError):
        raise OKXError("refused " + KEYS.passphrase)

def test_fails():
    pytest.fail("no " + KEYS.passphrase)

def test_prints_a_signature():
    print(Signer_of(KEYS))

def Signer_of(keys):
    from okx_sol_async.signing import _signer as signing
    return signing.sign("2020-12-08T09:08:57.715Z", "GET", "/", "", keys.secret_key)

@settings(database=None, deadline=None, max_examples=1)
@given(strategies.just("Infinity"))
def test_prints_what_was_drawn(secret):
    print(Credentials("an-api-key-of-a-test-0001", secret, "Correct-Horse#7").secret_key)

MADE_UP = []

@settings(database=None, deadline=None, max_examples=1)
@given(strategies.just("Made-Up-0A9B8C7D6E5F"))
def test_prints_what_an_example_made_up(passphrase):
    MADE_UP.append(Credentials("an-api-key-of-a-test-0002", "1B2C3D4E5F60718293A4B5C6", passphrase))
    print(passphrase)

def test_prints_it_later():
    print(MADE_UP[0].secret_key)

@pytest.fixture
def late():
    yield
    print(KEYS.passphrase)

def test_prints_when_it_is_over(late):
    pass
"""
CLEAN = """
import pytest
from okx_sol_async import Credentials

KEYS = Credentials("an-api-key-of-a-test-0000", "7D3A9C55E0B14F6688AA0123", "Correct-Horse#7")

def test_shows_what_may_be_shown():
    print(KEYS, KEYS.api_key[-4:], KEYS.passphrase[:7])

@pytest.mark.shows_secrets("to see that it may")
def test_says_so():
    print(KEYS.passphrase)

def test_comes_after_one_that_leaks():
    pass

def test_shows_a_word_that_another_test_drew():
    print("Infinity")
"""


SETTINGS = "[pytest]\nasyncio_default_fixture_loop_scope = function\nlog_level = DEBUG\nfilterwarnings = error\n"


def test_each_test_that_leaks_fails_and_no_other(tmp_path: Path) -> None:
    """What it says then names the place. The last four characters of a key may be shown, and what a test says it shows."""
    for name, text in (("pytest.ini", SETTINGS), ("test_a_leaking.py", LEAKING), ("test_clean.py", CLEAN)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.support.leak_guard",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--tb=line",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    seen_text = set(re.findall(r"^(\S+)::(\w+) shows a secret in: (?:\w|[:, ])+", done.stdout, re.MULTILINE))
    names = re.findall(r"def (test_\w+)", LEAKING)
    assert {("test_a_leaking.py", name) for name in names} == seen_text
    assert "test_clean.py" not in done.stdout
