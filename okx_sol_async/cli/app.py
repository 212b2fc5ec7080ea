"""The commands, and how one of them is run."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

from cyclopts import App, CycloptsError, UnusedCliTokensError

from okx_sol_async.cli.account import balance, product
from okx_sol_async.cli.apy import apy
from okx_sol_async.cli.arguments import summary_of
from okx_sol_async.cli.endings import (
    BROKEN_PIPE,
    EXIT_CODES,
    INTERRUPTED,
    NOTHING_DONE,
    TERMINATED,
    fail,
    terminated_like_interrupted,
    warnings_are_lines,
)
from okx_sol_async.cli.history import history
from okx_sol_async.cli.serving import emulator
from okx_sol_async.cli.watching import watch
from okx_sol_async.cli.writes import purchase, redeem
from okx_sol_async.errors import ConfigurationError, OKXError
from okx_sol_async.version import __version__

app = App(
    name="okx-sol",
    help=(
        "OKX's SOL staking in a terminal.\n\n"
        "Keys come from the environment: OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE, and OKX_USER_ID if several keys"
        " belong to one user. OKX_REGION, OKX_BASE_URL and OKX_DEMO are read where their options are not given, which"
        " follow the command: okx-sol balance --region eea."
    ),
    version=__version__,
    suppress_keyboard_interrupt=False,
)
_COMMANDS: Final = (balance, product, history, apy, watch, purchase, redeem, emulator)
for _command in _COMMANDS:
    app.command(_command)


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows ``okx-sol``; `None` takes them from the process.

    """
    if sys.stdout is None:
        return fail("there is no standard output to write to", None, NOTHING_DONE)
    words = sys.argv[1:] if arguments is None else arguments
    if (
        words
        and words[0].startswith("-")
        and words[0].strip("-")
        and words[0] not in (*app.help_flags, *app.version_flags)
    ):
        return _option_first(words)
    with terminated_like_interrupted() as was_terminated:
        code = _run(words)
    return TERMINATED if code == INTERRUPTED and was_terminated() else code


def _option_first(words: list[str]) -> int:
    option = words[0].partition("=")[0]
    command = next((word for word in words if word in {command.__name__ for command in _COMMANDS}), "COMMAND")
    return fail(
        f"{option} stands before the command",
        f"Options follow it: okx-sol {command} {option}",
        EXIT_CODES[ConfigurationError],
    )


def _run(words: list[str]) -> int:
    try:
        with warnings_are_lines():
            code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return fail(_mistyped(error), "okx-sol --help shows what there is.", EXIT_CODES[ConfigurationError])
    except OKXError as error:
        return fail(summary_of(error), error.hint, _exit_code(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except OSError as error:
        return _cannot_write(error)
    return code if type(code) is int else 0


def _mistyped(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"more than the command takes: {' '.join(error.unused_tokens)}"
    return f"{error}".strip()


def _exit_code(error: OKXError) -> int:
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), NOTHING_DONE)


def _cannot_write(error: OSError) -> int:
    if error.filename is None:
        # Python would try to write what is left of the output, and complain, when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has enough.
        return BROKEN_PIPE
    return fail(f"cannot write {error.filename or 'the output'}: {error.strerror or error}", None, NOTHING_DONE)
