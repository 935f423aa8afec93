"""Sessions: what the revisions with a handshake remember between two requests.

Spec: 2025-11-25, Transports, Session Management; Lifecycle.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mcpserve.errors import Refusal
from mcpserve.features.timing import TimingWheel
from mcpserve.legacy.requests import Requests
from mcpserve.legacy.streams import ResumableStream, ResumeLimits
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.revisions import Revision
from mcpserve.protocol.types import LogLevel, RequestId
from mcpserve.server.watching import Watch
from mcpserve.stores.events import EventRoom
from mcpserve.web.response import ResponseWriter


@attrs.frozen(kw_only=True)
class SessionLimits:
    """How many sessions there may be, and for how long.

    Args:
        count: Sessions at the most; more are refused with 503.
        idle: Seconds without a request and without an open stream after which one ends.
        lifetime: Seconds after which one ends in any case.
        streams: Streams of one session that are open or wait for their client; those that have had their reply make
            room for others.
        resume: How long and how much is kept for a client that lost its connection.
        memory: Bytes that all streams of all sessions may keep for that.
    """

    count: int = 10_000
    idle: float = 30 * 60.0
    lifetime: float = 24 * 3600.0
    streams: int = 1000
    resume: ResumeLimits = attrs.field(factory=ResumeLimits)
    memory: int = 256 * 1024 * 1024


@attrs.define(eq=False)
class Session:
    """One client after its handshake."""

    id: str
    revision: Revision
    client_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    created: float
    last_used: float
    _wheel: TimingWheel
    _limits: SessionLimits
    _room: EventRoom
    log_level: LogLevel = "info"
    calls: dict[RequestId, Exchange] = attrs.field(factory=dict)
    watch: Watch | None = None
    requests: Requests = attrs.field(factory=Requests)
    _streams: dict[int, ResumableStream] = attrs.field(factory=dict)
    _standalone: ResumableStream | None = None
    _numbers: int = 0

    def stream(self, writer: ResponseWriter) -> ResumableStream:
        """A new stream that begins on this response.

        Raises:
            Refusal: 429, there are too many already.
        """
        if len(self._streams) >= self._limits.streams:
            self._forget_one()
        if len(self._streams) >= self._limits.streams:
            raise Refusal(429, "This session has too many open streams", {"Retry-After": "1"})
        self._numbers += 1
        stream = ResumableStream(
            self._numbers,
            self.revision,
            writer,
            self._wheel,
            self._limits.resume,
            self._room,
            on_replied=self._replied,
            on_discard=self._discard,
        )
        self._streams[stream.number] = stream
        return stream

    def listen(self, writer: ResponseWriter) -> None:
        """Open the standalone stream. One that is open is replaced: a half-dead connection locks nobody out."""
        if self._standalone is not None:
            self._standalone.close()
        self._standalone = self.stream(writer)
        self._standalone.open()
        if self.watch is not None:
            self.watch.opened()

    def say(self, message: bytes) -> bool:
        """Send a notification that belongs to no request: on the standalone stream, and on no other.

        Spec: Transports, Multiple Connections: "The server MUST send each of its JSON-RPC messages on only one of the
        connected streams".

        Returns:
            False if there is no such stream: none was opened, or it was lost and can't be resumed.
        """
        if self._standalone is None:
            return False
        self._standalone.notify(message)
        return True

    def take_up(self, writer: ResponseWriter, event_id: str) -> bool:
        """Resume the stream of this event after it. False if the event is unknown or gone."""
        stream, _, number = event_id.partition("-")
        if not (stream.isdecimal() and number.isdecimal()):
            return False
        found = self._streams.get(int(stream[:18]))
        return found is not None and found.take_up(writer, int(number[:18]))

    def close(self) -> None:
        """End its calls, without replies, and its streams."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None
        for exchange in list(self.calls.values()):
            exchange.withdraw()
        for stream in list(self._streams.values()):
            stream.close()

    def end_standalone(self) -> None:
        """End the standalone stream, which has no reply to wait for."""
        if self._standalone is not None:
            self._standalone.close()

    @property
    def busy(self) -> bool:
        """True while a call runs or a stream is connected."""
        return bool(self.calls) or any(stream.writer is not None for stream in self._streams.values())

    def expired(self, now: float) -> bool:
        """True when it is to end by itself."""
        if now - self.created >= self._limits.lifetime:
            return True
        if self.busy:
            self.last_used = now
        return now - self.last_used >= self._limits.idle

    def _forget_one(self) -> None:
        """Make room: the oldest stream that was delivered is not kept for a client that may want it once more.

        If there is none, it is the oldest that waits for its client with a reply.
        """
        streams = self._streams.values()
        delivered = next((stream for stream in streams if stream.delivered), None)
        oldest = delivered or next((stream for stream in streams if stream.finished), None)
        if oldest is not None:
            oldest.forget()

    def _replied(self, stream: ResumableStream) -> None:
        self.last_used = self._wheel.clock.seconds()
        if stream.exchange is not None:
            self.calls.pop(stream.exchange.request.id, None)

    def _discard(self, stream: ResumableStream) -> None:
        self.last_used = self._wheel.clock.seconds()
        self._streams.pop(stream.number, None)
        if self._standalone is stream:
            self._standalone = None


