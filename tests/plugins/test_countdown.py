"""countdown: progress from an async tool."""

from __future__ import annotations

from mcpserve.testing import Progress, ToolRunner
from plugins.countdown import countdown


def test_it_counts_down_in_time() -> None:
    """One step each interval, from 0 to start, and the result after the last."""
    runner = ToolRunner(countdown)
    call = runner.call("countdown", start=2, interval=1.5)
    assert call.progress == [Progress(0, 2, "2 to go")]
    runner.clock.advance(1.4)
    assert len(call.progress) == 1
    runner.clock.pump([0.1, 1.5])
    assert call.progress[1:] == [Progress(1, 2, "1 to go"), Progress(2, 2, "Lift-off")]
    assert call.text == "Counted down from 2."
    assert runner.leftovers() == []


def test_without_a_token_only_the_result_comes() -> None:
    """A client that did not ask for progress gets none."""
    runner = ToolRunner(countdown)
    call = runner.call("countdown", start=1, interval=1, progress_token=None)
    runner.clock.advance(1)
    assert call.progress == []
    assert call.done


def test_a_stalled_reader_stops_the_countdown() -> None:
    """While the reader is behind the countdown waits; then it goes on where it was."""
    runner = ToolRunner(countdown)
    call = runner.call("countdown", start=3, interval=1)
    call.stall()
    runner.clock.pump([1.0] * 10)
    assert not call.done
    call.resume()
    assert [said.value for said in call.progress] == [0, 1]
    runner.clock.pump([1.0] * 3)
    assert [said.value for said in call.progress] == [0, 1, 2, 3]
    assert call.done


def test_a_dropped_client_stops_the_countdown() -> None:
    """Nothing is left of the call in the same turn."""
    runner = ToolRunner(countdown)
    call = runner.call("countdown", start=3)
    call.drop()
    assert call.cancelled
    assert runner.leftovers() == []
