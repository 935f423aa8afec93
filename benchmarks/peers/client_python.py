"""The official Python client (PyPI `mcp`) at work; see `benchmarks/clients.py` for its options and its report.

python client_python.py URL ERA WORK AT_ONCE JOINED SECONDS
"""

# mypy: ignore-errors
# It runs in an environment of its own; its packages are not here.

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack

import uvloop
from mcp import Client

EVENTS = 10_000
WARM_SECONDS = 0.5


def memory_kb():
    """The resident memory of this process."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


async def call(client, joined):
    """One call; how much was done."""
    result = await client.call_tool("echo", {"text": "hello, world"})
    assert result.content[0].text == "hello, world"
    return 1


async def stream(client, joined):
    """One stream, to its end; how many events there were."""
    seen = []

    async def progress(value, total, message):
        seen.append(value)

    await client.call_tool("stream", {"events": EVENTS, "joined": joined}, progress_callback=progress)
    assert seen == list(range(1, EVENTS + 1)), f"{len(seen)} events"
    return EVENTS


async def work_for(client, work, at_once, joined, seconds):
    """Work for so many seconds; what was done, how long it took, and the CPU time."""
    began, used, done = time.perf_counter(), time.process_time(), 0

    async def one():
        nonlocal done
        while time.perf_counter() - began < seconds:
            more = await work(client, joined)  # not in one line: `done` would be read before
            done += more

    await asyncio.gather(*(one() for _ in range(at_once)))
    return {"count": done, "elapsed": time.perf_counter() - began, "cpu": time.process_time() - used}


async def idle_memory(url, mode, count):
    """What each of many clients takes that have made one call."""
    async with AsyncExitStack() as stack:
        await call(await stack.enter_async_context(Client(url, mode=mode)), 0)
        before = memory_kb()
        for _ in range(count):
            await call(await stack.enter_async_context(Client(url, mode=mode)), 0)
        return {"count": count, "grown_kb": memory_kb() - before}


async def open_memory(url, mode, count):
    """What each of many open streams of one client takes whose first event has come."""
    async with Client(url, mode=mode) as client:
        await call(client, 0)
        before, opened, all_open = memory_kb(), 0, asyncio.Event()

        async def progress(value, total, message):
            nonlocal opened
            opened += 1
            if opened == count:
                all_open.set()

        calls = [asyncio.ensure_future(client.call_tool("hold", {}, progress_callback=progress)) for _ in range(count)]
        await all_open.wait()
        grown = memory_kb() - before
        for each in calls:
            each.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return {"count": count, "grown_kb": grown}


async def main():
    """Do what is wanted and report."""
    url, era, work, at_once, joined, seconds = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6])
    mode = "auto" if era == "modern" else "legacy"
    if work in ("idle", "open"):
        report = await (idle_memory if work == "idle" else open_memory)(url, mode, at_once)
    else:
        do = call if work == "calls" else stream
        async with Client(url, mode=mode) as client:
            await work_for(client, do, at_once, joined, WARM_SECONDS)
            report = await work_for(client, do, at_once, joined, seconds)
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
