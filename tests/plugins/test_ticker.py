"""ticker: a stream with a LoopingCall of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.testing import Progress, ToolRunner
from plugins.ticker import ticker


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What ticker logs, as an operator reads it."""
    seen: list[str] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_namespace") == "mcpserve.plugins.ticker":
            assert event["log_level"].name == "info"
            seen.append(event["log_format"])

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_it_ticks_and_finishes(lines: list[str]) -> None:
    """The first tick comes at once, the others in their interval, the result with the last."""
    runner = ToolRunner(ticker)
    call = runner.call("ticker", interval=2, count=3)
    assert call.progress == [Progress(1, 3, "tick 1 of 3")]
    runner.clock.advance(2)
    assert len(call.progress) == 2
    assert not call.done
    runner.clock.advance(2)
    assert call.progress[2] == Progress(3, 3, "tick 3 of 3")
    assert call.text == "Sent 3 ticks."
    assert runner.leftovers() == []
    assert lines == ["ticker started", "ticker finished"]


def test_one_tick_is_a_stream_as_well() -> None:
    """It may finish before the function has returned."""
    runner = ToolRunner(ticker)
    assert runner.call("ticker", count=1).text == "Sent 1 ticks."
    assert runner.leftovers() == []


def test_a_client_that_goes_away_stops_it(lines: list[str]) -> None:
    """The LoopingCall stops in the same turn, and the log says why."""
    runner = ToolRunner(ticker)
    call = runner.call("ticker")
    runner.clock.advance(1)
    call.drop()
    assert runner.leftovers() == []
    assert lines == ["ticker started", "ticker stopped: client gone"]
    runner.clock.advance(10)
    assert len(call.progress) == 2


def test_a_stalled_reader_gets_no_ticks() -> None:
    """While the reader is behind its turns are left out, not queued."""
    runner = ToolRunner(ticker)
    call = runner.call("ticker", count=3)
    call.stall()
    runner.clock.pump([1.0] * 10)
    call.resume()
    assert [said.value for said in call.progress] == [1]
    runner.clock.pump([1.0] * 2)
    assert [said.value for said in call.progress] == [1, 2, 3]
    assert call.done


@pytest.mark.parametrize("arguments", [{"interval": 0}, {"interval": 3601}, {"count": 0}, {"count": 100_001}])
def test_its_bounds(arguments: dict[str, float]) -> None:
    """A ticker that would never end, or never tick, is refused."""
    assert ToolRunner(ticker).call("ticker", arguments).result.is_error
