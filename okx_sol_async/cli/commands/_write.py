"""``okx-sol purchase`` and ``okx-sol redeem``, which ask before they send."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

from okx_sol_async.cli._argument_names import summary_of
from okx_sol_async.cli._connection import ConnectedExchange, ExchangeOptions
from okx_sol_async.cli._exit_codes import EXIT_CODES, INTERRUPTED, NOTHING_DONE
from okx_sol_async.cli._options import Json
from okx_sol_async.cli._question import ask
from okx_sol_async.cli.render._formatting import CURRENCY, minute, number, percent, plain
from okx_sol_async.cli.render._messages import fail, say, warn
from okx_sol_async.cli.render._output import print_json, write
from okx_sol_async.cli.render._progress import waiting
from okx_sol_async.errors import ConfigurationError, OKXError, OutcomeUnknown
from okx_sol_async.models import Order, OrderType, ProductInfo
from okx_sol_async.staking._arguments import checked_amount
from okx_sol_async.staking._client import SolStaking
from okx_sol_async.staking._receipts import Receipt

Yes: TypeAlias = Annotated[bool, Parameter(name=("--yes", "-y"), negative=(), show_default=False)]

#: Seconds to wait for the history to show the order that OKX has accepted.
ORDER_WAIT: Final = 5.0
_SEE_HISTORY: Final = "Check okx-sol history before you do it again."


async def purchase(amt: str, *, yes: Yes = False, exchange: ExchangeOptions | None = None, json_: Json = False) -> int:
    """Stake SOL from the funding account, which becomes OKSOL. It shows what will happen, and asks.

    Args:
        amt: the amount in SOL, such as 1.5.
        yes: don't ask; for scripts.
        exchange: which exchange to ask.
        json_: print one JSON object with the outcome.

    """
    return await _write(OrderType.PURCHASE, amt, exchange or ExchangeOptions(), yes=yes, json_=json_)


async def redeem(amt: str, *, yes: Yes = False, exchange: ExchangeOptions | None = None, json_: Json = False) -> int:
    """Turn OKSOL from the funding account back into SOL, which takes days. It shows what will happen, and asks.

    Args:
        amt: the amount in OKSOL, such as 1.5.
        yes: don't ask; for scripts.
        exchange: which exchange to ask.
        json_: print one JSON object with the outcome.

    """
    return await _write(OrderType.REDEEM, amt, exchange or ExchangeOptions(), yes=yes, json_=json_)


async def _write(kind: OrderType, text: str, exchange: ExchangeOptions, *, yes: bool, json_: bool) -> int:
    amt = _amount(text)
    if not yes:
        _check_terminal()
    async with exchange.connected() as connected:
        staking = connected.staking()
        if not yes:
            with waiting(f"waiting for {connected.name}"):
                product = await staking.product_info()
            say(*_plan(kind, amt, connected, product))
            if (await ask("Go ahead? [y/N] ")).strip().lower() not in {"y", "yes"}:
                say("nothing was sent")
                return NOTHING_DONE
        return await _send(kind, amt, staking, json_=json_)


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        message = f"the amount must be a number such as 1.5, not {text[:40]!r}"
        raise ConfigurationError(message, argument="amt")
    return checked_amount(text)


def _check_terminal() -> None:
    """Check that there is a terminal to ask in."""
    for stream in (sys.stdin, sys.stderr):
        if stream is None or not stream.isatty():
            message = "there is no terminal to ask in, and nothing was sent"
            raise ConfigurationError(message, hint="With --yes it does not ask.")


def _plan(kind: OrderType, amt: Decimal, connected: ConnectedExchange, product: ProductInfo) -> Iterator[str]:
    """Give the lines that show what will happen."""
    if kind == OrderType.PURCHASE:
        yield f"purchase  {number(amt)} SOL, which becomes OKSOL"
        yield f"rate      {percent(product.rate)} a year at present; the minimum purchase is {number(product.min_amt)} SOL"
    else:
        done = connected.now() + timedelta(days=product.redempt_days)
        yield f"redeem    {number(amt)} OKSOL, which becomes SOL"
        yield f"done      in about {product.redempt_days} days, {minute(done)}"
        yield f"fast      {number(product.fast_redemption_avail)} OKSOL can be redeemed fast today, if OKX does so"
    yield f"account   {connected.account}"
    yield f"at        {connected.name}"


async def _send(kind: OrderType, amt: Decimal, staking: SolStaking, *, json_: bool) -> int:
    send = staking.purchase if kind == OrderType.PURCHASE else staking.redeem
    try:
        with waiting(f"sending the {_noun(kind)}"):
            receipt = await send(amt)
    except OutcomeUnknown as error:
        return await _look_up(kind, amt, error, json_=json_)
    except asyncio.CancelledError:
        if not [write async for write in staking.unresolved()]:
            return fail(f"interrupted before the {_noun(kind)} was sent", "Nothing happened.", INTERRUPTED)
        message = f"interrupted while the {_noun(kind)} was in flight: it may have happened"
        return fail(message, _SEE_HISTORY, EXIT_CODES[OutcomeUnknown])
    await _show(receipt, json_=json_)
    return 0


async def _show(receipt: Receipt, *, json_: bool) -> None:
    """Show what OKX has accepted, and its order as soon as the history has it."""
    kind, amt = receipt.type, number(receipt.amt)
    if not json_:
        write(f"accepted: {_noun(kind)} of {amt} {CURRENCY[kind]}\n")
    order: Order | None = None
    try:
        with waiting("looking up the order"):
            order = await receipt.order(ORDER_WAIT)
    except (OKXError, asyncio.CancelledError):
        # It is accepted all the same.
        pass
    if json_:
        found = None if order is None else plain(order)
        details = {"type": str(kind), "amt": amt, "outcome": "accepted", "trace_id": receipt.trace_id, "order": found}
        print_json(details)
        return
    status = "not in the history yet" if order is None else f"{order.status}, {minute(order.request_time)}"
    write(f"order     {status}\n")
    if receipt.trace_id is not None:
        write(f"trace     {receipt.trace_id}\n")


async def _look_up(kind: OrderType, amt: Decimal, error: OutcomeUnknown, *, json_: bool) -> int:
    """Report that the outcome is unknown, look it up, and report what was found."""
    code = fail(
        summary_of(error),
        "It may have happened. Looking it up in the history, which may take 40 s …",
        EXIT_CODES[OutcomeUnknown],
    )
    order: Order | None = None
    outcome, trace_id = "unknown", error.trace_id
    try:
        with waiting("looking it up in the history"):
            order = await error.resolve()
    except OKXError as problem:
        fail(f"the history cannot be read: {summary_of(problem)}", _SEE_HISTORY, code)
    except asyncio.CancelledError:
        code = fail("interrupted before it was found", _SEE_HISTORY, INTERRUPTED)
    else:
        outcome = "not found" if order is None else "found"
        warn(_finding(kind, order))
    if json_:
        found = None if order is None else plain(order)
        details = {"type": str(kind), "amt": number(amt), "outcome": outcome, "trace_id": trace_id, "order": found}
        print_json(details)
    return code


def _finding(kind: OrderType, order: Order | None) -> str:
    if order is None:
        return f"the history shows no such {_noun(kind)}: it most likely did not happen"
    return (
        f"the history shows it: {_noun(kind)} of {number(order.amt)} {CURRENCY[kind]},"
        f" {minute(order.request_time)}, {order.status}"
    )


def _noun(kind: OrderType) -> str:
    return "purchase" if kind == OrderType.PURCHASE else "redemption"
