"""The commands of ``okx-sol``, and how one of them is run."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from cyclopts import App, CycloptsError, UnusedCliTokensError

from okx_sol_async.cli._argument_names import summary_of
from okx_sol_async.cli._connection import ExchangeOptions
from okx_sol_async.cli._exit_codes import (
    BROKEN_PIPE,
    EXIT_CODES,
    INTERRUPTED,
    NOTHING_DONE,
    TERMINATED,
    exit_code_of,
)
from okx_sol_async.cli._options import Json
from okx_sol_async.cli._signals import signals_held, signals_wake_loop, sigterm_interrupts
from okx_sol_async.cli.render._messages import fail, log_on_stderr
from okx_sol_async.errors import ConfigurationError, OKXError
from okx_sol_async.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

app: App = App(
    name="okx-sol",
    help=(
        "OKX's SOL staking in a terminal.\n\n"
        "Keys come from the environment: OKX_API_KEY, OKX_SECRET_KEY, OKX_PASSPHRASE, and OKX_USER_ID if several keys"
        " belong to one user. OKX_REGION, OKX_BASE_URL and OKX_DEMO are read where their options are not given.\n\n"
        "For example:\n\n"
        "    okx-sol balance --emulator    without an account\n"
        "    okx-sol doctor                check the key and the connection\n"
        "    okx-sol history --help        the options of a command\n"
    ),
    # Rendering Markdown would cost a quarter of the start-up time.
    help_format="plaintext",
    version=__version__,
    suppress_keyboard_interrupt=False,
)


class _Command(NamedTuple):
    """A command. Its module is imported when it is run or its own help is shown."""

    module: str
    summary: str
    examples: tuple[str, ...]


_COMMANDS: Final = {
    "balance": _Command(
        "balance",
        "Show the staked OKSOL of the account, and its interest.",
        ("okx-sol balance", "okx-sol balance --emulator", "okx-sol balance --json"),
    ),
    "product": _Command(
        "product",
        "Show the terms: the annual rate, the minimum purchase, and how long a redemption takes.",
        ("okx-sol product", "okx-sol product --emulator --json"),
    ),
    "history": _Command(
        "history",
        "Show all purchases and redemptions, newest first.",
        (
            "okx-sol history --limit 10",
            "okx-sol history --type redeem --status pending",
            "okx-sol history --since 2026-01-01 --csv",
        ),
    ),
    "apy": _Command(
        "apy",
        "Show the annual percentage yield of the last days. No key is needed.",
        ("okx-sol apy", "okx-sol apy --days 365", "okx-sol apy --svg apy.svg"),
    ),
    "watch": _Command(
        "watch",
        "Show the balance and its interest as they change, until Ctrl-C.",
        ("okx-sol watch", "okx-sol watch --emulator", "okx-sol watch --every 10 --json"),
    ),
    "purchase": _Command(
        "write",
        "Stake SOL from the funding account, which becomes OKSOL. It shows what will happen, and asks.",
        ("okx-sol purchase 1.5", "okx-sol purchase 1.5 --yes --json"),
    ),
    "redeem": _Command(
        "write",
        "Turn OKSOL from the funding account back into SOL, which takes days. It shows what will happen, and asks.",
        ("okx-sol redeem 1.5", "okx-sol redeem 1.5 --yes --json"),
    ),
    "doctor": _Command(
        "doctor",
        "Check the connection, the clock, the key and what it may do, and show what to do. It only reads.\n\n"
        "The exit code is 0 if all is well, 1 if the worst finding is a warning, and else that of the first error:"
        " 2 for settings, 3 for the key, 4 for what it may not do, 5 for the clock, 6 for the rate limit, 7 for an"
        " exchange that is down, 8 for another refusal, 9 to 11 for the network.",
        ("okx-sol doctor", "okx-sol doctor --region eea", "okx-sol doctor --json"),
    ),
    "completion": _Command(
        "completion",
        "Print the script that completes commands and options in a shell, or install it.",
        ("okx-sol completion bash --install", "okx-sol completion zsh --install"),
    ),
    "emulator": _Command(
        "emulator",
        "Serve a local exchange until Ctrl-C, and print the variables that point a bot to it.",
        ("okx-sol emulator", "okx-sol emulator --port 8080"),
    ),
}
for _name, _command in _COMMANDS.items():
    _examples = "\n".join(f"    {example}" for example in _command.examples)
    app.command(
        f"okx_sol_async.cli.commands._{_command.module}:{_name}",
        name=_name,
        help=f"{_command.summary}\n\nFor example:\n\n{_examples}\n",
    )


@app.default
def _without_command(*, exchange: ExchangeOptions | None = None, json_: Json = False) -> None:
    """Show the help; options may stand before a command, so that shells complete them here too.

    Args:
        exchange: which exchange to ask.
        json_: print JSON, for programs; not every command does.

    """
    if exchange is not None or json_:
        message = "a command is missing"
        raise ConfigurationError(message, hint=_help_hint([]))
    app.help_print()


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what follows ``okx-sol``; `None` takes them from the process.

    """
    if sys.stdout is None:
        return fail("there is no standard output to write to", None, NOTHING_DONE)
    words = _command_first(sys.argv[1:] if arguments is None else arguments)
    with sigterm_interrupts() as was_terminated:
        code = _run(words)
    if code == INTERRUPTED and sys.stderr is not None and sys.stderr.isatty():
        # The terminal has shown ^C, and the prompt would follow it on the same line.
        sys.stderr.write("\n")
    return TERMINATED if code == INTERRUPTED and was_terminated() else code


