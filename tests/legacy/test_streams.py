"""A resumable stream without a session: what it keeps, when it ends, whom it tells."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from mcpserve.features.timing import TimingWheel
from mcpserve.legacy.streams import Keeping, ResumableStream, ResumeLimits
from mcpserve.protocol.exchange import Exchange, State
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.revisions import LEGACY
from mcpserve.stores.events import EventRoom
from mcpserve.web.facts import BOTH, Accept
from mcpserve.web.response import ResponseWriter, Turns
from tests.legacy.owner import Owner
from tests.web.memory_http import Wire, body

JSON_ONLY = Accept(json=True, sse=False)


class Bench:
    """One stream on a connection in memory."""

    def __init__(self, version: str = "2025-11-25", accept: Accept = BOTH) -> None:
        self.wire = Wire()
        self.clock: Clock = self.wire.clock
        self.turns = Turns(self.clock)
        self.owner = Owner()
        self.ended: list[str] = []
        self.stream = ResumableStream(
            3,
            LEGACY[version],
            Keeping(wheel=TimingWheel(self.clock), limits=ResumeLimits(grace=10.0, retry_ms=700), room=EventRoom()),
            on_replied=lambda stream: self.ended.append("replied"),
            on_discard=lambda stream: self.ended.append("discarded"),
        )
        self.stream.attach(self.writer(accept))
        self.exchange = Exchange(Request(1, "tools/call", {}), LEGACY[version], self.stream)
        self.exchange.owner = self.owner
        self.stream.exchange = self.exchange

    def writer(self, accept: Accept = BOTH) -> ResponseWriter:
        """A response on a new connection."""
        self.wire.transport = self.wire.connect()
        self.wire.channel = self.wire.transport.protocol
        self.wire.receive(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        return ResponseWriter(self.wire.requests[-1], accept, self.turns)

    @property
    def sent(self) -> bytes:
        """The body on the newest connection."""
        self.wire.turn()
        return body(self.wire.transport.value())

    def lose(self) -> None:
        """The newest connection is gone."""
        self.wire.transport.lose()

    def at_rest(self) -> bool:
        """Whether no timer is left but the site's."""
        return len(self.clock.getDelayedCalls()) == 1


def test_a_reply_without_a_stream() -> None:
    """It is plain JSON, and nothing is kept."""
    bench = Bench()
    bench.exchange.succeed({})
    assert bench.sent == b'{"jsonrpc":"2.0","id":1,"result":{}}'
    assert bench.ended == ["replied", "discarded"]
    assert bench.at_rest()


def test_events() -> None:
    """Each has an id, and the first one says when to come back."""
    bench = Bench()
    bench.exchange.notify(b"1")
    bench.exchange.notify(b"2")
    assert bench.sent == b"id: 3-0\nretry: 700\ndata:\n\nid: 3-1\ndata: 1\n\nid: 3-2\ndata: 2\n\n"


def test_a_reply_on_a_stream_is_kept_for_the_grace_time() -> None:
    """Then it is discarded; the exchange was over before."""
    bench = Bench()
    bench.exchange.notify(b"1")
    bench.exchange.succeed({})
    assert bench.ended == ["replied"]
    bench.clock.pump([1.0] * 9)
    assert bench.stream.take_up(bench.writer(), 1)
    assert bench.sent.endswith(b'id: 3-2\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
    bench.clock.pump([1.0] * 11)
    assert bench.ended == ["replied", "discarded"]
    assert bench.at_rest()


def test_lost_unopened() -> None:
    """The call is cancelled at once, and nothing waits."""
    bench = Bench()
    bench.lose()
    assert bench.exchange.state is State.LOST
    assert bench.owner.told == ["lost"]
    assert bench.ended == ["replied", "discarded"]
    assert bench.at_rest()


@pytest.mark.parametrize(("version", "goes_on"), [("2025-11-25", True), ("2025-06-18", False)])
def test_lost_after_a_comment(version: str, goes_on: bool) -> None:
    """What counts is whether the client has got an id."""
    bench = Bench(version)
    bench.stream.open()
    bench.lose()
    assert bench.exchange.live is goes_on
    bench.clock.pump([1.0] * 10)
    assert not bench.exchange.live
    assert bench.at_rest()


def test_lost_and_given_up() -> None:
    """Told once, after the grace time; late words go nowhere."""
    bench = Bench()
    bench.exchange.notify(b"1")
    bench.lose()
    bench.exchange.notify(b"2")
    bench.clock.advance(9.9)
    assert bench.owner.told == ["resumed"]
    bench.clock.advance(0.1)
    assert bench.owner.told == ["resumed", "lost"]
    assert bench.ended == ["replied", "discarded"]
    bench.exchange.notify(b"3")
    bench.exchange.succeed({})
    assert bench.ended == ["replied", "discarded"]


def test_taken_up() -> None:
    """The new connection gets what was missed and then what follows; the old one is closed."""
    bench = Bench()
    bench.exchange.notify(b"1")
    old = bench.wire.transport
    bench.exchange.notify(b"2")
    assert bench.stream.take_up(bench.writer(), 1)
    assert old.ended == ["closed"]
    assert b"data: 2" not in old.value(), "each message is sent on one connection only"
    bench.exchange.notify(b"3")
    assert bench.sent == b"id: 3-1\nretry: 700\ndata:\n\nid: 3-2\ndata: 2\n\nid: 3-3\ndata: 3\n\n"
    old.lose()
    assert bench.exchange.live


@pytest.mark.parametrize("number", [-1, 2, 99])
def test_not_taken_up(number: int) -> None:
    """An unknown number leaves all as it was."""
    bench = Bench()
    bench.exchange.notify(b"1")
    transport = bench.wire.transport
    assert not bench.stream.take_up(bench.writer(), number)
    assert transport.ended == []
    bench.exchange.notify(b"2")
    bench.wire.turn()
    assert transport.value().endswith(b"data: 2\n\n")


def test_withdrawn_unopened() -> None:
    """An empty stream, without an id that would call the client back."""
    bench = Bench()
    bench.exchange.withdraw()
    assert bench.sent == b""
    assert bench.ended == ["replied", "discarded"]
    assert bench.owner.told == ["withdrawn"]


def test_json_only() -> None:
    """Nothing is said before the reply, and nothing kept."""
    bench = Bench(accept=JSON_ONLY)
    bench.exchange.notify(b"1")
    assert bench.sent == b""
    bench.exchange.succeed({})
    assert bench.sent == b'{"jsonrpc":"2.0","id":1,"result":{}}'
    assert bench.at_rest()


def test_json_only_withdrawn() -> None:
    """There is nothing to say, and no stream to say it on."""
    bench = Bench(accept=JSON_ONLY)
    bench.exchange.withdraw()
    assert b" 204 " in bench.wire.transport.value()
    assert bench.sent == b""


def test_closed_with_its_session() -> None:
    """Its connection ends in order, and its call is told."""
    bench = Bench()
    bench.exchange.notify(b"1")
    bench.stream.close()
    assert bench.wire.transport.ended == ["closed"]
    assert bench.owner.told == ["lost"]
    bench.wire.turn()
    assert bench.at_rest()


def test_pause_and_resume_reach_the_work() -> None:
    """As the writer says them."""
    bench = Bench()
    bench.exchange.notify(b"1")
    producer: Any = bench.wire.transport.producer
    producer.pauseProducing()
    producer.resumeProducing()
    assert bench.owner.told == ["paused", "resumed"]
