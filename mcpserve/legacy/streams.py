"""A resumable stream of a session: what carries a legacy exchange, and outlives the connection it began on.

Until the stream opens, the exchange is answered as any other, and losing the connection cancels it: the client has no
event id to come back with. Once it is open, each event has an id and is kept. When the connection is lost after the
first id the call goes on; a GET with `Last-Event-ID` takes the stream up again. If nobody comes within the grace time,
the call is cancelled.

Spec: 2025-11-25, Transports, Resumability and Redelivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from mcpserve.features.timing import Timer, TimingWheel
from mcpserve.protocol import sse
from mcpserve.protocol.exchange import NO_HEADERS, Exchange
from mcpserve.protocol.revisions import Revision
from mcpserve.stores.events import EventLimits, EventLog, EventRoom
from mcpserve.stores.sessions import Journal
from mcpserve.web.response import ResponseWriter


@attrs.frozen(kw_only=True)
class ResumeLimits:
    """How long and how much is kept for a client that lost its connection.

    Args:
        grace: Seconds that a stream waits for its client; with 0 it does not, and its call is cancelled at once.
        retry_ms: Milliseconds that a client is asked to wait before it reconnects.
        events: How much of a stream is kept.
    """

    grace: float = 30.0
    retry_ms: int = 1000
    events: EventLimits = attrs.field(factory=EventLimits)


@attrs.frozen(kw_only=True)
class Keeping:
    """What the streams of a server have in common.

    Args:
        wheel: For the grace time.
        limits: How long and how much is kept.
        room: The memory for it.
        journal: Where it is written down for the next process, if it is.
    """

    wheel: TimingWheel
    limits: ResumeLimits
    room: EventRoom
    journal: Journal | None = None


class ResumableStream:
    """One stream. Implements `protocol.exchange.Carrier` and `Resumable`, and `web.response.Listener`.

    Args:
        number: Its number in the session; part of every event id.
        revision: What the session negotiated.
        keeping: What it has in common with others.
        on_replied: Called once, when its exchange has ended; the stream lets go of it then.
        on_discard: Called once, when nobody can resume it any more.

    Attributes:
        finished: True when its exchange has ended.
        delivered: True when it was written to its end while the client was there.
        writer: The response that it is on now, if any.
    """

    def __init__(
        self,
        number: int,
        revision: Revision,
        keeping: Keeping,
        on_replied: Callable[[ResumableStream], object],
        on_discard: Callable[[ResumableStream], object],
    ) -> None:
        self.number = number
        self.exchange: Exchange | None = None
        self.finished = False
        self.delivered = False
        self._revision = revision
        self._keeping = keeping
        self._limits = keeping.limits
        self._log = EventLog(keeping.limits.events, keeping.room)
        self._on_replied = on_replied
        self._on_discard = on_discard
        self._grace: Timer | None = None
        self._opened = False
        self.writer: ResponseWriter | None = None

    # --- Carrier

    def notify(self, message: bytes, replaceable: bool = False) -> None:
        """Send and keep a notification."""
        if self.writer is not None and not self.writer.accept.sse:
            return
        event = self._keep(message)
        if self.writer is not None:
            self.writer.send(event, replaceable)

    def reply(self, message: bytes, status: int, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Send the reply; on an open stream it is kept too, until the client can be expected to have read it."""
        self._replied()
        writer = self.writer
        if writer is not None and not self._open and writer.accept.json:
            writer.reply(message, status, headers)
            self._discard()
            return
        event = self._keep(message)
        self._wait()
        if writer is not None:
            self._end(writer, event)
        self._log.end(self.forget, self.delivered)

    def close_stream(self, retry_ms: int | None) -> None:
        """See `Resumable.close_stream`.

        Before 2025-11-25 "the server SHOULD NOT close the SSE stream before sending the JSON-RPC response".
        """
        writer = self.writer
        if writer is None or not self._leavable:
            return
        wait = self._limits.retry_ms if retry_ms is None else retry_ms
        self.writer, self._opened = None, True
        # "it SHOULD send an SSE event with a standard retry field before closing the connection"
        leave = writer.close if writer.behind else writer.end
        leave(sse.retry(wait))
        self.resume()
        self._wait(wait / 1000)

    def end(self) -> None:
        """End without a reply: the call was withdrawn."""
        self._replied()
        if self.writer is not None:
            # no event id for a stream that will not go on: the client would come back for the rest
            self.writer.preamble = b""
            self.writer.end()
        self._discard()

    # --- Listener: how the connection is doing

    def lost(self) -> None:
        """The connection is gone; the client may come back on another."""
        resumable, self.writer = self._resumable, None
        if self.finished:
            return
        if resumable and self._limits.grace > 0:
            self._opened = True
            self.resume()
            self._wait()
        else:
            self._give_up()

    def overrun(self) -> None:
        """The reader was too slow and was cut off: to us a lost connection, as nothing that was said is gone."""
        self.lost()

    def pause(self) -> None:
        """The reader is behind."""
        if self.exchange is not None:
            self.exchange.pause()

    def resume(self) -> None:
        """The reader caught up."""
        if self.exchange is not None:
            self.exchange.resume()

    # --- from the session

    def attach(self, writer: ResponseWriter, number: int = 0) -> None:
        """Go on with this response, after the event of this number."""
        self.writer = writer
        writer.listener = self
        if self._revision.priming_events:
            # "the server SHOULD immediately send an SSE event consisting of an event ID and an empty data field"
            writer.preamble = sse.priming_event(self._event_id(number), self._limits.retry_ms)

    def open(self) -> None:
        """Open the stream at once."""
        if self.writer is not None:
            self.writer.open(b"" if self._revision.priming_events else sse.KEEP_ALIVE)

    def take_up(self, writer: ResponseWriter, number: int) -> bool:
        """Go on with another response, after the event of this number; a connection it still had is closed.

        Returns:
            False if some of those events are gone, or never were.
        """
        missed = self._log.after(number)
        if missed is None:
            return False
        self._cancel_grace()
        if self.writer is not None:
            self.writer.listener = None
            self.writer.close()
        self.attach(writer, number)
        if self.complete and not missed:
            # no event id here either
            writer.preamble = b""
        writer.open(b"".join(missed))
        if self.complete:
            self._wait()
            self._end(writer)
            self._log.end(self.forget, delivered=True)
        elif not writer.behind:
            # the reader before may have been behind, and will never catch up now
            self.resume()
        return True

    def close(self) -> None:
        """The session is over, or the server stops: end the stream."""
        self._leave()
        self._give_up()

    def suspend(self) -> None:
        """The process ends, and another will go on with the stream: close the connection, and forget nothing."""
        self._leave()
        self._cancel_grace()

    def forget(self) -> None:
        """Nobody is expected to resume it any more, and there is no room to wait for nobody."""
        self._give_up()

    @property
    def complete(self) -> bool:
        """True when all that there will ever be is in the log."""
        return self.finished

    @property
    def _open(self) -> bool:
        return self._opened or (self.writer is not None and self.writer.streaming)

    @property
    def _resumable(self) -> bool:
        """True when the client has got an event id to come back with."""
        return self._open and (self._revision.priming_events or self._log.last > 0)

    @property
    def _leavable(self) -> bool:
        """True when its connection may be closed before its end: the client knows what that means, and comes back."""
        leavable = self.writer is not None and self.writer.accept.sse and self._revision.priming_events
        return leavable and not self.finished

    def _event_id(self, number: int) -> str:
        return f"{self.number}-{number}"

    def _keep(self, message: bytes) -> bytes:
        event = sse.event_with_id(self._event_id(self._log.last + 1), message)
        self._log.append(event)
        return event

    def _replied(self) -> None:
        self.finished = True
        self._on_replied(self)
        # its request may be large, and need not be kept with the events
        self.exchange = None

    def _end(self, writer: ResponseWriter, last: bytes = b"") -> None:
        self._opened = self.delivered = True
        self.writer = None
        writer.end(last)

    def _wait(self, more: float = 0.0) -> None:
        """Wait for the client: so many seconds more than the grace time."""
        self._cancel_grace()
        self._grace = self._keeping.wheel.call_later(self._limits.grace + more, self._give_up)

    def _give_up(self) -> None:
        """Nobody came back in time."""
        exchange = self.exchange
        if not self.finished:
            self._replied()
        if exchange is not None:
            exchange.lost()
        self._discard()

    def _leave(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.listener = None
            writer.end()

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _discard(self) -> None:
        self._cancel_grace()
        self._log.close()
        self._on_discard(self)