def _command_first(words: list[str]) -> list[str]:
    """Return the words with the command before the options that were given before it."""
    if not words or not words[0].startswith("-") or words[0] in app.version_flags:
        return words
    at = next((at for at, word in enumerate(words) if word in _COMMANDS), None)
    return words if at is None else [words[at], *words[:at], *words[at + 1 :]]


def _run(words: list[str]) -> int:
    try:
        with log_on_stderr(), signals_held() as release:
            code = asyncio.run(_run_command(words, release))
        sys.stdout.flush()
    except CycloptsError as error:
        return fail(_mistyped(error, words), _help_hint(words), EXIT_CODES[ConfigurationError])
    except OKXError as error:
        return fail(summary_of(error), error.hint, exit_code_of(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except OSError as error:
        return _cannot_write(error)
    return code if type(code) is int else 0


async def _run_command(words: list[str], release_signals: Callable[[], None]) -> object:
    with signals_wake_loop():
        release_signals()
        return await app.run_async(
            words,
            # Only help is printed by cyclopts.
            console=_help_console() if _asks_for_help(words) else None,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )


def _asks_for_help(words: list[str]) -> bool:
    return not words or not {*words}.isdisjoint(app.help_flags)


def _help_console() -> Console:
    """Return a console that reports a broken pipe; rich would end the process by itself, with another exit code."""
    from rich.console import Console  # noqa: PLC0415 - only for help

    class HelpConsole(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise BrokenPipeError

    return HelpConsole()


def _mistyped(error: CycloptsError, words: list[str]) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        what = "unexpected argument" if words[0] in _COMMANDS else "unknown command"
        return f"{what}: {' '.join(error.unused_tokens)}"
    return f"{error}".strip()


def _help_hint(words: list[str]) -> str:
    if words and words[0] in _COMMANDS:
        return f"Type okx-sol {words[0]} --help for its options."
    similar = [name for word in words if not word.startswith("-") for name in get_close_matches(word, _COMMANDS, 1)]
    return f"Did you mean okx-sol {similar[0]}?" if similar else "Type okx-sol --help for the commands."


def _cannot_write(error: OSError) -> int:
    if error.filename is None:
        # Python would try to write the rest of the output when it exits, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    return fail(f"cannot write {error.filename or 'the output'}: {error.strerror or error}", None, NOTHING_DONE)
