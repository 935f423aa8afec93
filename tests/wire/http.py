"""The client's side of one connection in memory: what it has read so far, and how it behaves while it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import orjson
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock

from mcpserve.web.site import McpSite
from tests.web.memory_http import MemoryTransport

CLIENT_ADDRESS = "192.168.1.1"


@attrs.frozen(kw_only=True)
class Event:
    """One server-sent event, or the comment that keeps a stream alive."""

    event: str | None = None
    id: str | None = None
    retry: int | None = None
    data: str | None = None

    @property
    def comment(self) -> bool:
        """Whether there is nothing in it."""
        return self == Event()


class Peer(MemoryTransport):
    """A client on a connection of its own, with a socket buffer between it and the server.

    Args:
        site: What it is connected to.
        clock: The server's.
        buffer: Bytes that the socket takes while the client does not read; then it asks the server to pause.
        address: Where it comes from; None for a UNIX socket.
    """

    def __init__(self, site: McpSite, clock: Clock, buffer: int = 1024, address: str | None = CLIENT_ADDRESS) -> None:
        super().__init__(clock)
        self.peerAddr = UNIXAddress(None) if address is None else _address(address)
        self.arrived = b""
        self._buffer = buffer
        self._unread = b""
        self._reads = True
        self._closing = False
        self._paused = False
        self._events_seen = 0
        self.protocol = site.buildProtocol(None)
        self.protocol.makeConnection(self)

    # --- what the client does

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.protocol.dataReceived(data)

    def drop(self) -> None:
        """Reset the connection."""
        self.lose()

    def half_close(self) -> None:
        """Shut the sending half down, and go on reading."""
        self.protocol.readConnectionLost()

    def stall(self) -> None:
        """Stop to read."""
        self._reads = False

    def read_on(self) -> None:
        """Go on reading."""
        self._reads = True
        unread, self._unread = self._unread, b""
        self.arrived += unread
        if self._paused:
            self._paused = False
            if self.producer is not None:
                self.producer.resumeProducing()
        if self._closing:
            self.loseConnection()

    # --- what the socket does

    def write(self, data: bytes) -> None:
        """Take bytes of the server."""
        super().write(data)
        if self._reads:
            self.arrived += data
            return
        self._unread += data
        if len(self._unread) > self._buffer and self.producer is not None:
            self._paused = True
            self.producer.pauseProducing()

    def loseConnection(self) -> None:
        """Close when all is read."""
        if self._unread:
            self.disconnecting = self._closing = True
        elif not self.ended:
            self.disconnecting = True
            self._end("closed", ConnectionDone())

    @property
    def unread(self) -> int:
        """How many bytes the socket holds for the client."""
        return len(self._unread)

    # --- what the client has read

    @property
    def answered(self) -> bool:
        """Whether the head of a response has arrived."""
        return b"\r\n\r\n" in self.arrived

    @property
    def status(self) -> int:
        """The HTTP status."""
        assert self.answered, f"no response yet: {self.arrived!r}"
        return int(self.arrived.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        """The response headers by lower-case name."""
        assert self.answered, f"no response yet: {self.arrived!r}"
        lines = self.arrived.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        fields = [line.partition(":") for line in lines]
        names = [name.lower() for name, _, _ in fields]
        assert len(set(names)) == len(names), f"a header stands twice: {names}"
        return {name.lower(): value.strip() for name, _, value in fields}

    @property
    def body(self) -> bytes:
        """The body, as far as it has arrived."""
        return self._content()[0]

    @property
    def complete(self) -> bool:
        """Whether the response has ended as it should."""
        return self.answered and self._content()[1]

    @property
    def type(self) -> str | None:
        """The content type."""
        return self.headers.get("content-type")

    @property
    def json(self) -> Any:
        """The body of a plain answer."""
        assert self.type == "application/json", f"{self.status} {self.type}: {self.body!r}"
        assert self.complete
        return orjson.loads(self.body)

    @property
    def events(self) -> Sequence[Event]:
        """The events that have arrived as a whole, comments too."""
        assert self.type == "text/event-stream", f"{self.status} {self.type}: {self.body!r}"
        *whole, rest = self.body.decode("utf-8").split("\n\n")
        assert not (self.complete and rest), f"the stream ended within an event: {rest!r}"
        return [_event(frame) for frame in whole]

    @property
    def messages(self) -> Sequence[Any]:
        """The JSON-RPC messages of the stream."""
        return [orjson.loads(event.data) for event in self.events if event.data]

    @property
    def comments(self) -> int:
        """How many comments have arrived."""
        return sum(event.comment for event in self.events)

    @property
    def error(self) -> Any:
        """The `error` member of the answer, whatever form it has."""
        return self.reply["error"]

    @property
    def result(self) -> Any:
        """The `result` member of the answer, whatever form it has."""
        return self.reply["result"]

    @property
    def reply(self) -> Any:
        """The answer to the request, be it JSON or the last event of the stream."""
        if self.type == "application/json":
            return self.json
        assert self.complete, "the stream goes on"
        return self.messages[-1]

    def _content(self) -> tuple[bytes, bool]:
        rest = self.arrived.partition(b"\r\n\r\n")[2]
        headers = self.headers
        if headers.get("transfer-encoding") == "chunked":
            return _unchunked(rest)
        if "content-length" in headers:
            assert len(rest) <= int(headers["content-length"]), "more was sent than was announced"
            return rest, len(rest) == int(headers["content-length"])
        return rest, self.status in (204, 304) or bool(self.ended)


def _address(text: str) -> IPv4Address | IPv6Address:
    kind = IPv6Address if ":" in text else IPv4Address
    return kind("TCP", text, 54321)


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    parts = []
    while True:
        size, line_end, rest = data.partition(b"\r\n")
        length = int(size, 16) if line_end else -1
        if length < 0 or len(rest) < length + 2:
            return b"".join(parts), False
        assert rest[length : length + 2] == b"\r\n", "a chunk does not end where it said"
        if not length:
            assert rest == b"\r\n", f"something follows the last chunk: {rest!r}"
            return b"".join(parts), True
        parts.append(rest[:length])
        data = rest[length + 2 :]


def _event(frame: str) -> Event:
    fields: dict[str, Any] = {}
    for line in frame.split("\n"):
        name, _, value = line.partition(":")
        if name:
            assert name not in fields, f"a field stands twice in one event: {frame!r}"
            fields[name] = int(value) if name == "retry" else value.removeprefix(" ")
    return Event(**fields)