class Sessions:
    """All sessions of one server.

    Args:
        clock: For their ages; owned by the caller.
        limits: How many, and for how long.

    Attributes:
        room: What their streams share.
    """

    def __init__(self, clock: IReactorTime, limits: SessionLimits = SessionLimits()) -> None:
        self._clock = clock
        self._limits = limits
        self._wheel = TimingWheel(clock)
        self.room = EventRoom(limits.memory)
        self._sessions: dict[str, Session] = {}
        self._sweep_call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(self, revision: Revision, client_info: Mapping[str, Any], capabilities: Mapping[str, Any]) -> Session:
        """Begin a session.

        Raises:
            Refusal: 503, there are too many.
        """
        if len(self._sessions) >= self._limits.count:
            self._expire()
        if len(self._sessions) >= self._limits.count:
            raise Refusal(503, "This server has too many sessions; try again later", {"Retry-After": "60"})
        now = self._clock.seconds()
        # Spec: the session id "SHOULD be globally unique and cryptographically secure", in visible ASCII.
        session = Session(
            secrets.token_urlsafe(24),
            revision,
            client_info,
            capabilities,
            now,
            now,
            self._wheel,
            self._limits,
            self.room,
        )
        self._sessions[session.id] = session
        if self._sweep_call is None:
            self._sweep_call = self._clock.callLater(self._sweep_interval, self._sweep)
        return session

    def get(self, session_id: str) -> Session:
        """Find a session; using it keeps it alive.

        Raises:
            Refusal: 404. Spec: "The server MAY terminate the session at any time, after which it MUST respond to
                requests containing that session ID with HTTP 404 Not Found."
        """
        session = self._sessions.get(session_id)
        now = self._clock.seconds()
        if session is not None and session.expired(now):
            self.close(session)
            session = None
        if session is None:
            raise Refusal(404, "This session is unknown or has ended; send initialize to begin another")
        session.last_used = now
        return session

    def close(self, session: Session) -> None:
        """End a session, its streams and its calls."""
        self._sessions.pop(session.id, None)
        session.close()
        if not self._sessions and self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None

    def close_all(self) -> None:
        """End all sessions."""
        for session in self:
            self.close(session)

    @property
    def _sweep_interval(self) -> float:
        return min(60.0, self._limits.idle / 2, self._limits.resume.events.age / 4)

    def _sweep(self) -> None:
        self._sweep_call = self._clock.callLater(self._sweep_interval, self._sweep)
        self._expire()

    def _expire(self) -> None:
        now = self._clock.seconds()
        self.room.sweep(now)
        for session in self:
            if session.expired(now):
                self.close(session)
