"""A pytest plugin that fails every test whose output holds a secret.

Secrets are what `Credentials` are made of, the emulator's made-up ones included, and every signature. Searched is what a
test printed, also in processes of its own, what was logged at any level, and each exception that was caught or made it
fail, warnings among them, with the locals of the frames that are not the test's. Eight characters in a row of a secret are a
leak of it; of a key, which may show its end, all of it.

Secrets stay known until the process ends, except those that Hypothesis draws: any text may be one, such as "Infinity", which
the next test may print. They are searched in what the test that drew them produced.

A test that shows secrets on purpose says so and why: ``@pytest.mark.shows_secrets("why")``. So does ``okx-sol emulator``,
which prints the keys that it has made up.
"""

from __future__ import annotations

import functools
import logging
import string
import subprocess
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import currently_in_test_context

import okx_sol_async
from okx_sol_async import Credentials
from okx_sol_async.signing import _signer as signing
from tests.support.forked import Piped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

PART: Final = 8
#: How many characters in a row of a part are looked for first.
HINT: Final = 6
#: What all passphrases begin with that the emulator makes up.
MADE_UP: Final = "Made-Up-"
#: A value that stands in the source of the package is no secret: a leak of it could not be seen.
WORDS: Final = "\n".join(path.read_text(encoding="utf-8") for path in Path(okx_sol_async.__file__).parent.rglob("*.py"))
TESTS: Final = str(Path(__file__).parents[1])
#: What logging says of each record: its message, which is searched for itself, and when and where it was made.
PLAIN: Final = frozenset(
    {
        *("msg", "args", "levelname", "levelno", "pathname", "filename", "module", "lineno", "funcName"),
        *("created", "msecs", "relativeCreated", "thread", "process"),
    }
)
#: How many characters of each local of a frame are searched.
LONGEST: Final = 20_000


class Secrets:
    """What must not be produced, and whether a text holds some of it."""

    def __init__(self) -> None:
        self.parts: set[str] = set()
        self.keys: set[str] = set()
        #: One of them stands at a multiple of three in each text that holds a part or a key, so most need no closer look.
        self.hints: set[str] = set()

    def learn(self, secret: str) -> None:
        """Take note of a secret."""
        self.parts |= _pieces(secret, PART)
        self.hints |= _pieces(secret, HINT)

    def learn_key(self, key: str) -> None:
        """Take note of a key, whose end may be shown."""
        self.keys.add(key)
        self.hints |= _pieces(key[:PART], HINT)

    def is_in(self, text: str) -> bool:
        """Return whether ``text`` holds a secret."""
        step = PART - HINT + 1
        if self.hints.isdisjoint([text[start : start + HINT] for start in range(0, len(text) - HINT + 1, step)]):
            return False
        return any(_could_be_secret(part) for part in self.parts & _pieces(text, PART)) or any(
            key in text and key not in WORDS for key in self.keys
        )


class Guard:
    """What one test produced, and the secrets that it must not hold."""

    def __init__(self) -> None:
        self.lasting = Secrets()
        self.drawn = Secrets()
        self.produced: list[tuple[str, str]] = []

    def learn(self, secret: object, *, drawn: bool = False) -> None:
        """Take note of a secret; if ``drawn``, until the test is over."""
        if isinstance(secret, str):
            (self.drawn if drawn else self.lasting).learn(secret.removeprefix(MADE_UP))

    def learn_key(self, key: object, *, drawn: bool = False) -> None:
        """Take note of a key, whose end may be shown; if ``drawn``, until the test is over."""
        if isinstance(key, str) and len(key) >= PART:
            (self.drawn if drawn else self.lasting).learn_key(key)

    def note(self, where: str, text: str) -> None:
        """Keep what was produced, to be searched when all secrets are known."""
        if text:
            self.produced.append((where, text))

    def leaks(self, more: Iterable[tuple[str, str]] = ()) -> list[str]:
        """Return where a secret was found."""
        produced = (*self.produced, *more)
        return sorted({where for where, text in produced if self.lasting.is_in(text) or self.drawn.is_in(text)})

    def forget(self) -> None:
        """Begin the next test. Secrets that were not drawn stay known: they belong to many tests."""
        self.produced.clear()
        self.drawn = Secrets()


#: What is learnt before a test begins, and in it.
GUARD: Final = Guard()


def _pieces(text: str, length: int) -> set[str]:
    return {text[start : start + length] for start in range(len(text) - length + 1)}


