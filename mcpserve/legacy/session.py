"""A session: what the revisions with a handshake remember of one client between two requests.

Spec: 2025-11-25, Transports, Session Management; Multiple Connections; Resumability and Redelivery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from mcpserve.errors import Refusal
from mcpserve.legacy.durable import DurableStream
from mcpserve.legacy.requests import Requests
from mcpserve.legacy.streams import Keeping, ResumableStream, ResumeLimits
from mcpserve.protocol.exchange import Exchange
from mcpserve.protocol.revisions import LEGACY, Revision
from mcpserve.protocol.types import LogLevel, RequestId
from mcpserve.server.watching import Watch
from mcpserve.stores.sessions import StoredSession, StoredStream
from mcpserve.web.response import ResponseWriter


@attrs.frozen(kw_only=True)
class SessionLimits:
    """How many sessions there may be, and for how long.

    Args:
        count: Sessions at the most; more are refused with 503.
        of_caller: Those of one party, with 429; None for as many as there may be in total.
        idle: Seconds without a request and without an open stream after which one ends.
        lifetime: Seconds after which one ends in any case.
        streams: Streams of one session that are open or wait for their client; those that have had their reply make
            room for others.
        resume: How long and how much is kept for a client that lost its connection.
        memory: Bytes that all streams of all sessions may keep for that.
        details: Bytes of memory for what all clients say about themselves, about; more are refused with 503.
    """

    count: int = 10_000
    of_caller: int | None = None
    idle: float = 30 * 60.0
    lifetime: float = 24 * 3600.0
    streams: int = 1000
    resume: ResumeLimits = attrs.field(factory=ResumeLimits)
    memory: int = 256 * 1024 * 1024
    details: int = 128 * 1024 * 1024


@attrs.define(eq=False, kw_only=True)
class Session:
    """One client after its handshake.

    Attributes:
        id: What its client calls it.
        owner: The name of the caller who began it, if he had to say it; for everybody else there is no such session.
        party: Whom limits count it for.
        key: What the journal calls it.
        cost: Bytes of memory for what its client says about itself, about.
        uris: The resources that it had subscribed to in the process before; `watch` knows what it subscribes to now.
    """

    id: str
    owner: str | None
    revision: Revision
    client_info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    created: float
    last_used: float
    party: str = ""
    key: int = 0
    cost: int = 0
    log_level: LogLevel = "info"
    uris: Sequence[str] = ()
    calls: dict[RequestId, Exchange] = attrs.field(factory=dict)
    watch: Watch | None = None
    requests: Requests = attrs.field(factory=Requests)
    _limits: SessionLimits
    _keeping: Keeping
    _streams: dict[int, ResumableStream] = attrs.field(factory=dict)
    _standalone: ResumableStream | None = None
    _numbers: int = 0
    _written: tuple[Mapping[str, Any], float] = ({}, 0.0)

    # --- streams

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
        keeping = self._keeping
        stream = (
            ResumableStream(self._numbers, self.revision, keeping, self._replied, self._discard)
            if keeping.journal is None
            else self._durable(self._numbers)
        )
        stream.attach(writer)
        self._streams[stream.number] = stream
        return stream

    def listen(self, writer: ResponseWriter) -> None:
        """Open the standalone stream. One that is open is replaced: a half-dead connection locks nobody out."""
        stream, before = self.stream(writer), self._standalone
        self._standalone = stream
        if before is not None:
            before.close()
        stream.open()
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

    # --- its end

    def close(self) -> None:
        """End its calls, without replies, and its streams."""
        self._end_watch()
        for exchange in list(self.calls.values()):
            exchange.withdraw()
        for stream in list(self._streams.values()):
            stream.close()

    def end_standalone(self, retry_ms: int) -> None:
        """End the standalone stream, which has no reply to wait for, and tell when to come back."""
        standalone = self._standalone
        if standalone is not None:
            standalone.close_stream(retry_ms)
            standalone.close()

    def send_away(self, retry_ms: int) -> None:
        """Close the connections of all streams that can be resumed, and tell when to come back.

        Older clients know nothing of that; but they come back to their standalone stream when it is closed.
        """
        for stream in list(self._streams.values()):
            stream.close_stream(retry_ms)
        if self._standalone is not None and not self.revision.priming_events:
            self._standalone.suspend()

    def suspend(self) -> None:
        """The process ends, and another will go on with what was written down: close the connections."""
        self.keep()
        self.uris = self.state["uris"]
        self._end_watch()
        for stream in self._streams.values():
            stream.suspend()

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

    # --- what is written down

    @property
    def state(self) -> Mapping[str, Any]:
        """What its client has asked to be remembered, as JSON."""
        return {"log_level": self.log_level, "uris": list(self.uris if self.watch is None else self.watch.uris)}

    def begin(self) -> None:
        """Write down that there is such a session."""
        if self._keeping.journal is not None:
            self.key = self._keeping.journal.open_session(self.stored)
            self._written = self.state, self.last_used

    def keep(self, *, only_state: bool = False) -> None:
        """Write down what has changed; with `only_state` it does not count that it was used."""
        journal = self._keeping.journal
        if journal is None:
            return
        now = self.state, self.last_used
        if now[0] != self._written[0] or (now != self._written and not only_state):
            self._written = now
            journal.change_session(self.key, *now)

    @property
    def stored(self) -> StoredSession:
        """All of it."""
        streams = [s.stored for s in self._streams.values() if isinstance(s, DurableStream) and s.stored is not None]
        return StoredSession(
            key=self.key,
            id=self.id,
            owner=self.owner,
            revision=self.revision.name,
            client_info=self.client_info,
            capabilities=self.capabilities,
            state=self.state,
            created=self.created,
            last_used=self.last_used,
            streams=streams,
        )

    def recall(self, streams: Sequence[StoredStream], numbers: int) -> None:
        """Go on with its streams; new ones are numbered from `numbers` on."""
        self._numbers = numbers
        self._written = self.state, self.last_used
        for stored in streams:
            stream = self._streams[stored.number] = self._durable(stored.number)
            if stored.request_id is None:
                self._standalone = stream
            stream.recall(stored)

    def _durable(self, number: int) -> DurableStream:
        journal = self._keeping.journal
        assert journal is not None
        return DurableStream(number, self.revision, self._keeping, journal, self.key, self._replied, self._discard)

    # --- inside

    def _forget_one(self) -> None:
        """Make room: the oldest stream that was delivered is not kept for a client that may want it once more.

        If there is none, it is the oldest that waits for its client with a reply.
        """
        streams = self._streams.values()
        delivered = next((stream for stream in streams if stream.delivered), None)
        oldest = delivered or next((stream for stream in streams if stream.complete), None)
        if oldest is not None:
            oldest.forget()

    def _end_watch(self) -> None:
        if self.watch is not None:
            self.watch.close()
            self.watch = None

    def _replied(self, stream: ResumableStream) -> None:
        self.last_used = self._keeping.wheel.clock.seconds()
        if stream.exchange is not None:
            self.calls.pop(stream.exchange.request.id, None)

    def _discard(self, stream: ResumableStream) -> None:
        self.last_used = self._keeping.wheel.clock.seconds()
        self._streams.pop(stream.number, None)
        if self._standalone is stream:
            self._standalone = None


def recalled(stored: StoredSession, cost: int, limits: SessionLimits, keeping: Keeping, numbers: int) -> Session | None:
    """The session that was written down; None if it was one that this version does not serve."""
    revision = LEGACY.get(stored.revision)
    if revision is None:
        return None
    session = Session(
        id=stored.id,
        owner=stored.owner,
        revision=revision,
        client_info=stored.client_info,
        capabilities=stored.capabilities,
        created=stored.created,
        last_used=stored.last_used,
        party=stored.owner or "",
        key=stored.key,
        cost=cost,
        log_level=stored.state.get("log_level", "info"),
        uris=stored.state.get("uris", ()),
        limits=limits,
        keeping=keeping,
    )
    session.recall(stored.streams, numbers)
    return session
