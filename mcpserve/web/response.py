"""The response writer: one HTTP response that becomes JSON or a stream of events, as late as possible.

Rules:
  1. Nothing is sent until there is something to say. A reply that comes first is plain JSON with its proper status.
  2. The first notification, or the keep-alive interval, opens a stream: 200 and text/event-stream.
  3. The first event of a turn of the reactor leaves at once; those that follow in the same turn leave together at its
     end, so that a burst costs one write and a single event no delay.
  4. While the reader is behind, events wait here, bounded in bytes. A bare progress number that waits is replaced by a
     newer one; nothing else is ever dropped. Past the bound the connection is cut and the call told so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mcpserve.protocol import sse
from mcpserve.protocol.exchange import NO_HEADERS
from mcpserve.web.facts import Accept
from mcpserve.web.request import McpRequest

JSON_HEADERS = ((b"Content-Type", b"application/json"),)
SSE_HEADERS = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-cache, no-transform"),
    # "servers SHOULD include the X-Accel-Buffering: no header in the HTTP response" (2026-07-28, Streamable HTTP)
    (b"X-Accel-Buffering", b"no"),
)
_BATCH = 32 * 1024


@attrs.frozen(kw_only=True)
class StreamLimits:
    """Bounds of a stream.

    Args:
        keep_alive: Seconds of silence after which a comment is sent.
        buffer: Bytes that may wait for a slow reader, beside what the transport holds.
    """

    keep_alive: float = 15.0
    buffer: int = 1024 * 1024


class Listener(Protocol):
    """What hears how the response is doing; an exchange is one."""

    def lost(self) -> None:
        """The client can no longer be reached."""

    def overrun(self) -> None:
        """The reader is too far behind; the response was cut."""

    def pause(self) -> None:
        """The reader is behind."""

    def resume(self) -> None:
        """The reader caught up."""


def encoded(headers: Mapping[str, str]) -> Sequence[tuple[bytes, bytes]]:
    """Response headers as they travel."""
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


class Turns:
    """What the writers of one endpoint share: the end of the reactor's turn, and the keep-alive sweep.

    Both run only while a writer needs them.

    Args:
        clock: The reactor, or a `task.Clock`; owned by the caller.
        limits: Bounds of each stream.

    Attributes:
        replaced: How many bare progress numbers were not sent, as a newer one took their place.
        overruns: How many responses were cut, as their readers were too far behind.
    """

    def __init__(self, clock: IReactorTime, limits: StreamLimits = StreamLimits()) -> None:
        self.clock = clock
        self.replaced = 0
        self.overruns = 0
        self.limits = limits
        self._written: list[ResponseWriter] = []
        self._open: dict[ResponseWriter, None] = {}
        self._next_sweep: IDelayedCall | None = None

    def at_end(self, writer: ResponseWriter) -> None:
        """Call `writer.turn_ended()` when the reactor's turn ends."""
        if not self._written:
            self.clock.callLater(0, self._end)
        self._written.append(writer)

    def keep_alive(self, writer: ResponseWriter) -> None:
        """Call `writer.beat(now)` now and then, until `forget`."""
        self._open[writer] = None
        if self._next_sweep is None:
            self._next_sweep = self.clock.callLater(self._interval, self._sweep)

    def forget(self, writer: ResponseWriter) -> None:
        """The writer is done; the last one takes the sweep with it."""
        self._open.pop(writer, None)
        if self._next_sweep is not None and not self._open:
            self._next_sweep.cancel()
            self._next_sweep = None

    @property
    def open_writers(self) -> Sequence[ResponseWriter]:
        """The responses that are waiting or streaming now."""
        return list(self._open)

    @property
    def _interval(self) -> float:
        return self.limits.keep_alive / 15

    def _end(self) -> None:
        written, self._written = self._written, []
        for writer in written:
            writer.turn_ended()

    def _sweep(self) -> None:
        self._next_sweep = self.clock.callLater(self._interval, self._sweep)
        now = self.clock.seconds()
        for writer in list(self._open):
            writer.beat(now)


