"""The client's side of stdio in memory: what it has read so far, and how it behaves while it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from mcpserve.legacy.handshake import Handshake
from mcpserve.legacy.talk import Talk
from mcpserve.policy.callers import Caller
from mcpserve.stdio import LineLimits, LineProtocol
from tests.wire.server import CAPABILITIES, CLIENT, INFO, MODERN, NOTHING, VERSION, Server, call_params, request

LIMITS = LineLimits()


class Client:
    """Two pipes to a server, and what is at the client's end of them. Implements Twisted's transport.

    Args:
        protocol: The server's end.
        buffer: Bytes that the pipe takes while the client does not read; then it asks the server to pause.
    """

    def __init__(self, protocol: LineProtocol, buffer: int = 1024) -> None:
        self.arrived = b""
        self.closed = False
        self.takes_input = True
        self.protocol = protocol
        self._buffer = buffer
        self._unread = b""
        self._unsent: list[bytes] = []
        self._reads = True
        self._broken = False
        self._producer: Any = None
        self.protocol.makeConnection(self)

    # --- what the client does

    def put(self, data: bytes) -> None:
        """Write bytes; they wait while the server does not read."""
        self._unsent.append(data)
        while self._unsent and self.takes_input:
            self.protocol.dataReceived(self._unsent.pop(0))

    def send(self, message: Any) -> None:
        """Send a message."""
        self.put(orjson.dumps(message) + b"\n")

    def modern(
        self, method: str, params: Mapping[str, Any] = NOTHING, *, meta: Mapping[str, Any] = NOTHING, **members: Any
    ) -> Any:
        """Send a modern request, and return the reply if it has come; `...` as a value takes a key out of `_meta`."""
        full = {VERSION: MODERN, CAPABILITIES: {}, INFO: CLIENT, **meta}
        params = {**params, "_meta": {key: value for key, value in full.items() if value is not ...}}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **members}
        self.send(message)
        return self.reply(message["id"])

    def call(self, tool: str, arguments: Any = None, *, token: Any = None, **more: Any) -> Any:
        """Call a tool, modern."""
        meta = {**({} if token is None else {"progressToken": token}), **more.pop("meta", {})}
        return self.modern("tools/call", call_params(tool, arguments), meta=meta, **more)

    def initialize(self, version: str, **params: Any) -> Any:
        """Ask for a handshake."""
        wanted = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT, **params}
        return self.ask("initialize", wanted, id="init")

    def settle(self, version: str) -> None:
        """Shake hands."""
        assert self.initialize(version)["result"]["protocolVersion"] == version
        self.notify("notifications/initialized")

    def ask(self, method: str, params: Any = None, *, id: Any = 1) -> Any:
        """Send a legacy request, and return the reply if it has come."""
        self.send(request(method, params, id))
        return self.reply(id)

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification."""
        message = request(method, params, None)
        del message["id"]
        self.send(message)

    def cancel(self, request_id: Any) -> None:
        """Cancel a request."""
        self.notify("notifications/cancelled", {"requestId": request_id})

    def stall(self) -> None:
        """Stop to read."""
        self._reads = False

    def read_on(self) -> None:
        """Read all that is there, and go on reading."""
        self._reads = True
        unread, self._unread = self._unread, b""
        self.arrived += unread
        if unread and self._producer is not None:
            self._producer.resumeProducing()
        if self.closed:
            self.protocol.connectionLost()

    def read_once(self) -> None:
        """Read what the pipe holds, and no more."""
        unread, self._unread = self._unread, b""
        self.arrived += unread
        if unread and self._producer is not None:
            self._producer.resumeProducing()

    def close_input(self) -> None:
        """Say no more."""
        self.protocol.readConnectionLost()

    def close_output(self) -> None:
        """Read no more."""
        self._broken = True
        self.protocol.writeConnectionLost()

    # --- what the transport does

    def write(self, data: bytes) -> None:
        """Take bytes of the server."""
        assert not self.closed
        if self._reads:
            self.arrived += data
            return
        self._unread += data
        if len(self._unread) > self._buffer and self._producer is not None:
            self._producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Take the producer."""
        assert streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer = None

    def pauseProducing(self) -> None:
        """The server does not want to hear more now."""
        self.takes_input = False

    def resumeProducing(self) -> None:
        """The server listens again."""
        self.takes_input = True
        self.put(b"")

    def loseConnection(self) -> None:
        """The server closes, when all is read. As with real pipes, nothing more is told of those that broke."""
        self.closed = True
        if not (self._unread or self._broken):
            self.protocol.connectionLost()

    # --- what the client has read

    @property
    def messages(self) -> Sequence[Any]:
        """All messages so far, each from a line of its own."""
        *lines, rest = self.arrived.split(b"\n")
        assert not rest, f"a line has no end: {rest!r}"
        return [orjson.loads(line) for line in lines]

    def reply(self, request_id: Any = 1) -> Any:
        """The one reply to a request, or None."""
        found = [m for m in self.messages if isinstance(m, dict) and _same(m.get("id"), request_id)]
        assert len(found) <= 1, f"several replies: {found}"
        return found[0] if found else None

    @property
    def notices(self) -> Sequence[Any]:
        """All notifications."""
        return [message for message in self.messages if "method" in message]

    @property
    def without_id(self) -> Sequence[Any]:
        """The errors that could not name a request."""
        return [message for message in self.messages if "error" in message and "id" not in message]

    @property
    def unread(self) -> int:
        """How many bytes wait in the pipe."""
        return len(self._unread)


class Pipes(Client):
    """A client of a server in memory.

    Args:
        server: What is served.
        limits: Bounds of the connection.
        legacy: Whether the revisions with a handshake are served.
    """

    def __init__(self, server: Server, *, limits: LineLimits = LIMITS, legacy: bool = True) -> None:
        self.ends = 0
        handshake = Handshake(server.dispatcher, server.subscriptions)
        maker = (lambda conversation: Talk(handshake, conversation, Caller())) if legacy else None
        super().__init__(LineProtocol(server.dispatcher, limits, maker, self._ended))

    def _ended(self) -> None:
        self.ends += 1


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
