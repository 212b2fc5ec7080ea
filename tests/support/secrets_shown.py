"""What tools may show of an object or an error, and the secrets that are found in it."""

import io
import traceback
from collections.abc import Mapping

from rich.console import Console
from rich.traceback import Traceback

from okx_sol_async import Credentials

CREDENTIALS = Credentials("8f1c2d3e-0000-4a5b-9c6d-7e8f90a1b2c3", "22582BD0CFF14C41EDBF1AB98506286D", 'Pass"phrase#1')


SECRETS = [CREDENTIALS.secret_key, CREDENTIALS.passphrase, CREDENTIALS.passphrase.replace('"', '\\"')]


# Any eight characters in a row of a secret count as a leak of it, in any spelling that is read as them.
PARTS = {secret[start : start + 8] for secret in SECRETS for start in range(len(secret) - 7)}


def leaked(text: str) -> set[str]:
    found = {part for part in PARTS if part in text}
    return found | ({CREDENTIALS.api_key} if CREDENTIALS.api_key in text else set())


def shown_by_rich(error: BaseException) -> str:
    """Return what rich prints of a traceback with its locals, which asks no attrs class for its repr."""
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True, max_frames=1000))
    return console.export_text()


def shown_by_sentry(error: BaseException) -> str:
    """Return what a service for crash reports is sent: the locals, and whatever is in those that are containers."""

    def unfold(value: object, depth: int) -> str:
        if depth and isinstance(value, Mapping):
            return " ".join(f"{unfold(key, depth - 1)}={unfold(item, depth - 1)}" for key, item in value.items())
        if depth and isinstance(value, list | tuple | set | frozenset):
            return " ".join(unfold(item, depth - 1) for item in value)
        return repr(value)

    below_the_test = error.__traceback__.tb_next if error.__traceback__ else None
    return "\n".join(unfold(frame.f_locals, 5) for frame, _ in traceback.walk_tb(below_the_test))


def shown_of(error: BaseException) -> str:
    """Return all that a tool may show of an error: its text, its chain, and the locals of each frame below the test."""
    shown = []
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None:
            continue
        below_the_test = one.__traceback__.tb_next if one is error and one.__traceback__ else one.__traceback__
        stack = traceback.StackSummary.extract(traceback.walk_tb(below_the_test), capture_locals=True)
        shown += [repr(one), str(one), repr(one.args), repr(vars(one)), *stack.format()]
        pending += [one.__cause__, one.__context__]
    return "\n".join(shown)
