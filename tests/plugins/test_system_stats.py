"""system_stats: figures of the host that runs the tests."""

from __future__ import annotations

import json

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.testing import ToolRunner
from plugins.system_stats import CpuTimes, core_times, cpu_percent, system_stats, watch_system_stats

seconds = st.floats(0, 1e7)
cores = st.lists(st.builds(CpuTimes, seconds, seconds), max_size=4)


def test_the_figures_are_those_of_the_host() -> None:
    """One figure for each core, after a moment of measuring; sizes as psutil has them."""
    runner = ToolRunner(system_stats)
    call = runner.call("system_stats")
    assert not call.done
    runner.clock.advance(0.25)
    stats = call.structured
    assert len(stats["cpu_percent"]) == psutil.cpu_count()
    assert all(0 <= percent <= 100 for percent in stats["cpu_percent"])
    assert stats["memory"]["total"] == psutil.virtual_memory().total
    assert 0 < stats["memory"]["available"] < stats["memory"]["total"]
    assert stats["swap"]["total"] == psutil.swap_memory().total
    assert len(stats["load_average"]) == 3
    assert stats["uptime"] > 0
    assert runner.leftovers() == []


def test_a_dropped_client_ends_the_measuring() -> None:
    """Nothing is left of the call."""
    runner = ToolRunner(system_stats)
    runner.call("system_stats").drop()
    assert runner.leftovers() == []


def test_a_watch_sends_samples_and_a_summary() -> None:
    """Each sample is short JSON; the summary comes after the last."""
    runner = ToolRunner(watch_system_stats)
    call = runner.call("watch_system_stats", interval=1, samples=2)
    assert call.progress == []
    runner.clock.pump([1.0] * 2)
    assert [(said.value, said.total) for said in call.progress] == [(1, 2), (2, 2)]
    sample = json.loads(str(call.progress[0].message))
    assert set(sample) == {"cpu", "memory", "load"}
    assert call.structured["samples"] == 2
    assert call.structured["last"]["memory"]["percent"] == json.loads(str(call.progress[1].message))["memory"]
    assert call.structured["cpu_mean"] <= call.structured["cpu_max"]
    assert runner.leftovers() == []


def test_a_stalled_reader_gets_no_samples() -> None:
    """While the reader is behind, samples are left out; the next one covers the gap."""
    runner = ToolRunner(watch_system_stats)
    call = runner.call("watch_system_stats", samples=2)
    call.stall()
    runner.clock.pump([1.0] * 5)
    call.resume()
    assert call.progress == []
    runner.clock.pump([1.0] * 2)
    assert call.structured["samples"] == 2


def test_a_dropped_client_ends_the_watch() -> None:
    """Nothing is left of the stream."""
    runner = ToolRunner(watch_system_stats)
    call = runner.call("watch_system_stats")
    runner.clock.advance(1)
    call.drop()
    assert runner.leftovers() == []


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [((10, 100), (11, 104), 25), ((10, 100), (10, 101), 0), ((10, 100), (11, 101), 100)],
)
def test_the_use_of_a_core(before: tuple[float, float], after: tuple[float, float], percent: float) -> None:
    """It is the part of the time between two samples in which the core was busy."""
    assert cpu_percent([CpuTimes(*before)], [CpuTimes(*after)]) == [percent]


@given(cores, cores)
def test_the_use_is_a_percentage(before: list[CpuTimes], after: list[CpuTimes]) -> None:
    """Whatever the counters do, also when cores come and go, a figure is from 0 to 100."""
    assert all(0 <= percent <= 100 for percent in cpu_percent(before, after))


def test_time_of_guests_counts_once() -> None:
    """Linux counts a guest's time as user time already."""
    times = {"user": 50.0, "system": 10.0, "idle": 30.0, "iowait": 10.0, "guest": 20.0, "guest_nice": 5.0}
    assert core_times(times) == CpuTimes(busy=60.0, total=100.0)
