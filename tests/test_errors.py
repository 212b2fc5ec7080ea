import json
import pickle
import re
from pathlib import Path

import pytest

from okx_sol_async import errors
from okx_sol_async._error_codes import CODES, api_error, one_line
from okx_sol_async.errors import (
    APIError,
    ConfigurationError,
    OKXError,
    RateLimited,
    Rejected,
    Timeout,
    Unavailable,
)

TABLE = json.loads((Path(__file__).parent / "data" / "okx-errors.json").read_text())
CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OKXError)]


@pytest.mark.parametrize("row", [row for row in TABLE if row["code"]], ids=lambda row: f"{row['code']}-{row['http']}")
def test_each_code_of_okx_has_its_class(row: dict) -> None:
    """The class of an error goes by OKX's code, whatever the status it comes with."""
    error = api_error(status=row["http"], code=row["code"], msg=row["message"])

    assert row["exception"] == type(error).__name__
    assert row["code"] == error.code
    assert row["http"] == error.status


def test_the_table_knows_no_code_that_okx_does_not() -> None:
    """A mistyped code would never be met."""
    assert set(CODES) <= {row["code"] for row in TABLE}


@pytest.mark.parametrize("code", [code for code, rule in CODES.items() if rule.exception is not Rejected])
def test_every_code_that_is_not_plain_says_what_to_do(code: str) -> None:
    """A person can act on it."""
    assert CODES[code].hint


def test_the_page_on_errors_shows_the_table() -> None:
    """Each code with its class and its hint, once, and no other; codes that mean the same are in one row."""
    page = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| ([`\d ]+) \| `(\w+)` \| (.+) \|$", page.partition("## Error codes")[2], re.MULTILINE)
    shown = [(code, kind, hint) for codes, kind, hint in rows for code in re.findall(r"\d+", codes)]

    assert sorted((code, rule.exception.__name__, rule.hint) for code, rule in CODES.items()) == sorted(shown)


def test_the_page_on_errors_shows_the_tree() -> None:
    """Each class, below the one that it derives from."""
    page = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
    tree = page.partition("```text\n")[2].partition("```")[0]
    parents: dict[int, str] = {}
    shown = set()
    for line in tree.splitlines():
        branch, name = re.match(r"([│├└─ ]*)(\w+)", line).groups()  # type: ignore[union-attr]
        depth = len(branch) // 4
        parents[depth] = name
        shown.add(name)
        kind = getattr(errors, name)
        assert depth == 0 or getattr(errors, parents[depth - 1]) in kind.__bases__

    assert {kind.__name__ for kind in CLASSES} == shown


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("50119", ["global", "us", "eea", "OKX_REGION", "https://us.okx.com", "https://eea.okx.com"]),
        ("50102", ["clock"]),
        ("50105", ["passphrase"]),
        ("50113", ["secret key", "OKX_SECRET_KEY"]),
        ("50110", ["IP"]),
        ("50101", ["OKX_DEMO=1", "live"]),
    ],
)
def test_hints_name_what_to_check(code: str, words: list[str]) -> None:
    """The hint of a common mistake names the setting to look at."""
    hint = api_error(status=401, code=code).hint

    assert hint is not None
    assert [] == [word for word in words if word not in hint]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, RateLimited), (500, Unavailable), (502, Unavailable), (525, Unavailable), (302, Rejected), (403, Rejected)],
)
def test_without_an_envelope_the_status_decides(status: int, expected: type[APIError]) -> None:
    """A page of the network in front of OKX has no code."""
    error = api_error(status=status)

    assert expected is type(error)
    assert error.code is None
    assert status == error.status


def test_unknown_codes_are_tolerated() -> None:
    """A new code is `Rejected`, or `Unavailable` if the status says that the server failed."""
    assert Rejected is type(api_error(status=200, code="59999"))
    assert Unavailable is type(api_error(status=503, code="59999"))


def test_a_sub_code_goes_by_its_code() -> None:
    """OKX writes ``50011_1`` for a kind of ``50011``, and the caller sees it whole."""
    error = api_error(status=200, code="50011_1")

    assert RateLimited is type(error)
    assert "50011_1" == error.code


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_has_every_attribute(kind: type[OKXError]) -> None:
    """All of them can be read where the root is caught."""
    error = kind("it broke")

    assert isinstance(error, OKXError)
    assert "it broke" == str(error) == error.message
    assert (None,) * 5 == (error.code, error.status, error.endpoint, error.trace_id, error.hint)
    assert isinstance(error, OSError) == issubclass(kind, Timeout)


def test_the_text_of_an_error_is_complete_and_one_line() -> None:
    """What, where and what to do, for a log."""
    error = APIError("no", code="1", status=200, endpoint="GET /x", trace_id="t", hint="Do this.")

    assert "no (code 1, HTTP 200, GET /x, trace t). Do this." == str(error)


def test_errors_are_also_what_python_programmers_catch() -> None:
    """A bad argument is a `ValueError` and a timeout a `TimeoutError`."""
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(Timeout, TimeoutError)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling(kind: type[OKXError]) -> None:
    """A process pool hands them over whole."""
    error = kind("it broke", code="1", status=200, endpoint="GET /x", trace_id="t", hint="Do this.")

    assert str(error) == str(pickle.loads(pickle.dumps(error)))  # noqa: S301


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\r\nb\tc", "a b c"), ("x" * 300, "x" * 199 + "…"), ("\x1b[31mred", "[31mred"), ("服务", "服务"), ("", "")],
)
def test_what_a_server_says_fits_on_one_line(text: str, expected: str) -> None:
    """A message of the server cannot write into a terminal or a log as it likes."""
    assert expected == one_line(text)
