"""No public object shows a secret, whatever it is turned into."""

import copy
import json
import pickle
from collections.abc import Callable

import aiohttp
import attrs
import pytest
from rich.pretty import pretty_repr

from okx_sol_async import BALANCE, CallReport, Credentials, LocalLimiter, OKXError, Session, Signer, SolStaking
from okx_sol_async.transport._call import Call
from tests.support.secrets_shown import CREDENTIALS, leaked

pytestmark = pytest.mark.virtual_clock


def test_tools_that_look_into_attrs_classes_see_no_secret() -> None:
    """Rich prints the fields of an attrs class, and pytest compares two of them field by field."""
    other = Credentials("other-key", "other-secret", "other-passphrase")
    signer = Signer(CREDENTIALS, "https://openapi.okx.com")
    with pytest.raises(AssertionError) as caught:
        assert CREDENTIALS == other

    assert set() == leaked(pretty_repr(CREDENTIALS) + pretty_repr(signer) + str(caught.value))


def of_attrs(value: object) -> str:
    return repr(attrs.asdict(value)) if attrs.has(type(value)) else ""


TURNED_INTO: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "format": "{0} {0!s} {0!a}".format,
    "vars": lambda value: vars(value) if hasattr(value, "__dict__") else "",
    "asdict": of_attrs,
    "asdict of settings": lambda value: attrs.asdict(attrs.make_class("Settings", ["inner"])(value)),
    "json": lambda value: json.dumps(value, default=of_attrs),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.dumps(value).decode("latin-1"),
    "rich": pretty_repr,
    "dir": lambda value: [
        getattr(value, name) for name in dir(value) if name not in {"api_key", "secret_key", "passphrase"}
    ],
}


@pytest.mark.parametrize("way", TURNED_INTO)
async def test_no_public_object_shows_a_secret(way: str) -> None:
    """Except where it is asked for one by name. What cannot be turned into something says why, without one."""
    session = Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter())
    report: list[CallReport] = []
    telling = Session(base_url="http://127.0.0.1:9", limiter=LocalLimiter(), attempts=1, observe=report.append)
    with pytest.raises(OKXError) as caught:
        await telling.call(BALANCE, CREDENTIALS)
    await telling.aclose()
    objects: list[object] = [
        CREDENTIALS,
        SolStaking(CREDENTIALS, session),
        Signer(CREDENTIALS, "https://openapi.okx.com"),
        session,
        session.bucket(BALANCE, CREDENTIALS),
        session._state,
        session._state.bucket_key(BALANCE, CREDENTIALS),
        session._state.limiter,
        Call(session._state, session._options, aiohttp.ClientSession(), BALANCE, CREDENTIALS),
        report[0],
        caught.value,
    ]
    shown = ""
    for value in objects:
        try:
            shown += repr(TURNED_INTO[way](value))
        except (TypeError, AttributeError, ValueError, pickle.PicklingError) as error:
            shown += repr(error)
    await objects[8].http.close()  # type: ignore[attr-defined]

    assert set() == leaked(shown)


def test_credentials_are_not_pickled() -> None:
    """A pickle is kept and sent without anybody thinking of what is in it."""
    with pytest.raises(TypeError, match=r"give the other process the three texts, or Credentials\.from_env"):
        pickle.dumps(CREDENTIALS)

    assert copy.deepcopy([CREDENTIALS])[0] is CREDENTIALS is copy.copy(CREDENTIALS)
