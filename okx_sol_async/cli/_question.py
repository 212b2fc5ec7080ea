"""A question to the person at the terminal."""

from __future__ import annotations

import asyncio
import os
import sys


async def ask(question: str) -> str:
    """Write a question to stderr, and return the line that is typed in reply; what is typed at its end for Ctrl-D."""
    sys.stderr.write(question)
    sys.stderr.flush()
    reply = await _typed_line(sys.stdin.fileno())
    if not reply.endswith("\n"):
        sys.stderr.write("\n")
    return reply


async def _typed_line(terminal: int) -> str:
    """Read a line while the event loop runs, so that Ctrl-C interrupts it; a blocked `readline` may miss the signal."""
    loop = asyncio.get_running_loop()
    typed = b""
    while not typed.endswith(b"\n"):
        is_readable = asyncio.Event()
        loop.add_reader(terminal, is_readable.set)
        try:
            await is_readable.wait()
        finally:
            loop.remove_reader(terminal)
        more = os.read(terminal, 1024)
        if not more:
            break
        typed += more
    return typed.decode(errors="replace")
