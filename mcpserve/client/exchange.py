"""A request to a server and its response, as treq and Twisted know them; without the connection that carries them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProtocol
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IClientRequest, IResponse
from zope.interface import implementer

from mcpserve.client.http1 import Head

_WITHOUT_LENGTH = (b"GET", b"HEAD", b"DELETE")


class Carrier(Protocol):
    """What carries an exchange, as it is seen from the exchange."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Close at once."""


class NotConnected(Exception):
    """No connection came about; nothing was sent."""


class AnswerBroken(Exception):
    """The connection broke off before the answer had ended."""


@implementer(IConsumer)
class _Collected:
    """Takes what a producer writes at once."""

    def __init__(self) -> None:
        self.data = b""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Producers of bodies do not register."""

    def unregisterProducer(self) -> None:
        """Nor this."""

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.data += data


class Fields(Headers):
    """The headers of requests, which nobody changes any more: written down once, however often they are sent."""

    @cached_property
    def written(self) -> bytes:
        """As they stand in the request."""
        return _written(self)

    def copy(self) -> Headers:
        """Headers that may be changed."""
        return Headers(dict(self.getAllRawHeaders()))


def _written(headers: Headers) -> bytes:
    lines: list[bytes] = []
    for name, values in headers.getAllRawHeaders():
        # treq always offers gzip. An event that waits in a compressor is late, and a body has no limit then.
        if name != b"Accept-Encoding":
            lines.extend([b"%b: %b\r\n" % (name, value) for value in values])
    return b"".join(lines)


@implementer(IClientRequest)
class Exchange:
    """A request on its way to its response.

    Args:
        method: The method.
        uri: What was asked for.
        headers: The headers of the caller.
        producer: Of the body; it writes all of it when it is started.
        authority: The value of the `Host` header.
        path: What stands in the request line.
    """

    def __init__(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers,
        producer: IBodyProducer | None,
        authority: bytes,
        path: bytes,
    ) -> None:
        self.method = method
        self.absoluteURI = uri
        self.headers = headers
        self.answered: Deferred[IResponse] = Deferred(self._cancel)
        self.connecting: Deferred[Any] | None = None
        self.connection: Carrier | None = None
        self._given_up = False
        self._producer = producer
        self._first = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, path, authority)
        self._encoded: bytes | None = None

    def encode(self) -> bytes:
        """All of the request. The producer is started the first time.

        Raises:
            TypeError: The producer did not write at once.
        """
        if self._encoded is None:
            body = self._body()
            fields = self.headers.written if isinstance(self.headers, Fields) else _written(self.headers)
            length = b"Content-Length: %d\r\n" % len(body) if body or self.method not in _WITHOUT_LENGTH else b""
            self._encoded = b"%b%b%b\r\n%b" % (self._first, fields, length, body)
        return self._encoded

    def _body(self) -> bytes:
        if self._producer is None:
            return b""
        collected = _Collected()
        if not self._producer.startProducing(collected).called:
            self._producer.stopProducing()
            raise TypeError("The body of a request has to be in memory")
        self._producer = None
        return collected.data

    def fail(self, reason: Exception) -> None:
        """There will be no response."""
        if not (self.answered.called or self._given_up):
            self.answered.errback(Failure(reason))

    def _cancel(self, _: object) -> None:
        connecting, self.connecting = self.connecting, None
        # An endpoint that is cancelled has an error of its own for that, and nobody may take it for one that happened.
        self._given_up = True
        if connecting is not None:
            connecting.cancel()
        elif self.connection is not None:
            self.connection.abort()


@implementer(IResponse)
class Response:
    """The head of an answer, and the transport of whoever reads its body.

    Args:
        head: The head.
        exchange: The request.
        length: How long the body will be, if that is known.
        connection: Where it comes from.
    """

    def __init__(self, head: Head, exchange: Exchange, length: Any, connection: Carrier) -> None:
        self.version = (b"HTTP", 1, head.minor)
        self.code = head.status
        self.phrase = head.phrase
        self.headers = head.headers
        self.length = length
        self.request = exchange
        self.previousResponse: IResponse | None = None
        self._connection: Carrier | None = connection
        self._reader: IProtocol | None = None
        self._held: list[bytes] = []
        self._end: Failure | None = None
        self.paused = False

    def setPreviousResponse(self, response: IResponse) -> None:
        """Remember the redirect that led here."""
        self.previousResponse = response

    def deliverBody(self, protocol: IProtocol) -> None:
        """Tell a protocol of all that came and comes, and then of the end; its transport is this response."""
        self._reader = protocol
        protocol.makeConnection(self)  # type: ignore[arg-type]  # readers pause and abort, and write nothing
        held, self._held = self._held, []
        for piece in held:
            protocol.dataReceived(piece)
        if self._end is not None:
            self._reader = None
            protocol.connectionLost(self._end)
        elif held and not self.paused:
            self._resume()

    # --- of the connection

    @property
    def wanted(self) -> bool:
        """Whether anybody reads it."""
        return self._reader is not None

    def deliver(self, data: bytes) -> None:
        """Content has come."""
        if self._reader is None:
            self._held.append(data)
        else:
            self._reader.dataReceived(data)

    def finish(self, reason: Failure, content: bytes = b"") -> None:
        """Nothing more will come but this; the connection is no longer ours, and the reader is let go."""
        self._connection = None
        if content:
            self.deliver(content)
        self._end = reason
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.connectionLost(reason)

    # --- of the reader

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self.paused = True
        if self._connection is not None:
            self._connection.pause()

    def resumeProducing(self) -> None:
        """Read on."""
        self.paused = False
        self._resume()

    def _resume(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    def abortConnection(self) -> None:
        """Close the connection at once, if the answer has not ended; the reader is told later, as by a socket."""
        if self._connection is not None:
            self._connection.abort()

    stopProducing = loseConnection = abortConnection
