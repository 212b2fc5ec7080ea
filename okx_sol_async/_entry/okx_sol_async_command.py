"""What the script ``okx-sol`` starts.

It stands beside the package, because importing a part of that imports all of it, which takes a while: the version
is printed without it, and Ctrl-C is quiet from the first moment on.
"""

# Nothing else is imported before Ctrl-C is quiet.
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, or say what it needs."""
    catches_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if catches_ctrl_c:
        # The default of the operating system ends the process without a word; that of Python prints a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        sys.stdout.write(f"{_version()}\n")
        return
    code = _run(catches_ctrl_c=catches_ctrl_c)
    if catches_ctrl_c:
        # Python ends its threads, and writes what is left of the output.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _version() -> str:
    from importlib.machinery import PathFinder, SourceFileLoader  # noqa: PLC0415 - see above
    from types import ModuleType  # noqa: PLC0415 - see above

    package = PathFinder.find_spec("okx_sol_async")
    assert package is not None  # noqa: S101 - this is installed with it
    assert package.submodule_search_locations  # noqa: S101 - as above
    module = ModuleType("version")
    SourceFileLoader(module.__name__, f"{package.submodule_search_locations[0]}/version.py").exec_module(module)
    return str(module.__version__)


def _run(*, catches_ctrl_c: bool) -> int:
    try:
        from okx_sol_async.cli._app import run  # noqa: PLC0415 - what it imports is an extra
    except ModuleNotFoundError as error:
        if error.name not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write("okx-sol: the command line is an extra\nInstall it: pip install 'okx-sol-async[cli]'\n")
        return 2
    try:
        if catches_ctrl_c:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    main()
