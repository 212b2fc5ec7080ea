"""A wrong argument is named by the attribute ``argument``, and the message begins with that name."""

from collections.abc import Callable

import pytest

from okx_sol_async import (
    ConfigurationError,
    Credentials,
    LocalLimiter,
    PushBack,
    RateLimit,
    Scope,
    Session,
    SolStaking,
)
from okx_sol_async.emulator import Emulator

WRONG: list[tuple[str, Callable[[], object]]] = [
    ("region", lambda: Session(region="eea")),  # type: ignore[arg-type]
    ("base_url", lambda: Session(base_url="okx.example")),
    ("base_url", lambda: Session(base_url="http://okx.example")),
    ("base_url", lambda: Session(base_url="https://okx.example/api")),
    ("base_url", lambda: Session(base_url="https://user@okx.example")),
    ("base_url", lambda: Session(base_url="https://okx.example.")),
    ("http", lambda: Session(http=1)),  # type: ignore[arg-type]
    ("limiter", lambda: Session(limiter=1)),  # type: ignore[arg-type]
    ("middlewares", lambda: Session(middlewares=[1])),  # type: ignore[list-item]
    ("timeout", lambda: Session(timeout=0)),
    ("max_wait", lambda: Session(max_wait=-1)),
    ("attempts", lambda: Session(attempts=0)),
    ("observe", lambda: Session(observe=1)),  # type: ignore[arg-type]
    ("api_key", lambda: Credentials("", "secret", "words")),
    ("secret_key", lambda: Credentials("key", "sec ret", "words")),
    ("passphrase", lambda: Credentials("key", "secret", 1)),  # type: ignore[arg-type]
    ("user_id", lambda: Credentials("key", "secret", "words", "")),
    ("credentials", lambda: SolStaking("key")),  # type: ignore[arg-type]
    ("requests", lambda: RateLimit(0, 1.0, Scope.USER)),
    ("seconds", lambda: RateLimit(1, 0.0, Scope.USER)),
    ("scope", lambda: RateLimit(1, 1.0, "user")),  # type: ignore[arg-type]
    ("share", lambda: LocalLimiter(share=0)),
    ("step", lambda: PushBack(step=1)),
    ("port", lambda: Emulator(port=70_000)),
    ("latency", lambda: Emulator(latency=-1)),
]


@pytest.mark.parametrize(("argument", "make"), WRONG, ids=[argument for argument, _ in WRONG])
def test_a_wrong_argument_is_named(argument: str, make: Callable[[], object]) -> None:
    """`ConfigurationError.argument` is its name, and the message begins with it."""
    with pytest.raises(ConfigurationError, match=f"^{argument} ") as caught:
        make()

    assert argument == caught.value.argument
