"""The cases of clients: how fast, and how large, they are at the same canned server, in both eras.

The client is what is measured, so it has the core that elsewhere the server has, and the canned server has the other.
A client is a program of its own, of `peers/`:

    PROGRAM URL ERA WORK AT_ONCE JOINED SECONDS

It warms up, works, sees that every answer is right and every event there, and reports in its last line: `count`,
`elapsed` and `cpu` in seconds, of the work `calls` and `events`; `count` and `grown_kb`, of `idle` and `open`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from benchmarks import load, serving
from benchmarks.bench import Bench, Case, Reading
from benchmarks.peers import Peer, canned_command

EXTRA_SECONDS = 60
ERAS = ("modern", "legacy")
CALLS = {"1 at once": 1, "16 at once": 16}
EVENTS = {"64 events a chunk": 64, "1 event a chunk": 1}
IDLE_CLIENTS = 50
OPEN_STREAMS = 64  # the official client has at most 100 connections


def call(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """tools/call of one client, one after the other and 16 at once."""
    with canned(bench) as port:
        for era in ERAS:
            for name, at_once in CALLS.items():
                report = work(bench, peer, port, era, "calls", at_once=at_once)
                yield Reading(f"{era}, {name}", {"rps": report["count"] / report["elapsed"], **cpu(report)})


def read_events(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """Streams of 10,000 progress notifications, one after the other."""
    with canned(bench) as port:
        for era in ERAS:
            for name, joined in EVENTS.items():
                report = work(bench, peer, port, era, "events", joined=joined)
                yield Reading(f"{era}, {name}", {"events_per_s": report["count"] / report["elapsed"], **cpu(report)})


def grow(bench: Bench, peer: Peer) -> Iterator[Reading]:
    """The memory of clients that wait for their next call, and of streams that wait for their next event."""
    with canned(bench) as port:
        for era in ERAS:
            idle = work(bench, peer, port, era, "idle", at_once=IDLE_CLIENTS)
            values = {"clients": idle["count"], "kb_per_client": idle["grown_kb"] / idle["count"]}
            yield Reading(f"{era}, idle clients", values)
            streams = work(bench, peer, port, era, "open", at_once=OPEN_STREAMS)
            values = {"open": streams["count"], "kb_per_stream": streams["grown_kb"] / streams["count"]}
            yield Reading(f"{era}, open streams", values)


CASES: Mapping[str, Case] = {"client-calls": call, "client-events": read_events, "client-memory": grow}


@contextmanager
def canned(bench: Bench) -> Iterator[int]:
    """The canned server, on the core of the load; gives its port."""
    port = serving.free_port()
    with serving.serving(
        command=canned_command(bench.programs, port),
        port=port,
        core=bench.cores.load,
        environment={},
        log=bench.folder / "canned.log",
    ):
        yield port


def work(
    bench: Bench, peer: Peer, port: int, era: str, kind: str, *, at_once: int = 1, joined: int = 1
) -> Mapping[str, float]:
    """Have a client work, and read its report."""
    seconds = bench.plan.seconds
    words = [era, kind, str(at_once), str(joined), str(seconds)]
    done = subprocess.run(
        [*peer.command(bench.programs, port, kind), *words],
        capture_output=True,
        text=True,
        timeout=seconds + EXTRA_SECONDS,
        preexec_fn=partial(os.sched_setaffinity, 0, {bench.cores.server}),
    )
    return read_report(done.returncode, done.stdout, done.stderr)


def read_report(status: int, output: str, complaints: str) -> Mapping[str, float]:
    """Read the report of a client from its last line.

    Raises:
        LoadError: If it failed, or did nothing.
    """
    if status:
        raise load.LoadError(f"the client ended with status {status}: {complaints[-300:]}")
    report: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    if not report["count"]:
        raise load.LoadError("the client did nothing")
    return report


def cpu(report: Mapping[str, float]) -> Mapping[str, float]:
    """What the client used, and how much a core of its own would do, whoever else works on this machine."""
    return {
        "cpu_us": report["cpu"] / report["count"] * 1e6,
        "per_cpu_s": report["count"] / report["cpu"],
        "core_share": report["cpu"] / report["elapsed"],
    }
