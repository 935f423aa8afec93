"""What stock Twisted and Klein expect of a request.

What this file guarantees:

1. What they read (`requestHeaders`, `content`, `args`, `postpath`, ...) is there, but is made only when somebody asks
   for it.
2. What they call to answer is silent after the end, as are our own ways: Twisted raises `RuntimeError` from `finish`
   and `AttributeError` from `registerProducer` there (trap T4).
3. Handlers of twisted.web answer as they always did: with `setResponseCode`, `setHeader`, `write` and `finish`, or with
   the bytes that they return.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers


class _Lazy:
    """An attribute that is made when it is first asked for, then kept in the instance."""

    def __init__(self, make: Callable[[Any], object]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> object:
        if instance is None:
            return self
        value = self._make(instance)
        setattr(instance, self._name, value)
        return value


def _lazy(make: Callable[[Any], object]) -> Any:
    """Hide the descriptor from the type checker, for which the attributes are those that the base class declares."""
    return _Lazy(make)


_Request: Any = server.Request  # it has no types


class StockRequest(_Request):  # type: ignore[misc]
    """The interface of twisted.web, for an `McpRequest`, which answers."""

    defaultContentType = b"text/plain; charset=utf-8"
    fields: dict[bytes, bytes]
    repeated: list[tuple[bytes, bytes]]
    producer: Any = None
    query = b""

    # Each of these costs as much as a good part of a whole request, and only the stock path of Klein reads them.
    requestHeaders = _lazy(lambda self: self._make_request_headers())
    responseHeaders = _lazy(lambda self: Headers({b"Date": [self.site.date]}))
    received_cookies = _lazy(lambda self: self._make_cookies())
    cookies = _lazy(lambda self: [])
    notifications = _lazy(lambda self: [])
    content = _lazy(lambda self: BytesIO(self.body))
    args = _lazy(lambda self: http.parse_qs(self.query, True))
    prepath = _lazy(lambda self: [])
    postpath = _lazy(lambda self: [unquote_to_bytes(part) for part in self.path[1:].split(b"/")])
    _adapterCache = _lazy(lambda self: {})

    def answer_bytes(self, body: bytes) -> None:
        """Answer as a twisted.web handler does: with `setResponseCode`, `setHeader` and a returned body."""
        if self.startedWriting:
            self.write(body)
            self.finish()
            return
        if self.cookies:
            self.responseHeaders.setRawHeaders(b"Set-Cookie", self.cookies)
        if body and not self.responseHeaders.hasHeader(b"Content-Type"):
            self.responseHeaders.setRawHeaders(b"Content-Type", [self.defaultContentType])
        own = (b"Date", b"Content-Length", b"Connection")
        fields = [(n, v) for n, values in self.responseHeaders.getAllRawHeaders() if n not in own for v in values]
        self.answer(self.code, fields, body)

    def notifyFinish(self) -> Deferred[None]:
        """Like the inherited one, but fires at once if it is asked for too late; Twisted's never fires then."""
        if self.finished:
            return succeed(None)
        if self.lost:
            return fail(self._loss or Failure(ConnectionLost()))
        waiting: Deferred[None] = super().notifyFinish()
        return waiting

    def write(self, data: bytes) -> None:
        """Like the inherited one, silent after the end."""
        if self.channel is None or self.lost:
            return
        if not self.startedWriting and not self.channel.persistent:
            self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        if not self.startedWriting:
            for name, value in self._dressed(()):
                self.responseHeaders.addRawHeader(name, value)
        super().write(data)

    def finish(self) -> None:
        """Like the inherited one, silent after the end."""
        if not self.streaming and self.channel is not None and not self.lost:
            super().finish()
        else:
            self.end_stream()

    def _cleanup(self) -> None:
        if self.producer is not None:
            self.unregisterProducer()
        self._finished()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Like the inherited one; a producer that comes after the end is stopped."""
        if self.channel is None or self.lost:
            producer.stopProducing()
        else:
            super().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Like the inherited one, silent after the end."""
        if self.channel is not None:
            self.channel.unregisterProducer()
        self.producer = None

    def getRequestHostname(self) -> bytes:
        """Like the inherited one, but does not fail on a UNIX socket, whose address has no host."""
        host: bytes = super().getRequestHostname() if self.header(b"host") else b"localhost"
        return host

    def _make_request_headers(self) -> Headers:
        headers = Headers()
        for name, value in [*self.fields.items(), *self.repeated]:
            headers.addRawHeader(name, value)
        return headers

    def _make_cookies(self) -> dict[bytes, bytes]:
        self.received_cookies = {}
        self.parseCookies()
        received: dict[bytes, bytes] = self.received_cookies
        return received
