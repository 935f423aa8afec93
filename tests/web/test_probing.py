"""Asking for a client that ended its input. With real sockets, in `test_channel`."""

from __future__ import annotations

from twisted.internet.task import Clock

from mcpserve.web.probing import Probe, has_reset
from tests.web.memory_http import MemoryTransport


def test_it_asks_a_few_times_and_soon() -> None:
    """Within half a second, and then never again."""
    clock = Clock()
    asked: list[float] = []
    Probe(clock, lambda: asked.append(round(clock.seconds(), 3)))
    clock.pump([0.005] * 400)
    assert asked == [0.005, 0.02, 0.1, 0.5]
    assert clock.getDelayedCalls() == []


def test_it_can_be_stopped_at_any_time() -> None:
    """While it waits, by who is asked, and after its end."""
    clock = Clock()
    asked: list[str] = []
    waiting = Probe(clock, lambda: asked.append("waiting"))
    waiting.stop()
    during = Probe(clock, lambda: (asked.append("during"), during.stop()))
    clock.pump([0.005] * 400)
    during.stop()
    assert asked == ["during"]


def test_nobody_knows_of_what_is_no_tcp_connection() -> None:
    """In memory, by a UNIX socket, under another protocol: it counts as there."""
    assert not has_reset(MemoryTransport(Clock()))
