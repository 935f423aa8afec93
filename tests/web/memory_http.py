"""A connection in memory: a site, a transport that remembers every write, a clock, and a watcher that takes notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from mcpserve.web.request import McpRequest
from mcpserve.web.site import HttpLimits, McpSite

DEFAULT = HttpLimits()
JSON = [(b"Content-Type", b"application/json")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def refusal(status: int, sentence: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The words of the site under test."""
    return JSON, b'{"refused": %d, "why": "%b"}' % (status, sentence.encode())


def post(body: bytes, extra: bytes = b"") -> bytes:
    """A POST with a length."""
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), extra, body)


def answer_ok(request: McpRequest) -> Any:
    """A route that answers at once."""
    request.answer(200, JSON, request.body or b"ok")
    return NOT_DONE_YET


class MemoryTransport(StringTransport):
    """Remembers each write, and tells the protocol of its end in a later turn, as a socket does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended: list[str] = []
        self.protocol: Any = None
        self._clock = clock

    def write(self, data: bytes) -> None:
        """Remember."""
        self.writes.append(data)

    def writeSequence(self, data: Any) -> None:
        """Remember as one write."""
        self.write(b"".join(data))

    def value(self) -> bytes:
        """All that was written."""
        return b"".join(self.writes)

    def loseWriteConnection(self) -> None:
        """Close our sending half."""
        self.ended.append("half")

    def loseConnection(self) -> None:
        """Close."""
        self.disconnecting = True
        self._end("closed", ConnectionDone())

    def abortConnection(self) -> None:
        """Drop."""
        self._end("aborted", ConnectionAborted())

    def _end(self, how: str, reason: Exception) -> None:
        self.ended.append(how)
        self._clock.callLater(0, self.lose, reason)

    def lose(self, reason: Exception | None = None) -> None:
        """The connection is gone, in this turn."""
        if self.connected:
            self.connected = False
            self.producer = None
            self.protocol.connectionLost(Failure(reason or ConnectionLost()))


class Scripted(Resource):
    """A leaf that leaves each request to a function."""

    isLeaf = True

    def __init__(self, route: Callable[[McpRequest], Any]) -> None:
        super().__init__()
        self._route = route

    def render(self, request: McpRequest) -> Any:
        """Let the function render."""
        return self._route(request)


@attrs.define
class Notes:
    """A watcher that writes down what it is told."""

    told: list[str] = attrs.Factory(list)
    on_input_ended: Callable[[], None] = lambda: None

    def connection_lost(self, reason: Failure) -> None:
        """Note it."""
        self.told.append("lost")

    def pause(self) -> None:
        """Note it."""
        self.told.append("pause")

    def resume(self) -> None:
        """Note it."""
        self.told.append("resume")

    def input_ended(self) -> None:
        """Note it."""
        self.told.append("input ended")
        self.on_input_ended()


class Wire:
    """A site in memory and one connection to it.

    Args:
        route: Renders each request; without one, requests wait in `requests`.
        limits: Of the site.
        resource: In place of a route.
    """

    def __init__(
        self,
        route: Callable[[McpRequest], Any] | None = None,
        limits: HttpLimits = DEFAULT,
        resource: Any = None,
    ) -> None:
        self.clock = Clock()
        self.requests: list[McpRequest] = []
        self.notes: list[Notes] = []
        self.site = McpSite(resource or Scripted(route or self._keep), clock=self.clock, limits=limits, refusal=refusal)
        self.site.startFactory()
        self.transport = self.connect()
        self.channel = self.transport.protocol

    def _keep(self, request: McpRequest) -> Any:
        self.requests.append(request)
        self.notes.append(Notes())
        request.watch(self.notes[-1])
        return NOT_DONE_YET

    def connect(self) -> MemoryTransport:
        """Open one more connection."""
        transport = MemoryTransport(self.clock)
        transport.protocol = self.site.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def receive(self, data: bytes) -> bytes:
        """Deliver bytes from the client; return what was written in return."""
        before = len(self.transport.writes)
        self.channel.dataReceived(data)
        return b"".join(self.transport.writes[before:])

    def request(self, data: bytes = GET) -> tuple[McpRequest, Notes]:
        """Deliver a request, and return it as it waits for its response."""
        self.receive(data)
        return self.requests[-1], self.notes[-1]

    def seconds(self, number: int) -> None:
        """Let seconds pass, one by one."""
        self.clock.pump([1.0] * number)

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0)


def status(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


def body(answer: bytes) -> bytes:
    """What comes after the head of an answer."""
    return answer.partition(b"\r\n\r\n")[2]
