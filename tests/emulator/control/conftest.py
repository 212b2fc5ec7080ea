"""The test of the page is collected where there is a browser: .ci/run installs one."""

import importlib.util
import shutil

if shutil.which("chromium") is None or importlib.util.find_spec("playwright") is None:
    collect_ignore = ["test_page.py"]
