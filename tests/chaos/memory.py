"""Connections in memory, between a client and a server, on which something may happen to every byte."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectingCancelledError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpserve.client.agent import PoolAgent, Target
from tests.chaos.faults import Kind, Meter, Tap, Way, garbled
from tests.chaos.lean import LeanServer

DELAY = 0.5
"""Seconds that a delay lasts; less than any deadline."""
CONNECTING = 0.005
"""Seconds that it takes to connect, unless told otherwise."""


class Cable:
    """One connection; to the client it is its transport, to the server a line."""

    def __init__(self, network: Network, factory: Any) -> None:
        self.silent = False
        self.open = True
        self.told = b""
        """All that has reached the client."""
        self.meter = Meter()
        self._network = network
        self._waiting: dict[Way, deque[bytes]] = {"up": deque(), "down": deque()}
        self._held: set[Way] = set()
        self._ends: Exception | None = None
        self.peer = network.server.accept(self)
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self)

    # --- the client's transport

    def write(self, data: bytes) -> None:
        """The client says something."""
        self._put("up", data)

    def loseConnection(self) -> None:
        """The client closes, or cuts."""
        self._network.later(self.end, ConnectionDone())

    abortConnection = loseConnection

    def pauseProducing(self) -> None:
        """The client reads no more."""
        self._held.add("down")

    def resumeProducing(self) -> None:
        """The client reads on."""
        self._release("down")

    # --- the server's line

    def say(self, data: bytes) -> None:
        """The server says something."""
        self._put("down", data)

    # --- between them

    def end(self, reason: Exception) -> None:
        """The connection is gone for both."""
        if self.open:
            self.open = False
            if not self.silent:
                self.peer.lost()
            self.protocol.connectionLost(Failure(reason))

    def _put(self, way: Way, data: bytes) -> None:
        if self.open:
            self._waiting[way].append(data)
            self._network.later(self._flow, way)

    def _release(self, way: Way) -> None:
        self._held.discard(way)
        self._network.later(self._flow, way)

    def _flow(self, way: Way) -> None:
        waiting = self._waiting[way]
        while waiting and self.open and not self.silent and way not in self._held:
            data, rest, kind = self._network.tap.take(way, waiting.popleft(), self.meter)
            if rest:
                waiting.appendleft(garbled(rest) if kind == "garble" else rest)
            if data:
                self._bring(way, data)
            if kind is not None and self.open:
                self._strike(kind, way)

    def _bring(self, way: Way, data: bytes) -> None:
        if way == "down":
            self.told += data
            self.protocol.dataReceived(data)
            return
        try:
            self.peer.received(data)
        except (KeyError, ValueError):
            self.end(ConnectionLost())

    def _strike(self, kind: Kind, way: Way) -> None:
        network = self._network
        network.victim = self
        if kind in ("split", "delay"):
            self._held.add(way)
            network.clock.callLater(0 if kind == "split" else DELAY, self._release, way)
        elif kind in ("blackhole", "dead"):
            network.silence(self, all=kind == "dead")
        elif kind in ("close", "cancel"):
            network.user(kind)
        elif kind == "restart":
            network.restart()
        elif kind != "garble":
            network.refuses = kind == "gone"
            self.end(ConnectionDone() if kind == "cut" else ConnectionLost())


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """Connects as Twisted's endpoints do: in a while, and with an error of its own when it is cancelled."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def connect(self, factory: Any) -> Deferred[Any]:
        network = self._network
        arriving = network.clock.callLater(network.connecting, self._arrive, factory)

        def give_up(deferred: Deferred[Any]) -> None:
            if arriving.active():
                arriving.cancel()
            deferred.errback(ConnectingCancelledError(IPv4Address("TCP", "lean.example", 80)))

        self._connected: Deferred[Any] = Deferred(give_up)
        return self._connected

    def _arrive(self, factory: Any) -> None:
        network = self._network
        if network.refuses:
            self._connected.errback(ConnectionRefusedError("Nobody listens"))
        elif not network.dead:
            network.cables.append(Cable(network, factory))
            self._connected.callback(network.cables[-1].protocol)


class Network:
    """All connections to a server.

    Args:
        clock: Time, for both sides.
        server: The server.
        tap: What happens.
        user: Told what the user does.
    """

    def __init__(self, clock: Clock, server: LeanServer, tap: Tap, user: Callable[[Kind], object]) -> None:
        self.clock = clock
        self.server = server
        self.tap = tap
        self.user = user
        self.cables: list[Cable] = []
        self.victim: Cable | None = None
        self.connecting = CONNECTING
        self.refuses = False
        self.dead = False
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def agent(self) -> PoolAgent:
        """What connects a client with it."""
        return PoolAgent(self.clock, idle=8, connect=self._endpoint)

    @property
    def open_cables(self) -> list[Cable]:
        """The connections that are open."""
        return [cable for cable in self.cables if cable.open]

    def later(self, f: Callable[..., object], *args: Any) -> None:
        """Call it in the next turn."""
        self._queue.append((f, args))

    def silence(self, cable: Cable, all: bool) -> None:
        """Nothing passes any more."""
        cable.silent = True
        if all:
            self.dead = True
            for one in self.cables:
                one.silent = True

    def restart(self) -> None:
        """The server starts anew."""
        for cable in self.cables:
            cable.end(ConnectionLost())
        self.server.restart()

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Let bytes pass and time go by until something holds; tell whether it does within so many seconds."""
        end = self.clock.seconds() + seconds
        while not until():
            if self._queue:
                f, args = self._queue.popleft()
                f(*args)
                continue
            times = [call.getTime() for call in self.clock.getDelayedCalls()]
            if not times or min(times) > end:
                return False
            self.clock.advance(max(0.0, min(times) - self.clock.seconds()))
        return True

    def _endpoint(self, target: Target) -> IStreamClientEndpoint:
        return _Endpoint(self)
