"""Our client at work; see `benchmarks/clients.py` for its options and its report.

python client_mcpserve.py URL ERA WORK AT_ONCE JOINED SECONDS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from mcpserve.client import Client, Progress, Result
from mcpserve.protocol.types import Text

EVENTS = 10_000
WARM_SECONDS = 0.5

Work = Callable[[Client, int], Awaitable[int]]


def memory_kb() -> int:
    """The resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def call(client: Client, joined: int) -> int:
    """One call; how much was done."""
    result = await client.call_tool("echo", {"text": "hello, world"})
    content = result.content[0]
    assert isinstance(content, Text)
    assert content.text == "hello, world"
    return 1


async def stream(client: Client, joined: int) -> int:
    """One stream, to its end; how many events there were."""
    seen = []
    async for event in client.stream_tool("stream", {"events": EVENTS, "joined": joined}):
        if isinstance(event, Progress):
            seen.append(event.value)
    assert isinstance(event, Result)
    assert seen == list(range(1, EVENTS + 1)), f"{len(seen)} events"
    return EVENTS


async def work_for(client: Client, work: Work, at_once: int, joined: int, seconds: float) -> dict[str, float]:
    """Work for so many seconds; what was done, how long it took, and the CPU time."""
    began, used, done = time.perf_counter(), time.process_time(), 0

    async def one() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            more = await work(client, joined)  # not in one line: `done` would be read before
            done += more

    await gatherResults([Deferred.fromCoroutine(one()) for _ in range(at_once)], consumeErrors=True)
    return {"count": done, "elapsed": time.perf_counter() - began, "cpu": time.process_time() - used}


async def idle_memory(url: str, revision: str | None, count: int) -> dict[str, float]:
    """What each of many clients takes that have made one call."""
    clients = [await Client(url, revision=revision).open()]
    await call(clients[0], 0)
    before = memory_kb()
    for _ in range(count):
        clients.append(await Client(url, revision=revision).open())
        await call(clients[-1], 0)
    grown = memory_kb() - before
    for client in clients:
        await client.close()
    return {"count": count, "grown_kb": grown}


async def open_memory(url: str, revision: str | None, count: int) -> dict[str, float]:
    """What each of many open streams of one client takes whose first event has come."""
    async with Client(url, revision=revision) as client:
        await call(client, 0)
        before = memory_kb()
        streams = [client.stream_tool("hold") for _ in range(count)]
        await gatherResults([Deferred.fromCoroutine(one.__anext__()) for one in streams], consumeErrors=True)
        grown = memory_kb() - before
        for one in streams:
            one.cancel()
        return {"count": count, "grown_kb": grown}


async def main(reactor: Any, url: str, era: str, work: str, at_once: str, joined: str, seconds: str) -> None:
    """Do what is wanted and report."""
    revision = None if era == "modern" else "2025-11-25"
    if work in ("idle", "open"):
        report = await (idle_memory if work == "idle" else open_memory)(url, revision, int(at_once))
    else:
        do = call if work == "calls" else stream
        async with Client(url, revision=revision) as client:
            await work_for(client, do, int(at_once), int(joined), WARM_SECONDS)
            report = await work_for(client, do, int(at_once), int(joined), float(seconds))
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    react(main, sys.argv[1:])
