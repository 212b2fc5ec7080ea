"""The test of the page is collected where there is a browser: .ci/run installs one."""

from tests.support.browser import has_browser

if not has_browser():
    collect_ignore = ["test_page.py"]
