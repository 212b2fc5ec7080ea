"""``okx-sol completion``: the completion script of a shell."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from cyclopts import Parameter

from okx_sol_async.cli._app import app
from okx_sol_async.cli.render._output import write

#: What cyclopts generates for options before the command, which it does not expect.
_CORRECTIONS: Final = {
    # Options after the command are those of the command.
    "zsh": {"_arguments -C ": '_arguments -C -A "-*" '},
    # The function of fish takes the value of an option for the command.
    "fish": {"-n __fish_use_subcommand": "-n __fish_okx-sol_using_command"},
}


def completion(
    shell: Literal["bash", "zsh", "fish"],
    *,
    install: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> None:
    """Print the script that completes commands and options in a shell, or install it.

    Args:
        shell: which shell.
        install: write the script to where the shell finds it, and load it in .bashrc or .zshrc; fish needs no more.

    """
    script = app.generate_completion(shell=shell).rstrip() + "\n"
    for generated, corrected in _CORRECTIONS.get(shell, {}).items():
        script = script.replace(generated, corrected)
    if not install:
        write(script)
        return
    path = app.install_completion(shell=shell)
    path.write_text(script, encoding="utf-8")
    write(f"installed in {path}\nStart a new shell to use it.\n")
