"""The cases: what is measured of each server, one function each; those of clients are in `clients.py`.

A case starts its server fresh, sees that one request is answered well, warms up, measures, and gives samples. Whatever
goes wrong is raised as one of `FAILURES`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import calls, clients, load, serving
from benchmarks.bench import Bench, Case, Reading, Target
from benchmarks.measure import percentile
from benchmarks.peers import LISTED_TOOLS, Peer

FAILURES = (calls.AnswerError, load.LoadError, serving.ServerError, subprocess.SubprocessError, OSError)
ECHO = calls.tool_call("echo", text="hello, world")
LIST = calls.Call(method="tools/list", params={})
BURST_EVENTS = 1000
TICK_INTERVAL = 0.1
ENDLESS = 1_000_000
WARM_SECONDS = 1.0
SETTLE_SECONDS = 1.0
FIRST_EVENT_PAUSE_MS = 5
CLOSE_PAUSE_MS = 1
CLOSE_MS_AT_MOST = 15  # what one cycle of the cancel case may take before the load gives up


def echo(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """tools/call `echo` over keep-alive connections."""
    with bench.serving(peer, "echo") as target:
        for connections in bench.plan.connections:
            yield Reading(f"{connections} connections", requests(bench, target, ECHO, connections))


def list_tools(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """tools/list of 200 tools."""
    with bench.serving(peer, "list") as target:
        answer = calls.ask_result(target.port, target.request(LIST))
        count = len((answer.message or {})["result"]["tools"])
        if count < LISTED_TOOLS:
            raise calls.AnswerError(f"{count} tools in the list")
        yield Reading("16 connections", {**requests(bench, target, LIST, 16), "answer_kb": answer.size / 1024})


def requests(bench: Bench, target: Target, call: calls.Call, connections: int) -> Mapping[str, float]:
    """Warm up, then measure one kind of request with wrk."""
    template = target.request(call)
    size = calls.ask_result(target.port, template).size
    bench.load.requests(target.port, template, connections=connections, seconds=WARM_SECONDS)
    before = target.server.cpu
    report = bench.load.requests(target.port, template, connections=connections, seconds=bench.plan.seconds)
    used = target.server.cpu - before
    load.check_size(report, size=size, connections=connections)
    return {
        **{name: report[name] for name in ("rps", "p50_ms", "p99_ms")},
        "cpu_us": used / report["requests"] * 1e6,
        "core_share": used / report["elapsed"],
    }


def burst(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """A stream of 1,000 notifications, one and 16 at once, and how soon the first event comes, idle and busy."""
    with bench.serving(peer, "burst") as target:
        for at_once in (1, 16):
            yield Reading(f"{at_once} at once", events(bench, target, at_once))
        yield Reading("first event, idle", first_event(bench, target))
        if not peer.session:
            echoes = target.request(ECHO)
            seconds = bench.plan.seconds + 2 * WARM_SECONDS
            with bench.load.busy(target.port, echoes, connections=64, seconds=seconds) as process:
                time.sleep(WARM_SECONDS)
                yield Reading("first event, busy", first_event(bench, target))
                load.read_wrk(load.finish(process, seconds))


def events(bench: Bench, target: Target, at_once: int) -> Mapping[str, float]:
    """The rate of events when some streams run at once; each must deliver every event."""
    template = target.request(calls.tool_call("burst", progress=True, count=BURST_EVENTS))
    options = {"connections": at_once, "events": BURST_EVENTS}
    bench.load.streams_report("calls", target.port, template, seconds=WARM_SECONDS / 2, **options)
    before = target.server.cpu
    report = bench.load.streams_report("calls", target.port, template, seconds=bench.plan.seconds, **options)
    used = target.server.cpu - before
    return {
        "events_per_s": report["events"] / report["elapsed"],
        "cpu_us": used / report["events"] * 1e6,
        "core_share": used / report["elapsed"],
    }


def first_event(bench: Bench, target: Target) -> Mapping[str, float]:
    """The time from a request to the first event of its stream, one after the other."""
    template = target.request(calls.tool_call("burst", progress=True, count=1))
    report = bench.load.streams_report(
        "calls", target.port, template, seconds=bench.plan.seconds, events=1, pause=FIRST_EVENT_PAUSE_MS
    )
    return {"p50_ms": report["first_p50_ms"], "p99_ms": report["first_p99_ms"], "max_ms": report["first_max_ms"]}


def ticks(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """Thousands of open streams that tick ten times a second, and the latency of an echo beside them."""
    for count in bench.plan.streams:
        with bench.serving(peer, "ticks") as target:
            yield Reading(f"{count} streams", open_streams(bench, target, count))


def open_streams(bench: Bench, target: Target, count: int) -> Mapping[str, float]:
    """Open streams, then watch them for the length of a measurement."""
    template = target.request(calls.tool_call("tick", progress=True, interval=TICK_INTERVAL, count=ENDLESS))
    bench.load.requests(target.port, target.request(ECHO), connections=16, seconds=WARM_SECONDS)
    memory, seconds = target.server.memory_kb, bench.plan.seconds
    with bench.load.stream("open", target.port, template, connections=count, seconds=seconds) as process:
        opened = load.read_line(process.stdout)["open"]
        before, start = target.server.cpu, time.monotonic()
        probe = bench.load.streams_report(
            "calls", target.port, target.request(ECHO), seconds=seconds * 0.9, events=0, pause=FIRST_EVENT_PAUSE_MS
        )
        used = (target.server.cpu - before) / (time.monotonic() - start)
        grown = target.server.memory_kb - memory
        report = load.read_streams(load.finish(process, seconds))
    delivered = report["events"] / report["elapsed"]
    return {
        "open": opened,
        "events_per_s": delivered,
        "delivered_share": delivered * TICK_INTERVAL / count,
        "cpu_us": used / max(1.0, delivered) * 1e6,
        "core_share": used,
        "kb_per_stream": grown / max(1, opened),
        "lag_p50_ms": probe["answer_p50_ms"],
        "lag_p99_ms": probe["answer_p99_ms"],
    }


def cancel(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """The time from a client's reset, or plain close, to the cancellation of its call; memory over many of them."""
    cycles = bench.plan.cycles // 2
    with bench.serving(peer, "cancel") as target:
        close_streams(bench, target, max(50, cycles // 10), "reset")
        memory = target.server.memory_kb
        for how in ("reset", "close"):
            yield Reading(f"client {how}", close_streams(bench, target, cycles, how))
        grown = target.server.memory_kb - memory
        yield Reading("memory", {"cycles": cycles * 2, "grown_kb": grown})


def close_streams(bench: Bench, target: Target, cycles: int, how: str) -> Mapping[str, float]:
    """Open and close streams one after the other; a peer that never cancels has no latency."""
    bench.cancelled.write_text("")
    template = target.request(calls.tool_call("hold", progress=True, number=calls.NUMBER))
    report = bench.load.streams_report(
        "cancel",
        target.port,
        template,
        *(["--fin"] if how == "close" else []),
        connections=cycles,
        seconds=cycles * CLOSE_MS_AT_MOST / 1e3,
        pause=CLOSE_PAUSE_MS,
    )
    if len(report["closed"]) < cycles:
        raise load.LoadError(f"only {len(report['closed'])} of {cycles} streams could be opened and closed in time")
    time.sleep(SETTLE_SECONDS)
    return cancellation(report["closed"], bench.cancelled.read_text())


def cancellation(closed: Sequence[float], record: str) -> Mapping[str, float]:
    """Match the times of closing with the times that the server wrote down, by number."""
    lines = (line.split() for line in record.splitlines())
    noticed = {int(number) - calls.FIRST_NUMBER: float(at) for number, at in lines}
    waits = [(noticed[number] - at) * 1e3 for number, at in enumerate(closed) if number in noticed]
    counts = {"cycles": len(closed), "never": len(closed) - len(waits)}
    if not waits:
        return counts
    return {**counts, "p50_ms": percentile(waits, 0.5), "p99_ms": percentile(waits, 0.99), "max_ms": max(waits)}


def start(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """The time from starting the process to its first answer, and its memory at rest."""
    with bench.serving(peer, "start") as target:
        calls.ask_result(target.port, target.request(ECHO))
        taken = time.monotonic() - target.server.spawned_at
        time.sleep(SETTLE_SECONDS)
        yield Reading("spawn to answer", {"start_s": taken, "memory_mb": target.server.memory_kb / 1024})


CASES: Mapping[str, Case] = {
    "echo": echo,
    "burst": burst,
    "ticks": ticks,
    "cancel": cancel,
    "list": list_tools,
    "start": start,
    **clients.CASES,
}
