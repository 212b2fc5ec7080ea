"""What every run of pytest needs, whichever tests and pages it runs."""

pytest_plugins = ("tests.support.running", "tests.support.documents", "tests.support.leak_guard")
