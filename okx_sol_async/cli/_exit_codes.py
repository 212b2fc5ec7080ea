"""The exit codes of the command line."""

from __future__ import annotations

from typing import Final

from okx_sol_async import errors

#: The exit code of each kind of error; 0 is success, and 2 is also the code of a mistyped command.
EXIT_CODES: Final[dict[type[errors.OKXError], int]] = {
    errors.ConfigurationError: 2,
    errors.AuthenticationError: 3,
    errors.PermissionDenied: 4,
    errors.ClockSkew: 5,
    errors.RateLimited: 6,
    errors.Unavailable: 7,
    errors.Rejected: 8,
    errors.Timeout: 9,
    errors.TransportError: 10,
    errors.DecodeError: 11,
    errors.OutcomeUnknown: 12,
    errors.QueueTimeout: 13,
    errors.SessionClosed: 14,
}
#: The output could not be written, or a question was not confirmed.
NOTHING_DONE: Final = 1
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
TERMINATED: Final = 143


def exit_code_of(error: errors.OKXError) -> int:
    """Return the exit code of the nearest kind of this error."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), NOTHING_DONE)
