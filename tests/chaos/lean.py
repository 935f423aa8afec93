"""A server of each era that says as little as it may, so that every byte of it can be struck. No input, no output."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import attrs
import orjson
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

Era = Literal["modern", "legacy", "sse"]
ERAS: tuple[Era, ...] = ("modern", "legacy", "sse")
STEP = 0.01
"""Seconds between two things that a tool says."""
STEPS = 2
"""How often a tool says how far it has come."""

_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)
_SESSION = re.compile(rb"\r\nMcp-Session-Id: ([^\r]+)\r\n", re.IGNORECASE)
_RESUMES = re.compile(rb"\r\nLast-Event-ID: ([^\r]+)\r\n", re.IGNORECASE)
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TOOLS = {"tools": [{"name": "count", "inputSchema": {"type": "object"}}], "resultType": "complete"}
_DISCOVERED = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
_VERSIONS = {"legacy": "2025-11-25", "sse": "2024-11-05"}

Emit = Callable[[Mapping[str, Any]], None]


class Line(Protocol):
    """A connection, as the server sees it."""

    def say(self, data: bytes) -> None:
        """Write bytes."""


@attrs.define(eq=False)
class Record:
    """What happened on the server.

    Args:
        executed: The key of each call that was begun.
        cancelled: When each was cancelled that was, by key.
    """

    executed: list[str] = attrs.Factory(list)
    cancelled: dict[str, float] = attrs.Factory(dict)


@attrs.define(eq=False)
class Call:
    """A call of a tool: "count" says how far it has come and then its result; "linger" never comes to that."""

    server: LeanServer
    id: Any
    params: Mapping[str, Any]
    emit: Emit
    timer: IDelayedCall | None = None
    step: int = 0

    @property
    def key(self) -> str:
        """What the caller calls it."""
        key: str = self.params["arguments"]["key"]
        return key

    def begin(self) -> None:
        """Work."""
        self.server.record.executed.append(self.key)
        self.timer = self.server.clock.callLater(0, self._next)

    def cancel(self) -> None:
        """Work no more."""
        if self.timer is not None or self.params["name"] == "linger":
            self.server.record.cancelled[self.key] = self.server.clock.seconds()
            if self.timer is not None:
                self.timer.cancel()
            self.timer = None

    def _next(self) -> None:
        self.step += 1
        self.timer = None
        if self.step <= STEPS:
            token = self.params.get("_meta", {}).get("progressToken")
            self.timer = self.server.clock.callLater(STEP, self._next)
            params = {"progressToken": token, "progress": self.step}
            self.emit({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        elif self.params["name"] == "count":
            content = [{"type": "text", "text": f"counted {self.key}"}]
            result = {"content": content, "resultType": "complete"}
            self.emit({"jsonrpc": "2.0", "id": self.id, "result": result})


class Stream:
    """The events of one call, which outlive the connections that bring them."""

    def __init__(self, number: int, peer: Peer) -> None:
        self.peer: Peer | None = peer
        self._number = number
        self._events = [b"id: %d-0\nretry: 20\ndata:\n\n" % number]
        self._over = False
        self.bring(0)

    def bring(self, first: int) -> None:
        """All events from this one on."""
        assert self.peer is not None
        self.peer.line.say(_STREAM)
        for event in self._events[first:]:
            self.peer.line.say(_chunk(event))
        if self._over:
            self.peer.line.say(_chunk(b""))

    def emit(self, message: Mapping[str, Any]) -> None:
        """One more event; the response is the last."""
        event = b"id: %d-%d\ndata: %b\n\n" % (self._number, len(self._events), orjson.dumps(message))
        self._events.append(event)
        self._over = "id" in message
        if self.peer is not None:
            self.peer.line.say(_chunk(event))
            if self._over:
                self.peer.line.say(_chunk(b""))


class LeanServer:
    """A server of one era.

    Args:
        clock: Time.
        era: The only one that it knows.
    """

    def __init__(self, clock: Clock, era: Era) -> None:
        self.clock = clock
        self.era = era
        self.record = Record()
        self.streams: list[Stream] = []
        self.calls: dict[Any, Call] = {}
        self.listener: Peer | None = None
        self.session = b"1"

    def restart(self) -> None:
        """Forget all."""
        for request_id in list(self.calls):
            self.cancel(request_id)
        self.streams.clear()
        self.session = b"%d" % (int(self.session) + 1)

    def accept(self, line: Line) -> Peer:
        """A connection was made."""
        return Peer(self, line)

    def call(self, message: Mapping[str, Any], emit: Emit) -> Call:
        """Begin a call."""
        call = self.calls[message["id"]] = Call(self, message["id"], message["params"], emit)
        call.begin()
        return call

    def cancel(self, request_id: Any) -> None:
        """End a call."""
        call = self.calls.pop(request_id, None)
        if call is not None:
            call.cancel()

    def result_of(self, method: str) -> Mapping[str, Any] | None:
        """What answers a request that is no call; None if it is not known here."""
        if method == "tools/list":
            return _TOOLS
        if self.era == "modern":
            return _DISCOVERED if method == "server/discover" else None
        if method == "initialize":
            info = {"name": "lean", "version": "1"}
            return {"protocolVersion": _VERSIONS[self.era], "capabilities": {"tools": {}}, "serverInfo": info}
        return None


class Peer:
    """The server's side of one connection."""

    def __init__(self, server: LeanServer, line: Line) -> None:
        self.line = line
        self._server = server
        self._held = b""
        self._own: list[Any] = []
        self._streams: list[Stream] = []

    def received(self, data: bytes) -> None:
        """Bytes of requests."""
        self._held += data
        while True:
            head, found, rest = self._held.partition(b"\r\n\r\n")
            if not found:
                return
            head += b"\r\n"
            told = _LENGTH.search(head)
            size = int(told[1]) if told else 0
            if len(rest) < size:
                return
            self._held = rest[size:]
            self._asked(head, rest[:size])

    def lost(self) -> None:
        """The connection is gone: so are the calls that live on it."""
        for stream in self._streams:
            if stream.peer is self:
                stream.peer = None
        for request_id in self._own:
            self._server.cancel(request_id)
        if self._server.listener is self:
            self._server.listener = None
            if self._server.era == "sse":
                for request_id in list(self._server.calls):
                    self._server.cancel(request_id)

    def _asked(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            self._stream(head, path)
        elif method == b"DELETE":
            self._says(b"204 No Content")
        elif self._is_unknown(head, path):
            self._says(b"404 Not Found", b"text/plain", b"not here")
        else:
            self._told(orjson.loads(body))

    def _is_unknown(self, head: bytes, path: bytes) -> bool:
        server = self._server
        if server.era == "sse":
            return path != b"/messages/" + server.session
        session = _SESSION.search(head)
        return server.era == "legacy" and session is not None and session[1] != server.session

    def _stream(self, head: bytes, path: bytes) -> None:
        server, resumes = self._server, _RESUMES.search(head)
        if server.era == "modern":
            self._says(b"405 Method Not Allowed")
        elif server.era == "legacy" and self._is_unknown(head, path):
            self._says(b"404 Not Found")
        elif resumes is not None:
            number, _, event = resumes[1].partition(b"-")
            stream = server.streams[int(number)]
            stream.peer = self
            self._streams.append(stream)
            stream.bring(int(event) + 1)
        else:
            server.listener = self
            self.line.say(_STREAM)
            if server.era == "sse":
                self.line.say(_chunk(b"event: endpoint\ndata: /messages/%b\n\n" % server.session))

    def _told(self, message: Any) -> None:
        server = self._server
        if server.era == "sse" or "id" not in message:
            self._says(b"202 Accepted")
        if "id" not in message:
            if message["method"] == "notifications/cancelled":
                server.cancel(message["params"]["requestId"])
        elif message["method"] == "tools/call":
            self._called(message)
        else:
            result = server.result_of(message["method"])
            told = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
            self._answers({"jsonrpc": "2.0", "id": message["id"], **told}, session=message["method"] == "initialize")

    def _answers(self, message: Mapping[str, Any], session: bool) -> None:
        if self._server.era == "sse":
            self._say_on_the_stream(message)
            return
        status = b"400 Bad Request" if "error" in message else b"200 OK"
        more = b"Mcp-Session-Id: %b\r\n" % self._server.session if session else b""
        self._says(status, b"application/json", orjson.dumps(message), more)

    def _called(self, message: Mapping[str, Any]) -> None:
        server = self._server
        if server.era == "sse":
            server.call(message, self._say_on_the_stream)
        elif server.era == "legacy":
            stream = Stream(len(server.streams), self)
            server.streams.append(stream)
            self._streams.append(stream)
            server.call(message, stream.emit)
        else:
            self.line.say(_STREAM)
            self._own.append(message["id"])
            server.call(message, self._emit)

    def _emit(self, message: Mapping[str, Any]) -> None:
        self.line.say(_chunk(b"data: " + orjson.dumps(message) + b"\n\n"))
        if "id" in message:
            self._own.remove(message["id"])
            self.line.say(_chunk(b""))

    def _say_on_the_stream(self, message: Mapping[str, Any]) -> None:
        listener = self._server.listener
        if listener is not None:
            listener.line.say(_chunk(b"data: " + orjson.dumps(message) + b"\n\n"))

    def _says(self, status: bytes, kind: bytes = b"", body: bytes = b"", more: bytes = b"") -> None:
        typed = b"Content-Type: %b\r\n" % kind if kind else b""
        length = b"" if status.startswith(b"204") else b"Content-Length: %d\r\n" % len(body)
        self.line.say(b"HTTP/1.1 %b\r\n%b%b%b\r\n%b" % (status, typed, more, length, body))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
