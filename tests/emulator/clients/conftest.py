"""Clients of which not every machine has the packages: .ci/run installs them."""

import importlib.util
import os
import shutil
import subprocess

_NEEDED = {"test_ccxt.py": "ccxt", "test_pybotters.py": "pybotters"}
collect_ignore = [file for file, package in _NEEDED.items() if importlib.util.find_spec(package) is None]


def _node_has_the_packages() -> bool:
    """Whether node is found, and the packages below NODE_PATH."""
    node = shutil.which("node")
    if node is None or "NODE_PATH" not in os.environ:
        return False
    script = "require.resolve('okx-api'); require.resolve('ccxt')"
    return subprocess.run([node, "-e", script], check=False, capture_output=True).returncode == 0  # noqa: S603 - ours


if not _node_has_the_packages():
    collect_ignore.append("test_node.py")
