"""The replies to one batch, gathered without a session."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.errors import InvalidRequest
from mcpserve.legacy.batches import BatchReply
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.jsonrpc import Request
from mcpserve.protocol.revisions import LEGACY
from mcpserve.web.facts import BOTH, Accept
from mcpserve.web.response import ResponseWriter, StreamLimits, Turns
from tests.legacy.owner import Owner
from tests.web.memory_http import Wire, body, status

REVISION = LEGACY["2025-03-26"]
EVENTS_ONLY = Accept(json=False, sse=True)


class Bench:
    """A batch on a connection in memory."""

    def __init__(self, accept: Accept = BOTH, buffer: int = 10_000) -> None:
        self.wire = Wire()
        request, _ = self.wire.request(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        self.writer = ResponseWriter(request, accept, Turns(self.wire.clock, StreamLimits(buffer=buffer)))
        self.reply = BatchReply(self.writer)
        self.ended: list[int] = []
        self.owners: list[Owner] = []

    def request(self, request_id: int) -> Exchange:
        """Add a request."""
        carrier = self.reply.carrier(lambda: self.ended.append(request_id))
        carrier.exchange = Exchange(Request(request_id, "x", {}), REVISION, carrier)
        self.owners.append(Owner())
        carrier.exchange.owner = self.owners[-1]
        return carrier.exchange

    @property
    def sent(self) -> bytes:
        """The body so far."""
        self.wire.turn()
        return body(self.wire.transport.value())


def result(request_id: int) -> bytes:
    """The bytes of an empty result."""
    return b'{"jsonrpc":"2.0","id":%d,"result":{}}' % request_id


def test_array() -> None:
    """One array when the last has its reply, in the order of the replies."""
    bench = Bench()
    one, two = bench.request(1), bench.request(2)
    bench.reply.complete()
    two.succeed({})
    assert bench.sent == b""
    one.succeed({})
    assert bench.sent == b"[" + result(2) + b"," + result(1) + b"]"
    assert bench.ended == [2, 1]


def test_nothing_is_sent_before_all_was_looked_at() -> None:
    """The first of two may be done before the second is known."""
    bench = Bench()
    bench.request(1).succeed({})
    assert bench.sent == b""
    bench.request(2).succeed({})
    bench.reply.complete()
    assert bench.sent == b"[" + result(1) + b"," + result(2) + b"]"


def test_stream() -> None:
    """A notification turns the response into a stream; what was replied before it comes as an event."""
    bench = Bench()
    one, two, three = bench.request(1), bench.request(2), bench.request(3)
    one.succeed({})
    bench.reply.complete()
    two.notify(b"n")
    three.succeed({})
    two.succeed({})
    assert bench.sent == b"".join(b"data: %b\n\n" % each for each in (b"n", result(1), result(3), result(2)))
    assert bench.wire.transport.ended == ["closed"]


def test_events_only() -> None:
    """Each reply is an event at once."""
    bench = Bench(EVENTS_ONLY)
    one, two = bench.request(1), bench.request(2)
    bench.reply.complete()
    one.succeed({})
    assert bench.sent == b"data: " + result(1) + b"\n\n"
    two.succeed({})
    assert bench.wire.transport.ended == ["closed"]


@pytest.mark.parametrize("accept", [BOTH, EVENTS_ONLY])
def test_nothing_to_reply_to(accept: Accept) -> None:
    """202, whatever the client takes."""
    bench = Bench(accept)
    bench.reply.complete()
    assert (status(bench.wire.transport.value()), bench.sent) == (202, b"")


def test_refused_elements() -> None:
    """They are replies like others."""
    bench = Bench()
    bench.reply.refuse(InvalidRequest("no"), None)
    bench.reply.complete()
    assert bench.sent == b'[{"jsonrpc":"2.0","error":{"code":-32600,"message":"no"}}]'


def test_withdrawn() -> None:
    """One that is withdrawn is not waited for."""
    bench = Bench()
    one, two = bench.request(1), bench.request(2)
    bench.reply.complete()
    one.succeed({})
    two.withdraw()
    assert bench.sent == b"[" + result(1) + b"]"


def test_lost() -> None:
    """All that run are told, once; those that have ended are not."""
    bench = Bench()
    bench.request(1).succeed({})
    bench.request(2)
    bench.reply.complete()
    bench.wire.transport.lose()
    assert [owner.told for owner in bench.owners] == [[], ["lost"]]
    assert bench.ended == [1, 2]


def test_overrun() -> None:
    """All that run are told why; no number of one call is dropped for another's."""
    bench = Bench(buffer=100)
    one, _ = bench.request(1), bench.request(2)
    bench.reply.complete()
    one.notify(b"first")
    producer: Any = bench.wire.transport.producer
    producer.pauseProducing()
    assert [owner.told for owner in bench.owners] == [["paused"], ["paused"]]
    for _ in range(2):
        one.notify(b"x" * 60, replaceable=True)
    assert [owner.told[1:] for owner in bench.owners] == [["overrun"], ["overrun"]]
    assert bench.wire.transport.ended == ["aborted"]
