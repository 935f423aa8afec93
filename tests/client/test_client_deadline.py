"""One deadline after the other."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from mcpserve.client.deadline import Deadline


class Watched:
    """A deadline, and what it said."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.said: list[tuple[str, float]] = []
        self.deadline = Deadline(self.clock, lambda which, seconds: self.said.append((which, seconds)))


@pytest.fixture
def watched() -> Watched:
    """Not yet started."""
    return Watched()


def test_passes_once(watched: Watched) -> None:
    """It says what was waited for and how long, once."""
    watched.deadline.start("head", 5)
    watched.clock.advance(4.9)
    assert watched.said == []
    watched.clock.pump([0.2, 100])
    assert watched.said == [("head", 5)]
    assert watched.clock.getDelayedCalls() == []


@pytest.mark.parametrize("seconds", [1, 5, 20])
def test_another_one(watched: Watched, seconds: float) -> None:
    """The next one takes the place of the first, be it shorter or longer."""
    watched.deadline.start("connect", 5)
    watched.clock.advance(3)
    watched.deadline.start("head", seconds)
    watched.clock.pump([0.5] * int(2 * seconds - 1))
    assert watched.said == []
    watched.clock.pump([0.5, 0.1])
    assert watched.said == [("head", seconds)]


def test_signs_of_life(watched: Watched) -> None:
    """They put off what is idle, and nothing else."""
    watched.deadline.start("idle", 5)
    for _ in range(10):
        watched.clock.advance(4)
        watched.deadline.touch()
    assert watched.said == []
    watched.deadline.start("head", 5)
    watched.clock.advance(4)
    watched.deadline.touch()
    watched.clock.advance(1)
    assert watched.said == [("head", 5)]


@pytest.mark.parametrize("stop", [True, False])
def test_stopped(watched: Watched, stop: bool) -> None:
    """Stopped, or started without an end, it leaves no delayed call."""
    watched.deadline.start("idle", 5)
    if stop:
        watched.deadline.stop()
    else:
        watched.deadline.start("idle", None)
    assert watched.clock.getDelayedCalls() == []
    watched.deadline.touch()
    watched.deadline.stop()
    watched.clock.advance(100)
    assert watched.said == []
