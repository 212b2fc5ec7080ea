"""``okx-sol purchase`` and ``okx-sol redeem``: they say what will happen, ask, and tell what became of it."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

from okx_sol_async.cli.arguments import summary_of
from okx_sol_async.cli.endings import EXIT_CODES, INTERRUPTED, NOTHING_DONE, fail, say
from okx_sol_async.cli.exchange import Connection, Exchange
from okx_sol_async.cli.forms import minute, number, percent, plain
from okx_sol_async.cli.options import Json
from okx_sol_async.cli.output import print_json, write
from okx_sol_async.errors import ConfigurationError, OKXError, OutcomeUnknown
from okx_sol_async.models import Order, OrderType, ProductInfo
from okx_sol_async.staking.arguments import checked_amount
from okx_sol_async.staking.client import SolStaking

Yes: TypeAlias = Annotated[bool, Parameter(name=("--yes", "-y"), negative=(), show_default=False)]

#: What is given, by what is done.
_CURRENCY: Final = {OrderType.PURCHASE: "SOL", OrderType.REDEEM: "OKSOL"}
_SEE_HISTORY: Final = "Look into okx-sol history before you do it again."


async def purchase(amt: str, *, yes: Yes = False, exchange: Exchange | None = None, json_: Json = False) -> int:
    """Stake SOL of the funding account, which becomes OKSOL. It says what will happen, and asks.

    Args:
        amt: how much, in SOL, such as 1.5.
        yes: do not ask; for scripts.
        exchange: which exchange to ask.
        json_: print one JSON object about what became of it.

    """
    return await _write(OrderType.PURCHASE, amt, exchange or Exchange(), yes=yes, json_=json_)


async def redeem(amt: str, *, yes: Yes = False, exchange: Exchange | None = None, json_: Json = False) -> int:
    """Turn OKSOL of the funding account back into SOL, which takes days. It says what will happen, and asks.

    Args:
        amt: how much, in OKSOL, such as 1.5.
        yes: do not ask; for scripts.
        exchange: which exchange to ask.
        json_: print one JSON object about what became of it.

    """
    return await _write(OrderType.REDEEM, amt, exchange or Exchange(), yes=yes, json_=json_)


async def _write(kind: OrderType, text: str, exchange: Exchange, *, yes: bool, json_: bool) -> int:
    amt = _amount(text)
    if not yes:
        _check_that_somebody_is_there()
    async with exchange.connected() as connection:
        staking = connection.staking()
        if not yes:
            say(*_plan(kind, amt, connection, await staking.product_info()))
            if not _agreed():
                say("nothing was sent")
                return NOTHING_DONE
        return await _send(kind, amt, staking, json_=json_)


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        message = f"the amount must be a number such as 1.5, not {text[:40]!r}"
        raise ConfigurationError(message, argument="amt")
    return checked_amount(text)


def _check_that_somebody_is_there() -> None:
    for stream in (sys.stdin, sys.stderr):
        if stream is None or not stream.isatty():
            message = "there is no terminal to ask in, and nothing was sent"
            raise ConfigurationError(message, hint="With --yes it is done without a question.")


def _plan(kind: OrderType, amt: Decimal, connection: Connection, product: ProductInfo) -> Iterator[str]:
    """Say what will happen."""
    if kind == OrderType.PURCHASE:
        yield f"purchase  {number(amt)} SOL, which becomes OKSOL"
        yield f"rate      {percent(product.rate)} a year at present; the least purchase is {number(product.min_amt)} SOL"
    else:
        done = connection.now() + timedelta(days=product.redempt_days)
        yield f"redeem    {number(amt)} OKSOL, which becomes SOL"
        yield f"done      in about {product.redempt_days} days, {minute(done)}"
        yield f"fast      {number(product.fast_redemption_avail)} OKSOL can be redeemed fast today, if OKX does so"
    yield f"account   {connection.account}"
    yield f"at        {connection.name}"


def _agreed() -> bool:
    """Ask, and return whether the answer is yes."""
    with _ctrl_c_interrupts():
        try:
            sys.stderr.write("Go ahead? [y/N] ")
            sys.stderr.flush()
            answer = sys.stdin.readline()
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            raise
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().lower() in {"y", "yes"}


@contextmanager
def _ctrl_c_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the waiting for a line; asyncio would only note it, and go on waiting."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # It has been noted a moment before.
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _send(kind: OrderType, amt: Decimal, staking: SolStaking, *, json_: bool) -> int:
    send = staking.purchase if kind == OrderType.PURCHASE else staking.redeem
    try:
        await send(amt)
    except OutcomeUnknown as error:
        return await _look_up(kind, amt, error, json_=json_)
    except asyncio.CancelledError:
        message = f"interrupted while the {_noun(kind)} was on its way: it may have happened"
        return fail(message, _SEE_HISTORY, EXIT_CODES[OutcomeUnknown])
    if json_:
        print_json({"type": str(kind), "amt": number(amt), "outcome": "taken", "order": None})
    else:
        write(f"taken: {_noun(kind)} of {number(amt)} {_CURRENCY[kind]}\n")
    return 0


async def _look_up(kind: OrderType, amt: Decimal, error: OutcomeUnknown, *, json_: bool) -> int:
    """Say that the outcome is unknown, look it up, and say what was found."""
    code = fail(
        summary_of(error),
        "It may have happened. Looking it up in the history, which may take 40 s …",
        EXIT_CODES[OutcomeUnknown],
    )
    order: Order | None = None
    outcome = "unknown"
    try:
        order = await error.resolve()
    except OKXError as problem:
        say(f"okx-sol: the history cannot be read: {summary_of(problem)}", _SEE_HISTORY)
    except asyncio.CancelledError:
        say("okx-sol: interrupted before it was found", _SEE_HISTORY)
        code = INTERRUPTED
    else:
        outcome = "not found" if order is None else "found"
        say(f"okx-sol: {_finding(kind, order)}")
    if json_:
        found = None if order is None else plain(order)
        print_json({"type": str(kind), "amt": number(amt), "outcome": outcome, "order": found})
    return code


def _finding(kind: OrderType, order: Order | None) -> str:
    if order is None:
        return f"the history shows no such {_noun(kind)}: it is most likely that it did not happen"
    return (
        f"the history shows it: {_noun(kind)} of {number(order.amt)} {_CURRENCY[kind]},"
        f" {minute(order.request_time)}, {order.status}"
    )


def _noun(kind: OrderType) -> str:
    return "purchase" if kind == OrderType.PURCHASE else "redemption"
