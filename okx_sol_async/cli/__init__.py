"""The command line, ``okx-sol``.

Keys come from the environment only, because arguments show in the list of processes and in the history of the shell.
"""

from okx_sol_async.cli._app import app, run
from okx_sol_async.cli._exit_codes import EXIT_CODES

__all__ = ["EXIT_CODES", "app", "run"]
