"""Tools that write down what befalls the calls that have a key, and when, in the file that CHAOS_RECORD names."""

from __future__ import annotations

import os
import time

from mcpserve import Call, tool

_RECORD = os.open(os.environ["CHAOS_RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _note(what: str, key: str) -> None:
    os.write(_RECORD, f"{what} {key} {time.time():.6f}\n".encode())


@tool(idempotent=True)
async def count(call: Call, key: str) -> str:
    """Report progress twice, then answer."""
    _note("executed", key)
    call.on_cancel(lambda: _note("cancelled", key))
    for step in (1, 2):
        await call.progress(step)
        await call.sleep(0.002)
    return f"counted {key}"


@tool
async def linger(call: Call, key: str) -> str:
    """Report progress twice, and never answer."""
    _note("executed", key)
    call.on_cancel(lambda: _note("cancelled", key))
    for step in (1, 2):
        await call.progress(step)
        await call.sleep(0.002)
    await call.sleep(3600)
    return "never"
