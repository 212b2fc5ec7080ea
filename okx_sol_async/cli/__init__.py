"""The command line, ``okx-sol``.

Keys come from the environment only, because arguments show in the list of processes and in the history of the shell.
"""
