"""One connection to a server, and the exchange that is on it."""

from __future__ import annotations

import select
from typing import Any
from typing import Protocol as Role

from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.iweb import UNKNOWN_LENGTH
from zope.interface import implementer

from mcpserve.client.exchange import AnswerBroken, Exchange, NotConnected, Response
from mcpserve.client.http1 import BadHttp, Body, Head, HeadReader, Sized, body_of, compressed, lasts

_DONE = Failure(ResponseDone())


class Pool(Role):
    """Whom a connection tells of its life."""

    def opened(self, connection: Connection) -> None:
        """A connection was made."""

    def release(self, connection: Connection) -> None:
        """A connection is free for the next request."""

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""


@implementer(IHandshakeListener)
class Connection(Protocol):
    """One connection, with one request at a time.

    Args:
        pool: Whom to tell.
        key: What the pool finds it by.
        secure: It is ready only when TLS is agreed on.
    """

    transport: Any

    def __init__(self, pool: Pool, key: tuple[bool, str, int], secure: bool) -> None:
        self.key = key
        self.idle_since = 0.0
        self.ready: Deferred[Connection] = Deferred(lambda _: self.abort())
        self._pool = pool
        self._secure = secure
        self._direct = False
        self._poll: Any = None
        self._usable = True
        self._exchange: Exchange | None = None
        self._heads = HeadReader()
        self._head: Head | None = None
        self._body: Body = Sized(0)
        self._response: Response | None = None

    # --- requests

    def fresh(self) -> bool:
        """Whether nothing has come since the last answer: no end, and nothing that nobody asked for."""
        return self._usable and not (self._poll is not None and self._poll.poll(0))

    def carry(self, exchange: Exchange) -> bool:
        """Send a request. False if nothing of it was sent; then the connection is of no use any more."""
        self._heads = HeadReader()
        self._exchange, exchange.connection = exchange, self
        try:
            data = exchange.encode()
        except TypeError as problem:
            self.abort()
            exchange.fail(problem)
            return True
        if self._write(data):
            return True
        self._exchange = exchange.connection = None
        return False

    def _write(self, data: bytes) -> bool:
        """Write; on plain TCP at once, which saves a turn of the reactor and tells whether anything was sent."""
        if not self._usable:
            return False
        if self._direct:
            sent = self.transport.writeSomeData(data)
            if isinstance(sent, Exception):
                return False
            if sent == len(data):
                return True
            # From now on there may be something in the transport's own buffer that must go first.
            self._direct, data = False, data[sent:]
        self.transport.write(data)
        return True

    # --- of the reader and the pool

    def pause(self) -> None:
        """Read no more for now."""
        if self._usable:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self._usable:
            self.transport.resumeProducing()

    def abort(self) -> None:
        """Close at once."""
        self._usable = False
        self.transport.abortConnection()

    def retire(self) -> None:
        """Close in good order. Over TLS that would wait for the other side, so there it is cut."""
        self._usable = False
        if self._secure:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    # --- of the transport

    def connectionMade(self) -> None:
        """The connection stands, but for TLS."""
        self._pool.opened(self)
        transport = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        # Over TLS the transport is a wrapper, and never this class.
        self._direct = isinstance(transport, tcp.Connection) and not self._secure
        if hasattr(transport, "fileno") and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(transport.fileno(), select.POLLIN)
        if not self._secure:
            self.ready.callback(self)

    def handshakeCompleted(self) -> None:
        """TLS is agreed on, and the server is who it should be."""
        if not self.ready.called:
            self.ready.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the answer have come."""
        if not self._usable:
            return
        try:
            if self._response is not None:
                self._receive_body(self._response, data)
            elif self._exchange is not None:
                self._receive_head(self._exchange, data)
            else:
                self.abort()
        except BadHttp as problem:
            self._break_off(problem)

    def _receive_head(self, exchange: Exchange, data: bytes) -> None:
        found = self._heads.feed(data)
        if found is None:
            return
        self._head, rest = found
        self._body = body_of(self._head, exchange.method)
        if compressed(self._head):
            raise BadHttp("The answer is compressed, though nobody asked for that")
        response = Response(self._head, exchange, _length(self._head, self._body), self)
        self._response = response
        if rest or self._body.done:
            self._receive_body(response, rest)
        exchange.answered.callback(response)
        if self._response is response and not response.wanted:
            # Nobody reads it yet, so no more of it is taken.
            self.pause()

    def _receive_body(self, response: Response, data: bytes) -> None:
        body, content = self._body, b""
        if not body.done:
            content, data = body.feed(data), body.rest
        if body.done:
            self._finish(response, content, data)
        elif content:
            response.deliver(content)

    def _finish(self, response: Response, content: bytes, rest: bytes) -> None:
        """The answer has ended: free the connection first, so that whoever hears of it can use it."""
        assert self._head is not None
        lasting = lasts(self._head) and not rest
        self._exchange = self._response = self._head = None
        if response.paused:
            self.transport.resumeProducing()
        if self._usable and lasting:
            self._pool.release(self)
        else:
            self.retire()
        response.finish(_DONE, content)

    def _break_off(self, problem: Exception) -> None:
        exchange, response = self._exchange, self._response
        self._exchange = self._response = None
        self.abort()
        if response is not None:
            response.finish(Failure(problem))
        if exchange is not None:
            exchange.fail(problem)

    def connectionLost(self, reason: Failure = _DONE) -> None:
        """The connection is gone."""
        self._usable = False
        exchange, response = self._exchange, self._response
        self._exchange = self._response = None
        self._pool.lost(self)
        if not self.ready.called:
            self.ready.errback(Failure(NotConnected(_why(reason))))
        if response is not None:
            orderly = reason.check(ConnectionDone) is not None and self._body.closed()
            response.finish(_DONE if orderly else Failure(AnswerBroken(_why(reason))))
        if exchange is not None:
            exchange.fail(AnswerBroken(_why(reason)))


def _length(head: Head, body: Body) -> Any:
    if not isinstance(body, Sized):
        return UNKNOWN_LENGTH
    return 0 if body.done else int(head.headers.getRawHeaders(b"content-length", [b"0"])[0].split(b",")[0])


def _why(reason: Failure) -> str:
    value = reason.value
    if isinstance(value, TlsError) and value.args and isinstance(value.args[0], list):
        return "TLS failed: " + ", ".join(str(error[-1]) for error in value.args[0])
    if isinstance(value, VerificationError):
        return "TLS failed: the certificate is one for another host"
    return str(value) or type(value).__name__
