"""What ``okx-sol`` and ``python -m okx_sol_async`` start."""

import sys

from okx_sol_async.version import __version__


def main() -> None:
    """Run the command line, or say what it needs."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        # The command line itself would cost as much time again.
        sys.stdout.write(f"{__version__}\n")
        return
    try:
        from okx_sol_async.cli import run  # noqa: PLC0415 - what it imports is an extra
    except ModuleNotFoundError as error:
        if error.name not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write("okx-sol: the command line is an extra\nInstall it: pip install 'okx-sol-async[cli]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run())


if __name__ == "__main__":
    main()
