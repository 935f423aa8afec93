"""system_stats: live figures of this host through psutil, once or as a stream of samples.

`psutil.cpu_percent` would either block the reactor (with an interval) or compare with whoever asked last (without one),
so that two clients would spoil each other's figures. Here each call compares two samples of its own.
"""

import json
import time
from collections.abc import Sequence
from typing import Annotated, Any

import attrs
import psutil

from mcpserve import Arg, Call, Stream, tool

WINDOW = 0.25  # seconds over which system_stats measures the CPU; shorter ones jitter, as the kernel counts in 10 ms


@attrs.frozen(kw_only=True)
class Memory:
    """Sizes in bytes; `percent` is the part that is in use."""

    total: int
    available: int
    percent: float


@attrs.frozen(kw_only=True)
class Swap:
    """Sizes in bytes; all zero on a host without swap."""

    total: int
    used: int
    percent: float


@attrs.frozen(kw_only=True)
class SystemStats:
    """One look at this host."""

    cpu_percent: Annotated[list[float], "How busy each core is, 0 to 100."]
    memory: Memory
    swap: Swap
    load_average: Annotated[list[float], "Runnable processes, averaged over 1, 5 and 15 minutes."]
    uptime: Annotated[float, "Seconds since the host was started."]


@attrs.frozen(kw_only=True)
class WatchSummary:
    """What a finished watch saw; CPU figures are means over all cores."""

    samples: int
    cpu_mean: float
    cpu_max: float
    memory_percent_max: float
    last: SystemStats


@attrs.frozen
class CpuTimes:
    """The seconds that one core has spent since the start of the host: busy, and in all."""

    busy: float
    total: float


def cpu_times() -> list[CpuTimes]:
    """Read the counters of all cores."""
    return [core_times(core._asdict()) for core in psutil.cpu_times(percpu=True)]


def core_times(times: dict[str, float]) -> CpuTimes:
    """Add up one core's counters, without the guests' time, which Linux has already counted as user time."""
    total = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    return CpuTimes(total - times["idle"] - times.get("iowait", 0.0), total)


def cpu_percent(before: Sequence[CpuTimes], after: Sequence[CpuTimes]) -> list[float]:
    """Say how busy each core was between two samples.

    Args:
        before: The older sample, of all cores.
        after: The newer sample.

    Returns:
        One figure per core, 0 to 100. 0 for a core whose counters stood still or went backwards, as virtual ones may.
    """
    return [
        round(min(100.0, max(0.0, 100 * (new.busy - old.busy) / (new.total - old.total))), 1)
        if new.total > old.total
        else 0.0
        for old, new in zip(before, after, strict=False)  # a core may be taken off line in between
    ]


def read_stats(cpu: list[float]) -> SystemStats:
    """Read everything else; the kernel answers these from memory, so nothing here blocks."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return SystemStats(
        cpu_percent=cpu,
        memory=Memory(total=memory.total, available=memory.available, percent=memory.percent),
        swap=Swap(total=swap.total, used=swap.used, percent=swap.percent),
        load_average=[round(load, 2) for load in psutil.getloadavg()],
        uptime=round(max(0.0, time.time() - psutil.boot_time()), 1),
    )


@tool(title="System statistics", read_only=True, idempotent=True, open_world=False)
async def system_stats(call: Call) -> SystemStats:
    """Return the CPU use of each core, memory, swap, load average and uptime of the host the server runs on."""
    before = cpu_times()
    await call.sleep(WINDOW)
    return read_stats(cpu_percent(before, cpu_times()))


class Watch:
    """The samples of one stream: takes one each time it is called, and finishes the stream after the last."""

    def __init__(self, stream: Stream, samples: int) -> None:
        self.stream = stream
        self.samples = samples
        self.before = cpu_times()
        self.means: list[float] = []
        self.memory_max = 0.0

    def sample(self) -> None:
        """Send one sample as a progress message, unless the reader is behind: then the next one covers the gap."""
        if self.stream.paused:
            return
        after = cpu_times()
        stats = read_stats(cpu_percent(self.before, after))
        self.before = after
        self.means.append(sum(stats.cpu_percent) / max(1, len(stats.cpu_percent)))
        self.memory_max = max(self.memory_max, stats.memory.percent)
        self.stream.progress(len(self.means), self.samples, json.dumps(brief(stats)))
        if len(self.means) == self.samples:
            self.stream.finish(self.summary(stats))

    def summary(self, last: SystemStats) -> WatchSummary:
        """Sum the watch up; `last` is its last sample."""
        return WatchSummary(
            samples=len(self.means),
            cpu_mean=round(sum(self.means) / len(self.means), 1),
            cpu_max=round(max(self.means), 1),
            memory_percent_max=self.memory_max,
            last=last,
        )


def brief(stats: SystemStats) -> dict[str, Any]:
    """Pick the figures that move, for a progress message: short, and still JSON."""
    return {"cpu": stats.cpu_percent, "memory": stats.memory.percent, "load": stats.load_average[0]}


@tool(title="Watch system statistics", read_only=True, idempotent=True, open_world=False)
def watch_system_stats(
    stream: Stream,
    interval: Annotated[float, Arg("Seconds between two samples.", minimum=0.1, maximum=3600)] = 1.0,
    samples: Annotated[int, Arg("How many samples to send.", minimum=1, maximum=10_000)] = 10,
) -> None:
    """Watch this host: each sample is a progress notification with CPU, memory and load as JSON; then a summary."""
    stream.every(interval, Watch(stream, samples).sample)
