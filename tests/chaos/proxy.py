"""A proxy on loopback, on whose connections something may happen to every byte."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.chaos.faults import Kind, Meter, Tap, Way, garbled

GAP = 0.003
"""Seconds between the two parts of a split, so that they are read one by one."""
DELAY = 0.05
"""Seconds that a delay lasts; less than any deadline."""


class Side(Protocol):
    """One of the two connections of a pair.

    Args:
        way: The direction of what it reads.
    """

    transport: Any

    def __init__(self, way: Way) -> None:
        self.way: Way = way
        self.pair: Pair | None = None
        self.connected_now = False

    def connectionMade(self) -> None:
        """It stands."""
        self.connected_now = True
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Hand it on."""
        assert self.pair is not None
        self.pair.bring(self.way, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone; so will be the other one."""
        self.connected_now = False
        if self.pair is not None:
            self.pair.lost(self.way)


class Pair:
    """A connection of the client, and the one to the server that belongs to it.

    Args:
        proxy: Whose it is.
        front: That of the client.
    """

    def __init__(self, proxy: Proxy, front: Side) -> None:
        self.silent = proxy.dead
        self.told = b""
        """All that has reached the client."""
        self._proxy = proxy
        self._meter = Meter()
        self._sides: dict[Way, Side] = {"up": front}
        self._waiting: dict[Way, bytes] = {"up": b"", "down": b""}
        self._held: set[Way] = {"up"}
        front.pair = self
        back = Side("down")
        connecting = connectProtocol(TCP4ClientEndpoint(proxy.reactor, "127.0.0.1", proxy.port), back)
        connecting.addCallbacks(self._connected, lambda _: self.end(orderly=False))

    def bring(self, way: Way, data: bytes) -> None:
        """Bytes have come."""
        self._waiting[way] += data
        self._flow(way)

    def lost(self, way: Way) -> None:
        """One of the two is gone; who is still there is told what was said before."""
        if not self.silent:
            self.end(orderly=True)
        elif way == "up":
            self.end(orderly=False)

    def end(self, *, orderly: bool) -> None:
        """Close both: FIN, or RST."""
        self._proxy.pairs.discard(self)
        self._waiting = {"up": b"", "down": b""}
        for side in self._sides.values():
            if side.connected_now:
                side.transport.loseConnection() if orderly else side.transport.abortConnection()

    def _connected(self, back: Side) -> None:
        if self not in self._proxy.pairs:
            back.transport.abortConnection()
            return
        back.pair = self
        self._sides["down"] = back
        self._release("up")

    def _release(self, way: Way) -> None:
        self._held.discard(way)
        self._flow(way)

    def _flow(self, way: Way) -> None:
        while self._waiting[way] and not self.silent and way not in self._held:
            data, rest, kind = self._proxy.tap.take(way, self._waiting[way], self._meter)
            self._waiting[way] = garbled(rest) if rest and kind == "garble" else rest
            if data:
                self._send(way, data)
            if kind is not None:
                self._strike(kind, way)

    def _send(self, way: Way, data: bytes) -> None:
        """Write at once: what is in the buffer of a transport would be gone when it is aborted."""
        if way == "down":
            self.told += data
        receiver = self._sides.get("down" if way == "up" else "up")
        if receiver is not None and receiver.connected_now:
            try:
                sent = receiver.transport.socket.send(data)
            except OSError:
                return
            assert sent == len(data), "loopback takes more than this at once"

    def _strike(self, kind: Kind, way: Way) -> None:
        proxy = self._proxy
        proxy.victim = self
        if kind in ("split", "delay"):
            self._held.add(way)
            proxy.reactor.callLater(GAP if kind == "split" else DELAY, self._release, way)
        elif kind in ("blackhole", "dead"):
            self.silent = True
            if kind == "dead":
                proxy.die()
        elif kind in ("reset", "cut"):
            self.end(orderly=kind == "cut")


class Proxy(Factory):
    """Listens on a port of 127.0.0.1.

    Args:
        reactor: The real one.
        port: That of the server.
        tap: What happens.
    """

    noisy = False

    def __init__(self, reactor: Any, port: int, tap: Tap) -> None:
        self.reactor = reactor
        self.port = port
        self.tap = tap
        self.pairs: set[Pair] = set()
        self.victim: Pair | None = None
        self.dead = False
        self._listening: Any = None

    async def listen(self) -> int:
        """Begin; the port."""
        self._listening = await TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1").listen(self)
        port: int = self._listening.getHost().port
        return port

    def buildProtocol(self, address: Any) -> Side:
        """A connection of the client."""
        front = Side("up")
        self.pairs.add(Pair(self, front))
        return front

    def die(self) -> None:
        """Nothing passes any more."""
        self.dead = True
        for pair in self.pairs:
            pair.silent = True

    async def close(self) -> None:
        """Leave nothing behind."""
        await self._listening.stopListening()
        for pair in list(self.pairs):
            pair.end(orderly=False)
