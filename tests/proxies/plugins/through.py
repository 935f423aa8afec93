"""Tools for a client behind a proxy: they stream, are silent, say who calls, and note in a file what befalls them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcpserve import Call, tool

notes = Path("/dev/null")


def configure(settings: Mapping[str, Any]) -> None:
    """Where to note."""
    global notes
    notes = Path(settings["notes"])


def note(what: str) -> None:
    """Note it."""
    with notes.open("a", encoding="utf-8") as file:
        file.write(what + "\n")


@tool
async def drip(call: Call, number: int = 5, interval: float = 0.3) -> str:
    """Report progress again and again."""
    for step in range(number):
        await call.progress(step, number, f"step {step}")
        await call.sleep(interval)
    return "dripped"


@tool
async def silent(call: Call, seconds: float) -> str:
    """Say nothing for long."""
    call.on_cancel(lambda: note("cancelled silent"))
    note("began silent")
    await call.sleep(seconds)
    return "awake"


@tool
async def endless(call: Call) -> str:
    """Report progress for ever."""
    call.on_cancel(lambda: note("cancelled endless"))
    note("began endless")
    while True:
        await call.progress(1)
        await call.sleep(0.1)


@tool
async def seen(call: Call, text: str = "") -> str:
    """Say where the call came from, and how much it brought."""
    return f"{call.caller.address} {len(text)}"
