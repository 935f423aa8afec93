"""An answer over HTTP: its head, and the way to its body at the pace of whoever reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from mcpserve.client.deadline import Deadline
from mcpserve.client.limits import Limits
from mcpserve.errors import AnswerLost, AnswerTooLarge, ClientError, DeadlinePassed
from mcpserve.protocol.sse import Decoder, Event, EventTooLarge


@attrs.frozen(kw_only=True)
class Reading:
    """How an answer is read.

    Args:
        limits: How much of it is taken.
        deadline: Running; it is the answer's from now on.
        idle: Seconds between two signs of life, None for any number.
        where: The origin of the server, for errors.
        opened: Called when it begins.
        ended: Called once, when nothing more will come of it.
    """

    limits: Limits
    deadline: Deadline
    idle: float | None
    where: str
    opened: Callable[[Inflow], None]
    ended: Callable[[Inflow], None]


class Inflow(Protocol):
    """What has come of a body and was not taken yet. Reading is paused while that is more than the limit."""

    def __init__(self, reading: Reading) -> None:
        self.problem: ClientError | None = None
        self.ended = False
        self._reading = reading
        self._most = reading.limits.buffer
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._hurried = False
        self._arrival: Deferred[None] | None = None
        reading.deadline.passed = self._too_late
        reading.deadline.start("idle", reading.idle)
        reading.opened(self)

    # --- of the reader

    def take(self) -> bytes | None:
        """The next bytes, if there are any."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._held -= len(chunk)
        if self._paused and not self.ended and self._held <= self._most // 2:
            self._paused = False
            if not self._hurried:
                self._reading.deadline.start("idle", self._reading.idle)
            self._transport().resumeProducing()
        return chunk

    def arrival(self) -> Deferred[None]:
        """Fires when there is something to take, or the end has come. Cancel: the connection is closed at once."""
        self._arrival = Deferred(self._cancelled)
        return self._arrival

    def hurry(self, seconds: float) -> None:
        """Let the rest take so many seconds in all."""
        if not self.ended:
            self._hurried = True
            self._reading.deadline.start("rest", seconds)

    def break_off(self, problem: ClientError, *, forget: bool = True) -> None:
        """Close the connection at once, if the end has not come yet.

        Args:
            problem: What the reader is told.
            forget: Also of what it could have read before.
        """
        if forget:
            self._chunks.clear()
        if self.ended:
            return
        self._end(problem)
        transport = self._transport()
        # Not every agent has a transport that can be aborted; then it can be closed at least.
        getattr(transport, "abortConnection", transport.loseConnection)()

    # --- of the connection

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        if self.ended:
            return
        self._chunks.append(data)
        self._held += len(data)
        if self._held > self._most and not self._paused:
            self._paused = True
            if not self._hurried:
                # As long as we do not read, the server can't be late.
                self._reading.deadline.stop()
            self._transport().pauseProducing()
        elif not self._paused:
            self._reading.deadline.touch()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end has come."""
        if self.ended:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._end(None)
        else:
            why = str(reason.value) or type(reason.value).__name__
            self._end(AnswerLost(f"The answer of {self._reading.where} broke off: {why}"))

    def _too_late(self, which: str, seconds: float) -> None:
        message = f"Nothing came from {self._reading.where} for {seconds:g} seconds within an answer"
        self.break_off(DeadlinePassed(message, "idle"), forget=False)

    def _end(self, problem: ClientError | None) -> None:
        self.ended, self.problem = True, problem
        self._reading.deadline.end()
        self._reading.ended(self)
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            arrival.callback(None)

    def _cancelled(self, _: object) -> None:
        self._arrival = None
        self.break_off(AnswerLost(f"The answer of {self._reading.where} was given up"))

    def _transport(self) -> Any:
        assert self.transport is not None
        return self.transport


class Answer:
    """The head of an answer, and the way to its body: `whole`, or `next_event` again and again; not both.

    Args:
        response: The head.
        reading: How its body is read.
    """

    def __init__(self, response: IResponse, reading: Reading) -> None:
        self.status: int = response.code
        """The HTTP status."""
        self._headers = response.headers
        self.media_type = (self.header("content-type") or "").partition(";")[0].strip().lower()
        """The media type, in lower case and without parameters; "" if there is none."""
        self.secrets: tuple[str, ...] = ()
        """What was shown to the server, and must stand in no message, should it say that again."""
        self._limits = reading.limits
        self._where = reading.where
        self._length = response.length
        self._decoder: Decoder | None = None
        self._events: deque[Event] = deque()
        self._given: Event | None = None
        self._too_large: AnswerTooLarge | None = None
        self._inflow = Inflow(reading)
        response.deliverBody(self._inflow)

    def header(self, name: str) -> str | None:
        """The value of a header; the last one, if there are several. Names are compared without case."""
        values = self._headers.getRawHeaders(name.encode("ascii"))
        return values[-1].decode("utf-8", "replace") if values else None

    def headers(self, name: str) -> list[str]:
        """All values of a header."""
        values: Sequence[bytes] = self._headers.getRawHeaders(name.encode("ascii"), [])
        return [value.decode("utf-8", "replace") for value in values]

    async def whole(self) -> bytes:
        """The whole body; once.

        Cancel: The connection is closed at once.

        Raises:
            AnswerTooLarge: It is larger than `limits.body`.
            AnswerLost: It broke off, or was aborted.
            DeadlinePassed: idle.
            ClientClosed: The `Web` was closed.
        """
        limit = self._limits.body
        if isinstance(self._length, int) and self._length > limit:
            raise self._beyond(f"An answer of {self._where} is larger than {limit} bytes")
        pieces: list[bytes] = []
        size = 0
        while (chunk := await self._next_chunk()) is not None:
            pieces.append(chunk)
            size += len(chunk)
            if size > limit:
                raise self._beyond(f"An answer of {self._where} is larger than {limit} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def beginning(self, size: int, seconds: float) -> bytes:
        """What comes of the body in so many seconds, cut to a size; what comes after it is not read. Never raises."""
        self._inflow.hurry(seconds)
        read = b""
        try:
            while len(read) < size and (chunk := await self._next_chunk()) is not None:
                read += chunk
        except ClientError:
            # The caller wants to know what there is, not what there is not.
            pass
        self.abort()
        return read[:size]

    async def next_event(self) -> Event | None:
        """The next event that has data; None when the stream has come to its orderly end.

        Cancel: The connection is closed at once. What had come is lost.

        Raises:
            AnswerTooLarge: An event is larger than `limits.event`. What came before it has been given.
            AnswerLost: The stream broke off, or was aborted. What came before it broke off has been given.
            DeadlinePassed: idle.
            ClientClosed: The `Web` was closed.
        """
        while True:
            while self._events:
                self._given = event = self._events.popleft()
                if event.data:
                    return event
            if self._too_large is not None:
                raise self._too_large
            chunk = await self._next_chunk()
            if chunk is None:
                return None
            self._decode(chunk)

    @property
    def last_event_id(self) -> str | None:
        """The last event id in force after the event that was given last, those of events without data included."""
        if self._events:
            # More was decoded than was given.
            return self._given.id if self._given is not None else None
        return self._decoder.last_event_id if self._decoder is not None else None

    @property
    def retry_ms(self) -> int | None:
        """How long the server wants us to wait before we reconnect, if it said so."""
        return self._decoder.retry_ms if self._decoder is not None else None

    def abort(self) -> None:
        """Close the connection at once. Who waits gets AnswerLost. Does nothing after the end of the answer."""
        self.break_off(AnswerLost(f"The answer of {self._where} was given up"))

    def break_off(self, problem: ClientError) -> None:
        """Close the connection at once, and tell who waits why."""
        self._events.clear()
        self._inflow.break_off(problem)

    async def _next_chunk(self) -> bytes | None:
        inflow = self._inflow
        while (chunk := inflow.take()) is None:
            if not inflow.ended:
                await inflow.arrival()
            elif inflow.problem is not None:
                raise inflow.problem
            else:
                return None
        return chunk

    def _decode(self, chunk: bytes) -> None:
        if self._decoder is None:
            self._decoder = Decoder(self._limits.event)
        try:
            self._events.extend(self._decoder.feed(chunk))
        except EventTooLarge as problem:
            self._events.extend(problem.events)
            self._too_large = self._beyond(f"An event of {self._where} is larger than {problem.limit} bytes")

    def _beyond(self, message: str) -> AnswerTooLarge:
        problem = AnswerTooLarge(message)
        self._inflow.break_off(problem)
        return problem
