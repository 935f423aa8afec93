"""One HTTP request and the response to it.

What this file guarantees:

1. A response is written in as few writes as it has steps: `answer` is one, `start_stream`, `send` and `end_stream`
   are one each.
2. After the response is finished or the client has gone, every sending method is a silent no-op (trap T4).
3. A watcher hears of the loss of the client exactly once, in the reactor turn in which the transport reports it, and
   is never told to pause or to resume twice in a row (trap T10).
4. A body lives in memory only and never outgrows the limit of the site; Twisted would spool it to a file (trap T1).
5. Nothing that this layer says on its own is HTML.

What stock Twisted and Klein expect of a request is in `web.stock`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import IResource

from mcpserve.server.observing import Responded
from mcpserve.web.sending import LAST_CHUNK, NO_BODY, HeaderList, chunk, encode_headers
from mcpserve.web.stock import StockRequest

if TYPE_CHECKING:
    from mcpserve.policy.callers import Caller
    from mcpserve.policy.proxies import Seen
    from mcpserve.web.channel import McpChannel
    from mcpserve.web.site import McpSite

SMALL_BODY = 64 * 1024
"""Bytes of a body that is taken even when all bodies together have reached their bound."""


class ConnectionWatcher(Protocol):
    """What wants to know how the client of one request is doing."""

    def connection_lost(self, reason: Failure) -> None:
        """The response can no longer reach the client. Called once."""

    def pause(self) -> None:
        """The reader is behind; what is sent from now on piles up in our memory."""

    def resume(self) -> None:
        """The reader has caught up. Follows a `pause`, never another `resume`."""

    def input_ended(self) -> None:
        """The client shut down its sending half. It may still read, or be gone: writing something shows which."""


class McpRequest(StockRequest):
    """A request that is answered at once, or whose response becomes a stream.

    Args:
        channel: The connection that it came on.
        queued: Ignored; Twisted passes it to request factories that it does not know.
    """

    site: McpSite
    channel: McpChannel | None
    seen: Seen
    """Where it came from; set at the door."""
    caller: Caller | None = None
    """Whose it is; set at the door."""
    exchanged = False
    """Whether it holds a request of JSON-RPC that somebody answers."""
    began: float | None = None
    """When it had arrived, if somebody watches."""
    _log = Logger()

    lost = False
    streaming = False
    queued = False
    _watcher: ConnectionWatcher | None = None
    _told_to_pause = False
    _loss: Failure | None = None
    _body: bytes | bytearray = b""

    def __init__(self, channel: McpChannel, queued: object = None) -> None:
        # Not the inherited one: it asks the kernel for two addresses and builds what `StockRequest` makes when asked.
        self.channel = channel
        self.site = channel.site
        self.transport = channel.transport
        self.client = channel.peer
        self.host = channel.host
        self.secure = channel.secure
        # the channel puts headers here, by names in lower case: the first of each, and what comes after it
        self.fields: dict[bytes, bytes] = {}
        self.repeated: list[tuple[bytes, bytes]] = []

    # What came in

    @property
    def body(self) -> bytes:
        """The whole body; empty once a stream has started."""
        return bytes(self._body)

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header.

        Args:
            name: The name in lower case.

        Returns:
            The value, or None if it was not sent. After `start_stream` all headers are forgotten.
        """
        return self.fields.get(name)

    def header_values(self, name: bytes) -> list[bytes]:
        """Return all values of a header, in the order in which they were sent.

        Args:
            name: The name in lower case.
        """
        first = self.fields.get(name)
        return [] if first is None else [first, *(value for other, value in self.repeated if other == name)]

    def handleContentChunk(self, data: bytes) -> None:
        """Count the body while it arrives (trap T1: Twisted counts nothing, and opens a file for a chunked body)."""
        channel = self.channel
        if channel is None:
            return
        if not self._body:
            self._body = data
            if len(data) == channel.length and len(data) <= SMALL_BODY:
                # most bodies are small and come at once: nothing of them arrives still
                return
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body) + data
        else:
            self._body += data
        channel.body_grows(len(data))

    def hold(self) -> Callable[[Any], Any]:
        """Count the body among those that arrive still: the request waits, and nobody knows whose it is.

        Returns:
            What ends that, and returns what it gets.
        """
        size, site = len(self._body), self.site
        site.arriving += size

        def release(outcome: Any) -> Any:
            site.arriving -= size
            return outcome

        return release

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Start to work on the request, now that all of it is here."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        if self.site.observer is not None:
            self.began = self.site.clock.seconds()
        self.process()

    def process(self) -> None:
        """Let the resource of the site render; it is a leaf, so nothing is looked up by path segments."""
        try:
            self.render(self.site.resource)
        except Exception:
            self.processingFailed(Failure())

    def render(self, resrc: IResource) -> None:
        """Render a resource; twisted.web answers an unsupported method and a wrong result in HTML."""
        try:
            result = resrc.render(self)
        except UnsupportedMethod as error:
            allowed = b", ".join(error.allowedMethods)
            self.refuse(http.NOT_ALLOWED, "This method is not allowed here.", [(b"Allow", allowed)])
            return
        if isinstance(result, bytes):
            self.answer_bytes(result)
        elif result is not server.NOT_DONE_YET:
            raise TypeError(f"A resource rendered {type(result).__name__} instead of bytes.")

    def processingFailed(self, reason: Failure) -> Failure:
        """Log a failure and answer 500, or break the response off if it has begun; Twisted writes HTML."""
        self._log.failure("A request failed.", failure=reason)
        if self.startedWriting:
            self.abort()
        else:
            self.refuse(http.INTERNAL_SERVER_ERROR, "Internal error.")
        return reason

    # The whole answer at once

    def answer(self, status: int, headers: HeaderList, body: bytes) -> None:
        """Answer with one write, and finish.

        Args:
            status: The HTTP status.
            headers: All headers but `Date`, `Content-Length` and `Connection`, which are added.
            body: The whole body; only its length is told for HEAD.
        """
        channel = self._ready()
        if channel is None:
            return
        ending = b"Connection: close\r\n" if not channel.persistent else b""
        if status not in NO_BODY:
            ending += b"Content-Length: %d\r\n" % len(body)
        if b"origin" in self.fields:
            headers = self._dressed(headers)
        sent = b"" if self.method == b"HEAD" or status in NO_BODY else body
        self.startedWriting = 1
        self.code = status
        channel.send(b"%b%b%b\r\n%b" % (self.site.head(status), encode_headers(headers), ending, sent))
        self._finished()

    def refuse(self, status: int, sentence: str, headers: HeaderList = ()) -> None:
        """Answer in the words of the site's `refusal`.

        Args:
            status: The HTTP status.
            sentence: What was wrong, for the client.
            headers: Further headers.
        """
        own, body = self.site.refusal(status, sentence)
        self.answer(status, [*own, *headers], body)

    # A stream

    def start_stream(self, status: int, headers: HeaderList, data: bytes = b"") -> None:
        """Send the head, and the first data if there is some, with one write.

        The headers and the body of the request are forgotten, as a stream can be open for a long time.

        Args:
            status: The HTTP status.
            headers: All headers but `Date`, `Connection` and `Transfer-Encoding`, which are added.
            data: The first data, not framed.
        """
        channel = self._ready()
        if channel is None:
            return
        self.startedWriting = 1
        self.streaming = True
        self.code = status
        self.chunked = int(self.clientproto == b"HTTP/1.1" and self.method != b"HEAD")
        framing = b"Transfer-Encoding: chunked\r\n" if self.chunked else b""
        if not channel.persistent:
            framing += b"Connection: close\r\n"
        if b"origin" in self.fields:
            headers = self._dressed(headers)
        self._forget_input()
        channel.send(b"%b%b%b\r\n%b" % (self.site.head(status), encode_headers(headers), framing, self._frame(data)))
        if channel.behind:
            self.reader_behind()

    def send(self, data: bytes) -> None:
        """Send data on the stream as one write.

        Args:
            data: Bytes, not framed.
        """
        channel = self.channel
        if channel is None or self.lost or not self.streaming or not data:
            return
        if self.chunked:
            channel.send(b"%x\r\n%b\r\n" % (len(data), data))
        elif self.method != b"HEAD":
            channel.send(data)

    def end_stream(self, data: bytes = b"") -> None:
        """Send the last data together with the end of the body, and finish.

        Args:
            data: Bytes, not framed.
        """
        channel = self.channel
        if channel is None or self.lost or not self.streaming:
            return
        last = self._frame(data) + (LAST_CHUNK if self.chunked else b"")
        if last:
            channel.send(last)
        self._finished()

    def abort(self) -> None:
        """Drop the connection at once. The watcher still hears of the loss, when the transport has done it."""
        channel = self.channel
        if channel is None or self.lost:
            return
        self.lost = True
        channel.abort()

    def _frame(self, data: bytes) -> bytes:
        if self.chunked:
            return chunk(data)
        return b"" if self.method == b"HEAD" else data

    def _ready(self) -> McpChannel | None:
        """The channel, if a head can be sent now. A second head would be a fault of ours, and ends the connection."""
        if self.channel is None or self.lost:
            return None
        if self.startedWriting:
            self._log.error("A response was started twice on {method!r}.", method=self.method)
            self.abort()
            return None
        return self.channel

    def _dressed(self, headers: HeaderList) -> HeaderList:
        """Add what a page in a browser has to be told."""
        dress = self.site.dress
        if dress is None or b"origin" not in self.fields:
            return headers
        return (*headers, *dress(self.fields[b"origin"]))

    def _forget_input(self) -> None:
        self.fields = {}
        self.repeated = []
        self._body = b""

    def _finished(self) -> None:
        channel, self.channel = self.channel, None
        self.finished = 1
        self._watcher = None
        if self.began is not None:
            self._tell(self.began)
        if channel is not None:
            channel.requestDone(self)
        if "notifications" in self.__dict__:
            waiting, self.notifications = self.notifications, []
            for deferred in waiting:
                deferred.callback(None)

    def _tell(self, began: float) -> None:
        observer = self.site.observer
        if observer is None:
            return
        seen: Seen | None = self.__dict__.get("seen")
        responded = Responded(
            method=self.method.decode("latin-1"),
            path=self.path.decode("latin-1"),
            status=self.code if self.startedWriting else 0,
            seconds=self.site.clock.seconds() - began,
            caller=self.caller,
            address=getattr(self.client, "host", None) if seen is None else seen.address,
            exchanged=self.exchanged,
            lost=self.lost,
        )
        observer.responded(responded)

    # What the channel tells

    def watch(self, watcher: ConnectionWatcher) -> None:
        """Tell a watcher how the client is doing, until the response is finished.

        Args:
            watcher: Called synchronously by the channel. If the client has gone already, it is told so at once.
        """
        if self._loss is not None:
            watcher.connection_lost(self._loss)
        elif self.channel is not None:
            self._watcher = watcher

    def reader_behind(self) -> None:
        """The transport's buffer is full."""
        if self.streaming and self._watcher is not None and not self._told_to_pause:
            self._told_to_pause = True
            self._watcher.pause()

    def reader_caught_up(self) -> None:
        """The transport's buffer is empty again."""
        if self._watcher is not None and self._told_to_pause:
            self._told_to_pause = False
            self._watcher.resume()

    def input_ended(self) -> None:
        """The client shut down its sending half."""
        if self._watcher is not None:
            self._watcher.input_ended()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone; said once, to the watcher first and then to those who used `notifyFinish`."""
        self.lost = self._disconnected = True
        self._loss = reason
        self.channel = None
        if self.began is not None and not self.finished:
            self._tell(self.began)
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            try:
                watcher.connection_lost(reason)
            except Exception:
                self._log.failure("A watcher failed when it was told that its client had gone.")
        if "notifications" in self.__dict__:
            waiting, self.notifications = self.notifications, []
            for deferred in waiting:
                deferred.errback(reason)
