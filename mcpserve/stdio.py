"""The stdio face: one message a line, in both directions, all requests on one connection.

    message                       goes to
    request with a version        modern
    request without               legacy; without a handshake before, it is told what is missing
    notifications/cancelled       the request that it names, of either era
    any other                     legacy; a modern client sends none that needs an answer

Nothing here knows a file descriptor: the transport is any that Twisted has. It is a consumer: when the client is behind
with reading, tools are paused, and what they say all the same waits in the outbox. While too much waits there, no more
is read.

Spec: 2026-07-28, stdio; 2025-11-25, Transports, stdio.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpserve.errors import InternalError, InvalidRequest, MalformedMetadata, ProtocolError, UnsupportedVersion
from mcpserve.policy.callers import ANONYMOUS, Caller
from mcpserve.protocol import jsonrpc, metadata
from mcpserve.protocol.jsonrpc import Batch, Message, Notification, Request
from mcpserve.protocol.lines import LineReader
from mcpserve.protocol.revisions import MODERN
from mcpserve.protocol.types import RequestId
from mcpserve.server.conversation import Conversation
from mcpserve.server.dispatch import Dispatcher
from mcpserve.server.outbox import Outbox

_log = Logger()


@attrs.frozen(kw_only=True)
class LineLimits:
    """Bounds of a connection.

    Args:
        line: Bytes of the longest line that is read.
        buffer: Bytes of notifications that may wait for a slow reader, beside what the transport holds.
    """

    line: int = 4 * 1024 * 1024
    buffer: int = 1024 * 1024


class LegacyFace(Protocol):
    """What answers the revisions with a handshake on this connection; it works without one."""

    @property
    def settled(self) -> bool:
        """True after the handshake."""

    def take(self, message: Message | Batch) -> None:
        """Take a message that is not modern. May raise ProtocolError."""

    def resumed(self) -> None:
        """The client caught up with reading."""

    def close(self) -> None:
        """The client says no more."""


LegacyMaker = Callable[[Conversation], LegacyFace]


class LineFace:
    """Finds the era of each message, and who answers it.

    Args:
        dispatcher: What the methods do.
        conversation: What is in flight.
        legacy: The revisions with a handshake, if they are served.
        caller: Who is calling.
    """

    def __init__(
        self, dispatcher: Dispatcher, conversation: Conversation, legacy: LegacyFace | None, caller: Caller = ANONYMOUS
    ) -> None:
        self._caller = caller
        self._dispatcher = dispatcher
        self._conversation = conversation
        self._legacy = legacy

    def take(self, line: bytes) -> None:
        """Take one line. Never raises for what it holds."""
        request_id: RequestId | None = None
        try:
            message = jsonrpc.parse(line)
            request_id = message.id if isinstance(message, Request) else None
            self._take(message)
        except ProtocolError as error:
            self._conversation.refuse(error, getattr(error, "request_id", None) if request_id is None else request_id)
        except Exception:
            _log.failure("A message could not be answered")
            self._conversation.refuse(InternalError("Internal error"), request_id)

    def refuse(self, error: ProtocolError) -> None:
        """Say what is wrong with a line that is not even read."""
        self._conversation.refuse(error, None)

    def _take(self, message: Message | Batch) -> None:
        if isinstance(message, Request):
            self._take_request(message)
        elif isinstance(message, Notification) and message.method == "notifications/cancelled":
            self._conversation.cancel(message.params)
        elif self._legacy is not None and self._legacy.settled:
            self._legacy.take(message)
        elif isinstance(message, Batch):
            raise InvalidRequest("Batches are not part of this protocol revision; send one message a line")

    def _take_request(self, message: Request) -> None:
        if metadata.claims_revision(message.params):
            self._answer_modern(message)
        elif self._legacy is not None and (self._legacy.settled or message.method in ("initialize", "ping")):
            self._legacy.take(message)
        elif message.method == "initialize":
            # "A server that supports only modern versions SHOULD name the protocol versions it supports in any error it
            # returns to an initialize request" (2026-07-28, Versioning)
            raise UnsupportedVersion("a revision with initialize", list(MODERN))
        else:
            raise MalformedMetadata(
                f"params._meta lacks {metadata.PROTOCOL_VERSION} and {metadata.CLIENT_CAPABILITIES}; "
                "a client of an earlier revision sends initialize first"
            )

    def _answer_modern(self, message: Request) -> None:
        revision = metadata.modern_revision(metadata.claimed_revision(message.params))
        known = metadata.modern_metadata(revision, message.params, None)
        self._conversation.take(
            message, revision, lambda exchange: self._dispatcher.dispatch(exchange, known, self._caller)
        )


@implementer(IHalfCloseableProtocol, IPushProducer)
class LineProtocol(TwistedProtocol):
    """One connection: Twisted's side of it.

    Args:
        dispatcher: What the methods do.
        limits: Bounds of the connection.
        legacy: Makes what answers the revisions with a handshake, if they are served.
        on_end: Called once, when nothing more comes from the client, or nothing more reaches it.
        caller: Who is calling.

    Attributes:
        connection: The transport; None before the connection and after it.
        ended: True when nothing more is taken from the client.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        limits: LineLimits,
        legacy: LegacyMaker | None = None,
        on_end: Callable[[], object] = lambda: None,
        caller: Caller = ANONYMOUS,
    ) -> None:
        self.outbox = Outbox(self._write, limits.buffer)
        self.conversation = Conversation(self.outbox)
        self.ended = False
        self._limits = limits
        self._reader = LineReader(limits.line)
        self._legacy = None if legacy is None else legacy(self.conversation)
        self._face = LineFace(dispatcher, self.conversation, self._legacy, caller)
        self._on_end = on_end
        self._reading = True
        self.connection: Any = None

    def deafen(self) -> None:
        """Take no more from the client."""
        self._end()

    def finish(self) -> None:
        """Write out what waits, and close."""
        self._end()
        if self.connection is not None:
            self.connection.unregisterProducer()
            self.outbox.flush()
            self.connection.loseConnection()

    # --- IProtocol

    def connectionMade(self) -> None:
        """See `IProtocol`."""
        self.connection = self.transport
        self.connection.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        self._take(self._reader.feed(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`."""
        self.connection = None
        self.conversation.lost()
        self._end()

    # --- IHalfCloseableProtocol

    def readConnectionLost(self) -> None:
        """The client says no more. Its last line may lack its end; what runs can still be answered."""
        self._take(self._reader.end())
        self._end()

    def writeConnectionLost(self) -> None:
        """The client reads no more: what runs has nobody to run for, and there is nothing left to close."""
        self.connection = None
        self.conversation.lost()
        self._end()

    # --- IPushProducer: how the client keeps up

    def pauseProducing(self) -> None:
        """The client is behind."""
        self.outbox.pause()
        self.conversation.pause()

    def resumeProducing(self) -> None:
        """The client caught up: what waited goes out, then whoever waits may go on."""
        self.outbox.flush()
        self.conversation.resume()
        if self._legacy is not None:
            self._legacy.resumed()
        self._read_or_wait()

    def stopProducing(self) -> None:
        """The transport is gone; what there is to say about that comes another way."""

    # --- inside

    def _write(self, data: bytes) -> None:
        if self.connection is not None:
            self.connection.write(data)

    def _take(self, lines: Any) -> None:
        for line in lines:
            if line is None:
                self._face.refuse(InvalidRequest(f"The line has more than {self._limits.line} bytes (body_limit)"))
            elif not self.ended:
                self._face.take(line)
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        if self.connection is None or self._reading is not self.outbox.full:
            return
        self._reading = not self._reading
        if self._reading:
            self.connection.resumeProducing()
        else:
            self.connection.pauseProducing()

    def _end(self) -> None:
        if not self.ended:
            self.ended = True
            if self._legacy is not None:
                self._legacy.close()
            self._on_end()
