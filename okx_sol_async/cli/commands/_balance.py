"""``okx-sol balance``: the staked OKSOL and its interest."""

from __future__ import annotations

from okx_sol_async.cli._connection import ExchangeOptions
from okx_sol_async.cli._options import Json
from okx_sol_async.cli.render._formatting import balance_fields, plain
from okx_sol_async.cli.render._output import print_fields, print_json
from okx_sol_async.cli.render._progress import waiting


async def balance(*, exchange: ExchangeOptions | None = None, json_: Json = False) -> None:
    """Show the OKSOL of the account, and its interest.

    Args:
        exchange: which exchange to ask.
        json_: print one JSON object, with exact decimal strings.

    """
    async with (exchange or ExchangeOptions()).connected() as connected:
        staking = connected.staking()
        with waiting(f"waiting for {connected.name}"):
            found = await staking.balance()
    if json_:
        print_json(plain(found))
    else:
        print_fields(balance_fields(found))