def _could_be_secret(part: str) -> bool:
    """Return whether a part is more than what stands in names, messages, numbers and addresses of memory too."""
    is_word = not part.strip(string.ascii_lowercase + "-_ ")
    # Of thousands of made-up secrets some have a part that is a number, and a log is full of numbers.
    is_number = not part.strip(string.digits + "abcdefx.-")
    return not is_word and not is_number and len(set(part)) >= PART // 2 and part not in WORDS


class _Listener(logging.Handler):
    """Hears every record that is made at all, whatever the level of other handlers is."""

    def emit(self, record: logging.LogRecord) -> None:
        details = "".join(f" {name}={value!r}" for name, value in vars(record).items() if name not in PLAIN)
        failure = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        GUARD.note(f"a record of the logger {record.name}", f"{record.getMessage()}{details}{failure}")


def _text_of(error: BaseException) -> str:
    """Return all that a tool may show of an exception; frames of the tests hold secrets by right."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    strangers = [frame for frame in frames if not frame.f_code.co_filename.startswith(TESTS)]
    shown = [f"{error} {error!r} {getattr(error, '__dict__', '')!r}"]
    shown += [_safe_repr(value) for frame in strangers for value in frame.f_locals.values()]
    return "\n".join(shown)


def _safe_repr(value: object) -> str:
    try:
        return repr(value)[:LONGEST]
    except Exception as error:  # noqa: BLE001 - a repr may fail in any way, and is none then
        return repr(error)


def _watch(owner: object, name: str, see: Callable[..., object]) -> None:
    """Let ``see`` have what a function returns, and its arguments."""
    wrapped = getattr(owner, name)

    @functools.wraps(wrapped)
    def seeing(*args: object, **kwargs: object) -> object:
        result = wrapped(*args, **kwargs)
        see(result, *args, **kwargs)
        return result

    setattr(owner, name, seeing)


def _new(
    kind: type[Credentials],
    api_key: object = None,
    secret_key: object = None,
    passphrase: object = None,
    *others: object,
    **named: object,
) -> Credentials:
    # Not in __init__: its frame is in the traceback when a value is refused.
    # The emulator draws nothing, also when an example starts it.
    drawn = currently_in_test_context() and not (isinstance(passphrase, str) and passphrase.startswith(MADE_UP))
    GUARD.learn_key(api_key, drawn=drawn)
    GUARD.learn(secret_key, drawn=drawn)
    GUARD.learn(passphrase, drawn=drawn)
    return object.__new__(kind)


def _see_output(where: str, output: Iterable[str | bytes | None]) -> None:
    for text in output:
        if text is not None:
            GUARD.note(where, text if isinstance(text, str) else text.decode(errors="replace"))


def _see_caught(_: object, caught: pytest.ExceptionInfo[BaseException], *__: object) -> None:
    GUARD.note(f"an exception: {caught.typename}", _text_of(caught.value))


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen."""
    config.addinivalue_line("markers", "shows_secrets(why): the test shows secrets on purpose")
    Credentials.__new__ = _new  # type: ignore[assignment, method-assign]
    _watch(signing, "sign", lambda signature, *_, **__: GUARD.learn(signature[:PART]))
    for processes in (subprocess.Popen, Piped):
        _watch(processes, "communicate", lambda output, *_, **__: _see_output("the output of a process", output))
    _watch(pytest.CaptureFixture, "readouterr", lambda output, *_: _see_output("what a test printed", output))
    _watch(pytest.ExceptionInfo, "fill_unfilled", _see_caught)
    logging.getLogger().addHandler(_Listener())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Exempt the blocks of the documents that run the command which prints its keys."""
    for item in items:
        if "$ okx-sol emulator" in str(getattr(getattr(item, "example", None), "parsed", "")):
            item.add_marker(pytest.mark.shows_secrets("the emulator prints the keys that it has made up"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Search all that the test produced, when it is over."""
    report: pytest.TestReport = yield
    if call.excinfo is not None and not report.skipped:
        GUARD.note("a failure", _text_of(call.excinfo.value))
    if call.when == "teardown":
        if item.get_closest_marker("shows_secrets") is None:
            leaks = GUARD.leaks((f"captured {name}", text) for name, text in report.sections)
            if leaks:
                report.outcome = "failed"
                report.sections.clear()
                report.longrepr = f"{item.nodeid} shows a secret in: {'; '.join(leaks)}"
        GUARD.forget()
    return report
