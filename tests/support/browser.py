"""A chromium for the tests of pages: Debian's, or the one that playwright has installed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Where playwright puts the browsers that it installs.
_INSTALLED = Path.home() / ".cache" / "ms-playwright"


def has_browser() -> bool:
    """Whether there is a chromium, and playwright to drive it."""
    has_chromium = shutil.which("chromium") is not None or any(_INSTALLED.glob("chromium-*"))
    return has_chromium and importlib.util.find_spec("playwright") is not None


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a chromium without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not every machine has it

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        yield running
        running.close()
