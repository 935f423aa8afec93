"""A network in memory: connections whose other end is a test, and coroutines that are looked at from outside."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpserve.client.agent import PoolAgent, Target
from tests.web.memory_http import MemoryTransport


class Link(MemoryTransport):
    """One connection of the client; the test is its server. What is said while the client reads no more waits."""

    def __init__(self, clock: Clock, target: Target) -> None:
        super().__init__(clock)
        self.target = target
        self.paused = False
        self.pauses = 0
        self._unread: list[bytes] = []

    @property
    def asked(self) -> bytes:
        """All that the client has said."""
        return self.value()

    @property
    def requests(self) -> list[bytes]:
        """The requests of the client, one for each that it has written."""
        return self.writes

    @property
    def aborted(self) -> bool:
        """Whether the client has cut the connection."""
        return "aborted" in self.ended

    @property
    def unread(self) -> int:
        """How many bytes wait for the client."""
        return sum(len(data) for data in self._unread)

    def pauseProducing(self) -> None:
        """The client reads no more."""
        self.paused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        """The client reads on; what waited comes piece by piece."""
        self.paused = False
        while self._unread and not self.paused and self.connected:
            self.protocol.dataReceived(self._unread.pop(0))

    def say(self, *pieces: bytes) -> None:
        """Say something, in pieces."""
        for piece in pieces:
            if self.paused:
                self._unread.append(piece)
            elif self.connected:
                self.protocol.dataReceived(piece)

    def hang_up(self) -> None:
        """Close in good order."""
        self.lose(ConnectionDone())

    def reset(self) -> None:
        """Break off."""
        self.lose(ConnectionLost())


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, network: Network, target: Target) -> None:
        self._network = network
        self._target = target

    def connect(self, factory: Any) -> Deferred[Any]:
        return self._network.arrive(factory, self._target)


class Network:
    """Where the client connects to.

    Args:
        refuse: What is wrong with each connection; None to accept.
        hold: Keep connections waiting until `accept`.
    """

    def __init__(self, *, refuse: Exception | None = None, hold: bool = False) -> None:
        self.clock = Clock()
        self.links: list[Link] = []
        self.waiting: list[tuple[Any, Target, Deferred[Any]]] = []
        self.given_up = 0
        self.refuse = refuse
        self.hold = hold

    def agent(self, idle: int = 8) -> PoolAgent:
        """An agent of this network."""
        return PoolAgent(self.clock, idle=idle, connect=lambda target: _Endpoint(self, target))

    def arrive(self, factory: Any, target: Target) -> Deferred[Any]:
        """The client wants to connect."""
        if self.refuse is not None:
            return fail(self.refuse)
        if not self.hold:
            return succeed(self._link(factory, target))
        deferred: Deferred[Any] = Deferred(self._gave_up)
        self.waiting.append((factory, target, deferred))
        return deferred

    def accept(self) -> Link:
        """Accept the connection that waits longest."""
        factory, target, deferred = self.waiting.pop(0)
        deferred.callback(self._link(factory, target))
        return self.links[-1]

    @property
    def link(self) -> Link:
        """The newest connection."""
        return self.links[-1]

    def turn(self) -> None:
        """Let the reactor turn."""
        self.clock.advance(0)

    @property
    def leftovers(self) -> list[Any]:
        """What is still there: delayed calls, and connections that are open."""
        return [*self.clock.getDelayedCalls(), *(link for link in self.links if link.connected)]

    def _link(self, factory: Any, target: Target) -> Any:
        link = Link(self.clock, target)
        self.links.append(link)
        link.protocol = factory.buildProtocol(None)
        link.protocol.makeConnection(link)
        return link.protocol

    def _gave_up(self, connecting: Deferred[Any]) -> None:
        """As Twisted's endpoints do: that they were cancelled is an error of their own."""
        self.given_up += 1
        self.waiting.clear()
        connecting.errback(ConnectingCancelledError(IPv4Address("TCP", "server.example", 8000)))


REFUSED = ConnectionRefusedError("Nobody listens")


class Task:
    """A coroutine that runs, and what becomes of it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._results: list[Any] = []
        self._deferred = Deferred.fromCoroutine(coroutine)
        self._deferred.addBoth(self._results.append)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return bool(self._results)

    @property
    def result(self) -> Any:
        """What it has returned."""
        assert self._results, "it still runs"
        result = self._results[0]
        if isinstance(result, Failure):
            result.raiseException()
        return result

    @property
    def error(self) -> Any:
        """The exception that it has ended with."""
        assert self._results, "it still runs"
        assert isinstance(self._results[0], Failure), f"it has returned {self._results[0]!r}"
        return self._results[0].value

    def cancel(self) -> None:
        """Cancel it; it ends at once."""
        self._deferred.cancel()
        assert isinstance(self.error, CancelledError)


def answer(body: bytes = b"{}", *more: str, status: str = "200 OK", type: str = "application/json") -> bytes:
    """An answer of known length."""
    return head(f"Content-Length: {len(body)}", *more, status=status, type=type) + body


def head(*more: str, status: str = "200 OK", type: str = "application/json") -> bytes:
    """The head of an answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {type}", *more, "", ""]
    return "\r\n".join(lines).encode()


def stream(*more: str) -> bytes:
    """The head of a stream of events, in chunks."""
    return head("Transfer-Encoding: chunked", *more, type="text/event-stream")


def chunk(data: bytes) -> bytes:
    """A chunk; an empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)
