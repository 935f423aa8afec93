"""The well-behaved client: it calls at a steady pace, whatever goes on, and writes down how each call went.

    python -m tests.abuse.witness HOST PORT FILE

A line a call: when it began (seconds of the monotonic clock of the machine), how long it took, and 1 if it was answered
right. Every tenth call comes on a new connection. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TextIO

from tests.abuse.wire import Target, Wire, call, connect

PACE = 0.02
PATIENCE = 5.0
FRESH = 10
WORD = b"still here"
CALL = call("echo", {"text": WORD.decode()})


async def answered(wire: Wire) -> bool:
    """Make one call; whether its answer came, and was right."""
    if not await wire.send(CALL):
        return False
    end, found = time.monotonic() + PATIENCE, b""
    while WORD not in found:
        data = await wire.receive(end - time.monotonic())
        if not data:
            return False
        found += data
    return found.startswith(b"HTTP/1.1 200 ")


async def witness(target: Target, notes: TextIO, over: asyncio.Event) -> None:
    """Call until all is over."""
    kept: Wire | None = None
    turn = 0
    while not over.is_set():
        began = time.monotonic()
        turn += 1
        if turn % FRESH == 0 and kept is not None:
            kept.close()
            kept = None
        kept = kept or await connect(target)
        good = kept is not None and await answered(kept)
        took = time.monotonic() - began
        notes.write(f"{began} {took} {int(good)}\n")
        notes.flush()
        if not good and kept is not None:
            kept.close()
            kept = None
        await asyncio.sleep(max(0.0, PACE - took))


async def main(target: Target, file: Path) -> None:
    """Be a witness until standard input ends."""
    with file.open("w") as notes:
        over = asyncio.Event()
        work = asyncio.ensure_future(witness(target, notes, over))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        over.set()
        await work


if __name__ == "__main__":
    asyncio.run(main(Target(sys.argv[1], int(sys.argv[2])), Path(sys.argv[3])))
