"""One attack on one server, with a witness and a look at the server before, during and after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from tests.abuse.attacks import OPTIONS
from tests.interop.raw import structured
from tests.interop.served import ROOT, Served, eventually, serving

PLUGINS = Path(__file__).with_name("plugins")
CALM = 1.5
"""Seconds that are watched before and after an attack."""
LOOK = 0.5
"""Seconds between two looks at the delayed calls during an attack: each is a call itself."""
REST = 15.0
"""Seconds after which what an attack has left must be gone."""


@attrs.frozen
class Vitals:
    """How a server is doing: its memory (MB), its file descriptors, its delayed calls."""

    memory: float
    descriptors: int
    delayed_calls: int


@attrs.define
class Worst:
    """The most that was seen of a server under attack: file descriptors, delayed calls."""

    descriptors: int = 0
    delayed_calls: int = 0


@attrs.frozen
class Calls:
    """How the calls of the witness went: how many there were, the share that were answered right, and p99 (ms)."""

    count: int
    success: float
    p99: float


@attrs.frozen(kw_only=True)
class Report:
    """What an attack did to a server and to its witness.

    Args:
        name: The attack.
        note: What it saw.
        problems: What should not have happened.
        before: The server before, and `after` once it has come to rest again.
        peak: The largest memory of the server meanwhile (MB).
        worst: The most file descriptors and delayed calls that were seen meanwhile.
        calm: The witness before the attack.
        attacked: The witness during it, and right after.
    """

    name: str
    note: str
    problems: Sequence[str]
    before: Vitals
    after: Vitals
    peak: float
    worst: Worst
    calm: Calls
    attacked: Calls


ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""As in the unit file: without it, the C library keeps what large bodies once took."""


@contextmanager
def fortress(log: Path, *options: str) -> Iterator[Served]:
    """A server to be attacked."""
    chosen = [text for name, value in OPTIONS.items() for text in (f"--{name}", f"{value:g}")]
    pinned = {0} if len(os.sched_getaffinity(0)) > 1 else os.sched_getaffinity(0)
    with serving(log, "--plugins", str(PLUGINS), *chosen, *options, env=ENVIRONMENT) as served:
        os.sched_setaffinity(served.process.pid, pinned)
        yield served


def besiege(server: Served, name: str, scale: float, folder: Path) -> Report:
    """Carry an attack out.

    Args:
        server: The server.
        name: The attack.
        scale: Its size; 1 is the long form.
        folder: Where the witness writes.
    """
    before = vitals(server)
    (Path("/proc") / str(server.process.pid) / "clear_refs").write_text("5")  # the peak is counted from here on
    notes = folder / f"{name}.calls"
    host, _, port = urlsplit(server.url).netloc.partition(":")
    command = [sys.executable, "-m", "tests.abuse.witness", host, port, str(notes)]
    witness = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
    try:
        eventually("the witness calls", lambda: notes.exists() and notes.stat().st_size > 0)
        time.sleep(CALM)
        began = time.monotonic()
        outcome, worst = attacked(server, [name, host, port, str(scale)])
        time.sleep(CALM)
    finally:
        assert witness.stdin is not None
        witness.stdin.close()
        witness.wait(10)
    calls = [tuple(map(float, line.split())) for line in notes.read_text().splitlines()]
    peak = status(server, "VmHWM")
    return Report(
        name=name,
        note=outcome["note"],
        problems=outcome["problems"],
        before=before,
        after=rested(server, before),
        peak=peak,
        worst=worst,
        calm=judged([call for call in calls if call[0] < began]),
        attacked=judged([call for call in calls if call[0] >= began]),
    )


def attacked(server: Served, arguments: Sequence[str]) -> tuple[dict[str, object], Worst]:
    """Run an attack in a process of its own; what it printed, and how the server was at the worst moment."""
    command = [sys.executable, "-m", "tests.abuse.attacks", *arguments]
    worst, look = Worst(), 0.0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            worst.descriptors = max(worst.descriptors, descriptors(server))
            if time.monotonic() > look:
                worst.delayed_calls = max(worst.delayed_calls, delayed_calls(server))
                look = time.monotonic() + LOOK
            time.sleep(0.05)
        printed = process.communicate()[0]
    if process.returncode:
        raise AssertionError(f"the attack {arguments[0]} ended with {process.returncode}")
    outcome: dict[str, object] = json.loads(printed)
    return outcome, worst


def rested(server: Served, before: Vitals) -> Vitals:
    """The server once it is as it was before, or after all patience."""
    end = time.monotonic() + REST
    while True:
        found = vitals(server)
        quiet = found.descriptors <= before.descriptors and found.delayed_calls <= before.delayed_calls
        if quiet or time.monotonic() > end:
            return found
        time.sleep(0.2)


def vitals(server: Served) -> Vitals:
    """Look at the server."""
    return Vitals(status(server, "VmRSS"), descriptors(server), delayed_calls(server))


def delayed_calls(server: Served) -> int:
    """How many delayed calls its reactor has."""
    count: int = structured(server.url, "vitals")["delayed_calls"]
    return count


def descriptors(server: Served) -> int:
    """How many file descriptors the server has open."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def status(server: Served, what: str) -> float:
    """A line of the kernel's about the server's memory, in MB."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.partition(f"{what}:")[2].split()[0]) / 1024


def judged(calls: Sequence[tuple[float, ...]]) -> Calls:
    """How these calls went."""
    if not calls:
        return Calls(0, 0.0, 0.0)
    took = sorted(call[1] for call in calls)
    good = sum(call[2] for call in calls)
    return Calls(len(calls), good / len(calls), 1000 * took[min(len(took) - 1, int(len(took) * 0.99))])


def table(reports: Sequence[Report]) -> str:
    """All reports, for people: before / during / after, where there is more than one figure."""
    titles = ("attack", "good client", "p99 ms", "memory MB", "descriptors", "delayed calls", "what it saw")
    rows = [titles, *map(_row, reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]) for row in rows]  # noqa: B905
    problems = [f"{report.name}: {problem}" for report in reports for problem in report.problems]
    return "\n".join([*lines, *problems])


def _row(report: Report) -> tuple[str, ...]:
    before, after, calm, under = report.before, report.after, report.calm, report.attacked
    return (
        report.name,
        f"{100 * under.success:.2f} % of {under.count}",
        f"{calm.p99:.1f} / {under.p99:.1f}",
        f"{before.memory:.0f} / {report.peak:.0f} / {after.memory:.0f}",
        f"{before.descriptors} / {report.worst.descriptors} / {after.descriptors}",
        f"{before.delayed_calls} / {report.worst.delayed_calls} / {after.delayed_calls}",
        report.note,
    )
