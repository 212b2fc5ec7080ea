"""``okx-sol completion``: the completion script of a shell."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from okx_sol_async.cli.app import app
from okx_sol_async.cli.render.output import write


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
    if not install:
        write(f"{app.generate_completion(shell=shell).rstrip()}\n")
        return
    path = app.install_completion(shell=shell)
    write(f"installed in {path}\nStart a new shell to use it.\n")
