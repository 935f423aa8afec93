"""Measures processes and numbers: pinning to cores, CPU time and memory from /proc, medians with their spread."""

from __future__ import annotations

import os
import resource
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Cores:
    """Where the two sides of a measurement run.

    Attributes:
        server: The core of the server under test.
        load: The core of the load and of this program.
    """

    server: int
    load: int

    @property
    def shared(self) -> bool:
        """Whether the machine has only one core for both, which makes the numbers worthless."""
        return self.server == self.load


def choose_cores(allowed: set[int]) -> Cores:
    """The first and the last of the cores that this process may use."""
    return Cores(min(allowed), max(allowed))


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us; gives that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_seconds(pid: int) -> float:
    """The CPU time, user and system, of all threads of a process until now."""
    return parse_cpu_seconds(Path(f"/proc/{pid}/stat").read_text())


def parse_cpu_seconds(stat: str) -> float:
    """Read user and system time from the text of /proc/PID/stat; the command in it may hold blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pid: int) -> int:
    """The resident memory of a process in KiB."""
    return parse_memory_kb(Path(f"/proc/{pid}/status").read_text())


def parse_memory_kb(status: str) -> int:
    """Read the resident memory from the text of /proc/PID/status."""
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share (0 to 1) of the values lies, by nearest rank."""
    ordered = sorted(values)
    return ordered[round((len(ordered) - 1) * share)]


@attrs.frozen
class Spread:
    """The median of some repeats, with the lowest and the highest of them."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Sum up repeats."""
    return Spread(statistics.median(values), min(values), max(values))


@attrs.frozen(kw_only=True)
class Sample:
    """What one measurement of one peer gave.

    Attributes:
        case: The name of the case, such as "echo".
        peer: The name of the peer, such as "mcpserve".
        load: What distinguishes the measurement within its case, such as "64 connections".
        repeat: Which of the interleaved repeats, from 0.
        values: The metrics by name; the unit is the end of the name.
    """

    case: str
    peer: str
    load: str
    repeat: int
    values: Mapping[str, float]


def values_of(samples: Sequence[Sample], *, case: str, load: str, peer: str, metric: str) -> dict[int, float]:
    """One metric of one peer, by repeat; repeats without it are left out."""
    return {
        sample.repeat: sample.values[metric]
        for sample in samples
        if (sample.case, sample.load, sample.peer) == (case, load, peer) and metric in sample.values
    }
