"""The ratio that `cpu` prints, elsewhere: many calls at once, other interpreters and loops, TLS, an observer, many users.

Each is measured in a process of its own. Other interpreters are looked for on the PATH and among those of pyenv, and get
the package installed by uv into a folder that is removed again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import trustme

from tests.benchmarks.cpu import ratio
from tests.benchmarks.report import Line, Note
from tests.benchmarks.rounds import BY_HAND, OURS, Rounds, Setting
from tests.benchmarks.server import ROOT

GOAL: Final = 1.05
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
USERS: Final = 1_000


def run() -> Iterator[Line]:
    """Measure one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        yield _ratio("50 calls at once", Setting(block=50, at_once=50))
        for version in PYTHONS:
            python = _with_the_package(version, Path(folder, version))
            if python is None:
                yield Note(f"Python {version} is not on this machine, or uv is not")
            else:
                yield _ratio(f"Python {version}", Setting(), python)
        yield _ratio("uvloop on both sides", Setting(uvloop=True))
        trusted, certificate = _certificates(Path(folder))
        # aiohttp reads it when it is imported.
        yield _ratio("TLS on both sides", Setting(certificate=certificate), environment={"SSL_CERT_FILE": trusted})
        yield _ratio("with an observer", Setting(observed=True))
        measured = _measure(Setting(calls=USERS, sets=1), sys.executable, {})
        yield ratio("elsewhere", f"x by hand, {USERS:,} users in turn", measured, GOAL)
        ours, by_hand = (1e6 / measured.us(kind) for kind in (OURS, BY_HAND))
        yield Note(f"one core sustains {ours:,.0f} calls a second, and {by_hand:,.0f} by hand")


def _ratio(
    what: str, setting: Setting, python: str = sys.executable, environment: Mapping[str, str] | None = None
) -> Line:
    return ratio("elsewhere", f"x by hand, {what}", _measure(setting, python, environment or {}), GOAL)


def _measure(setting: Setting, python: str, environment: Mapping[str, str]) -> Rounds:
    command = [python, "-m", "tests.benchmarks.rounds", json.dumps(attrs.asdict(setting))]
    output = subprocess.run(  # noqa: S603 - our own code
        command, cwd=ROOT, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return Rounds(json.loads(output))


def _with_the_package(version: str, folder: Path) -> str | None:
    """Return the interpreter of an environment with the package, made if it is not this one; `None` if it cannot be."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    uv, python = shutil.which("uv"), _find(version)
    if uv is None or python is None:
        return None
    made = str(folder / "bin" / "python")
    subprocess.run([uv, "venv", "-q", folder, "--python", python], check=True)  # noqa: S603 - as above
    subprocess.run([uv, "pip", "install", "-q", "--python", made, "-e", ROOT], check=True)  # noqa: S603 - as above
    return made


def _find(version: str) -> str | None:
    """Return an interpreter that is on the PATH, or that pyenv has installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for candidate in (f"python{version}", *pyenv.glob(f"{version}.*/bin/python")):
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True)  # noqa: S603 - as above
        except (OSError, subprocess.CalledProcessError):
            continue
        return str(candidate)
    return None


def _certificates(folder: Path) -> tuple[str, str]:
    """Write a certificate authority, and the certificate of a server with its key; return the files."""
    authority = trustme.CA()
    trusted, certificate = folder / "authority.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(trusted))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return str(trusted), str(certificate)