class ResponseWriter:
    """One HTTP response. Implements `protocol.exchange.Carrier` and `web.request.ConnectionWatcher`.

    Args:
        request: The request to answer; the writer watches its connection from now on.
        accept: Which types of response the client takes.
        turns: Shared by all writers of the endpoint.
        headers: More headers for whatever is sent.

    Attributes:
        preamble: Bytes of an event that goes out when the stream opens, before any other.
        hold: Called when silence would open the stream, if something else has to happen first; whoever holds it back
            opens it.
    """

    __slots__ = (
        "_bare",
        "_batch",
        "_batched",
        "_behind",
        "_headers",
        "_request",
        "_turns",
        "_waiting",
        "_waiting_size",
        "accept",
        "done",
        "hold",
        "last_sent",
        "listener",
        "preamble",
        "streaming",
    )

    def __init__(
        self, request: McpRequest, accept: Accept, turns: Turns, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.accept = accept
        self.listener: Listener | None = None
        self.hold: Callable[[], object] | None = None
        self.preamble = b""
        self.streaming = False
        self.done = False
        self.last_sent = 0.0
        self._request = request
        self._turns = turns
        self._headers = headers
        self._batched = False
        self._batch: list[bytes] = []
        self._behind = False
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._bare: int | None = None
        request.watch(self)

    # --- Carrier: what an exchange says

    def notify(self, message: bytes, replaceable: bool = False) -> None:
        """Send a notification as an event. A client that takes JSON only does not get it."""
        if self.accept.sse:
            self.send(sse.event(message), replaceable)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Send the reply: as the last event of a stream, or as JSON with this status.

        A status other than 200 is a part of the answer: it goes out with JSON, whatever the client takes.
        """
        if self.streaming or (status == 200 and not self.accept.json):
            self.end(sse.event(message))
        else:
            self.answer(status, (*JSON_HEADERS, *encoded(headers)) if headers else JSON_HEADERS, message)

    # --- what a face says

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"") -> None:
        """Answer without a stream, and finish."""
        if not self.done:
            self._finish()
            self._request.answer(status, (*headers, *self._headers), body)

    def open(self, first: bytes = b"") -> None:
        """Open the stream, if it is not open; `first` are the bytes of its first event."""
        if self.streaming or self.done:
            return
        self.streaming = True
        self.last_sent = self._turns.clock.seconds()
        self._request.start_stream(200, (*SSE_HEADERS, *self._headers), self.preamble + first)

    def send(self, event: bytes, replaceable: bool = False) -> None:
        """Send an event; opens the stream.

        Args:
            event: The bytes of one whole event.
            replaceable: True when a newer such event may take its place while it waits for the reader.
        """
        if self.done:
            return
        if self._behind:
            self._wait(event, replaceable)
        elif self._batched:
            self._batch.append(event)
            self._waiting_size += len(event)
            if self._waiting_size > _BATCH:
                self._flush()
        else:
            self._batched = True
            self._turns.at_end(self)
            self._write(event)

    def end(self, last: bytes = b"") -> None:
        """Send what waits and the bytes of the last event, and finish. Opens the stream if need be.

        Without a last event nothing is said: a client that takes no events gets an answer without a body.
        """
        if self.done:
            return
        if not (last or self.streaming or self.accept.sse):
            self.answer(204)
            return
        self.open()
        rest = b"".join((*self._batch, *self._waiting, last))
        self._finish()
        self._request.end_stream(rest)

    def close(self, last: bytes = b"") -> None:
        """Finish without what still waits: it goes out on another connection. `last` are the bytes of a last event."""
        self._batch = []
        self._waiting = []
        self.end(last)

    def cut(self) -> None:
        """Drop the connection."""
        if not self.done:
            self._finish()
            self._request.abort()

    def until_replied(self) -> None:
        """The reply is not there yet: keep the connection alive until it is."""
        if not self.done:
            if not self.streaming:
                self.last_sent = self._turns.clock.seconds()
            self._turns.keep_alive(self)

    @property
    def behind(self) -> bool:
        """True while the reader is behind."""
        return self._behind

    @property
    def buffered(self) -> int:
        """Bytes that wait here."""
        return self._waiting_size

    # --- Turns

    def turn_ended(self) -> None:
        """Send what was said since the first event of the turn."""
        self._batched = False
        if self._batch and not self.done and not self._behind:
            self._flush()

    def beat(self, now: float) -> None:
        """Send a comment if nothing was sent for long; it opens the stream of a silent call."""
        if now - self.last_sent >= self._turns.limits.keep_alive and not self._behind:
            self._probe()

    # --- ConnectionWatcher

    def connection_lost(self, reason: Failure) -> None:
        """The response can no longer reach the client."""
        listener = self.listener
        if not self.done:
            self._finish()
            if listener is not None:
                listener.lost()

    def pause(self) -> None:
        """The reader is behind."""
        self._behind = True
        if self.listener is not None:
            self.listener.pause()

    def resume(self) -> None:
        """The reader caught up: what waited goes out, then whoever waits may go on."""
        self._behind = False
        if self._batch or self._waiting:
            self._flush()
        if not self._behind and self.listener is not None:
            self.listener.resume()

    def input_ended(self) -> None:
        """The client shut its sending half down. It may still read: writing something brings the truth to light."""
        if not self.done:
            self._probe()

    # --- inside

    def _probe(self) -> None:
        if not self.accept.sse:
            return
        if self.streaming:
            self._write(sse.KEEP_ALIVE)
        elif self.hold is not None:
            self.hold()
        else:
            self.open(sse.KEEP_ALIVE)

    def _write(self, data: bytes) -> None:
        if not self.streaming:
            self.open(data)
            return
        self.last_sent = self._turns.clock.seconds()
        self._request.send(data)

    def _flush(self) -> None:
        data = b"".join((*self._batch, *self._waiting))
        self._batch = []
        self._waiting = []
        self._waiting_size = 0
        self._bare = None
        self._write(data)

    def _wait(self, event: bytes, replaceable: bool) -> None:
        if replaceable:
            self._drop_bare()
            self._bare = len(self._waiting)
        self._waiting.append(event)
        self._waiting_size += len(event)
        if self._waiting_size > self._turns.limits.buffer:
            self._overrun()

    def _drop_bare(self) -> None:
        """Drop the bare number that waits, if there is one; its empty place stays only between two messages."""
        if self._bare is None:
            return
        self._turns.replaced += 1
        self._waiting_size -= len(self._waiting[self._bare])
        if self._bare == len(self._waiting) - 1:
            self._waiting.pop()
        else:
            self._waiting[self._bare] = b""

    def _overrun(self) -> None:
        listener = self.listener
        self._turns.overruns += 1
        self.cut()
        if listener is not None:
            listener.overrun()

    def _finish(self) -> None:
        self.done = True
        # It holds us as its carrier: a cycle that would wait for the garbage collector, once for each request.
        self.listener = self.hold = None
        self._batch = []
        self._waiting = []
        self._turns.forget(self)
