"""``okx-sol emulator``: a local exchange for other programs."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter

from okx_sol_async.cli.options import WholeNumber
from okx_sol_async.cli.render.output import write


async def emulator(
    *, port: WholeNumber = 0, demo: Annotated[bool, Parameter(negative=(), show_default=False)] = False
) -> None:
    """Serve a local exchange until Ctrl-C, and print the variables that point a bot to it.

    Args:
        port: the port on 127.0.0.1; 0 takes a free one.
        demo: give its user a key of demo trading.

    """
    # It brings an HTTP server along, which no other command needs.
    from okx_sol_async.cli.demo_exchange import new_emulator  # noqa: PLC0415

    async with new_emulator(port=port, demo=demo) as exchange:
        key = exchange.credentials
        settings = {
            "OKX_BASE_URL": exchange.url,
            "OKX_API_KEY": key.api_key,
            "OKX_SECRET_KEY": key.secret_key,
            "OKX_PASSPHRASE": key.passphrase,
            "OKX_USER_ID": key.user_id,
            "OKX_DEMO": "1" if demo else "0",
        }
        write("".join(f"export {name}={value}\n" for name, value in settings.items()))
        sys.stdout.flush()
        await asyncio.Event().wait()
