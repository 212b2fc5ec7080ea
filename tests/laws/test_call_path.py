"""The way of a call through the package is the one that docs/design.md describes."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

import okx_sol_async
from okx_sol_async import Endpoint, Session, Signer, SolStaking
from okx_sol_async.emulator import Emulator
from okx_sol_async.emulator.faults import Refusal
from okx_sol_async.transport import _call as call
from tests.support.scripted import CREDENTIALS, READ, WRITE, Reply, Script, coded, good, reset, session_of

pytestmark = pytest.mark.virtual_clock

PACKAGE: Final = Path(okx_sol_async.__file__).parent
PAGE: Final = Path(__file__).parents[2] / "docs" / "design.md"
#: The functions of the steps, from top to bottom.
STEPS: Final = (
    ("staking/_client.py", "balance"),
    ("session.py", "call"),
    ("transport/_call.py", "run"),
    ("transport/_attempt.py", "send"),
    ("ratelimit/_bucket.py", "take"),
    ("signing/_signer.py", "__call__"),
    ("codec/_envelope.py", "read_envelope"),
    ("codec/_structure.py", "read_rows"),
)


@contextmanager
def entered_functions() -> Iterator[list[tuple[str, str]]]:
    """Collect the functions of the package that are entered, by module and name."""
    found: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            found.append((path.relative_to(PACKAGE).as_posix(), frame.f_code.co_name))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


def documented_modules() -> list[str]:
    """Return the modules in the table of the steps of a call, in order."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## The steps of a call")
    return re.findall(r"^\| `([\w/]+\.py)` \|", section.partition("\n## ")[0], re.MULTILINE)


async def test_a_balance_takes_the_steps_of_the_design(exchange: Emulator, session: Session) -> None:
    """One `await staking.balance()` enters the eight modules that the page names, in that order."""
    staking = SolStaking(exchange.credentials, session)
    await staking.balance()
    with entered_functions() as entered:
        await staking.balance()
    first = [entered.index(step) for step in STEPS]

    assert sorted(first) == first
    assert [module for module, _ in STEPS] == documented_modules()


@contextmanager
def counted_signatures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Patch `Signer.__call__`, and collect the paths of what it signs."""
    signed: list[str] = []
    sign = Signer.__call__

    async def count(signer: Signer, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        signed.append(request.url.path)
        return await sign(signer, request, handler)

    with monkeypatch.context() as patch:
        patch.setattr(Signer, "__call__", count)
        yield signed


REFUSED: Final = coded("50011", 429)


@pytest.mark.parametrize(
    ("endpoint", "replies"),
    [(READ, (good,)), (READ, (REFUSED, REFUSED, good)), (READ, (reset, reset, good)), (WRITE, (REFUSED, good))],
    ids=["once", "refused twice", "reset twice", "a write that is refused"],
)
async def test_a_patch_of_the_signer_sees_each_send(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint[object], replies: tuple[Reply, ...]
) -> None:
    """Whatever is sent again is signed again by `Signer.__call__`."""
    script = Script(*replies)
    with counted_signatures(monkeypatch) as signed:
        async with session_of(script) as session:
            await session.call(endpoint, CREDENTIALS)

    assert len(replies) == len(script.timestamps) == len(signed)


async def test_a_subclass_of_the_signer_signs_each_send(
    exchange: Emulator, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subclass in the place of the class that users get is what signs the calls of a session."""
    sends: list[ClientRequest] = []

    class CountingSigner(Signer):
        async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
            sends.append(request)
            return await super().__call__(request, handler)

    monkeypatch.setattr(call, "Signer", CountingSigner)
    exchange.fail_next(Refusal("50011"))
    await SolStaking(exchange.credentials, session).balance()

    assert 2 == len(sends) == exchange.tally().received
