"""Lets a test see from outside what is left of a call that ended: tools that look at the process they run in."""

from __future__ import annotations

from typing import Any

import psutil
from twisted.internet import reactor as installed_reactor

from mcpserve import Stream, tool

reactor: Any = installed_reactor
loops: list[Any] = []


@tool
def watched(stream: Stream, interval: float = 0.02) -> None:
    """Take over the response and tick in it until the client goes away."""
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        stream.progress(count)

    loops.append(stream.every(interval, tick, now=True))


@tool
def leftovers() -> dict[str, int]:
    """Count the loops of `watched` that still run, the reactor's delayed calls and the bytes that the process holds."""
    loops[:] = [loop for loop in loops if loop.running]
    return {
        "loops": len(loops),
        "delayed_calls": len(reactor.getDelayedCalls()),
        "memory": psutil.Process().memory_info().rss,
    }
