"""Many users at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import islice
from typing import Final

from okx_sol_async._checks import whole_number, wrong_type
from okx_sol_async.errors import OKXError
from okx_sol_async.models import Balance
from okx_sol_async.session import Session
from okx_sol_async.signing._credentials import Credentials
from okx_sol_async.staking._arguments import checked_session
from okx_sol_async.staking._endpoints import BALANCE

#: The most calls that may be under way at a time.
MAX_CONCURRENCY: Final = 10_000


def balances(
    session: Session, credentials: Iterable[Credentials], *, concurrency: int = 100
) -> AsyncGenerator[tuple[Credentials, Balance | OKXError], None]:
    """Give the balance of each of many users, as the responses come.

    Use it as ``async for user, found in balances(session, users)``.
    The failure of one user does not hide the others: it is given in the place of the balance.
    No more than ``concurrency`` calls and responses are held at a time, and no more of ``credentials`` is read than that,
    so the memory does not grow with the number of users. While the reader is busy, no further calls are made.
    Leaving the loop, or cancelling it, cancels the calls that are under way.
    They are made with ``background=True``: each waits behind every other call of its user.

    Args:
        session: the session to call through.
        credentials: the users; a generator will do. One that is in there twice is given twice.
        concurrency: how many calls are under way at a time. More than the session has connections, 256 for one of its
            own, are of no use.

    Raises:
        ConfigurationError: an argument is of another kind, or ``concurrency`` is not a whole number from 1 to 10,000;
            raised at once.

    See `SolStaking.balance` for the endpoint and the errors.
    """
    if not isinstance(credentials, Iterable):
        raise wrong_type(credentials, "credentials", "an iterable of Credentials")
    width = whole_number("concurrency", concurrency, MAX_CONCURRENCY)
    return _as_they_come(checked_session(session).with_options(background=True), iter(credentials), width)


async def _as_they_come(
    session: Session, users: Iterator[Credentials], concurrency: int
) -> AsyncGenerator[tuple[Credentials, Balance | OKXError], None]:
    # Calls that are in flight, and those whose result was not yielded yet.
    asked: set[asyncio.Task[tuple[Credentials, Balance | OKXError]]] = set()
    ended: asyncio.Queue[asyncio.Task[tuple[Credentials, Balance | OKXError]]] = asyncio.Queue()
    try:
        while True:
            for user in islice(users, concurrency - len(asked)):
                task = asyncio.create_task(_ask(session, user))
                asked.add(task)
                task.add_done_callback(ended.put_nowait)
            if not asked:
                return
            task = await ended.get()
            asked.remove(task)
            yield task.result()
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _ask(session: Session, user: Credentials) -> tuple[Credentials, Balance | OKXError]:
    if not isinstance(user, Credentials):
        return user, wrong_type(user, "credentials", "Credentials")
    try:
        return user, await session.call(BALANCE, user)
    except OKXError as error:
        return user, error
