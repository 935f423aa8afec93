"""A stream of events that goes on after its connection was lost or closed. Spec: 2025-11-25, Resumability."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from twisted.internet.task import deferLater

from mcpserve.client.limits import Timeouts
from mcpserve.client.posting import STREAM, Endpoint, is_stream
from mcpserve.client.web import Answer
from mcpserve.errors import AnswerLost, ClientError, DeadlinePassed, Unreachable
from mcpserve.protocol.sse import Event

_REMEMBERED = 1000
"""Of how many events of a stream we know that they came, should a server send them again."""
_SOONEST = 0.05
"""Seconds before we come back, even to who wants us at once: each time may bring nothing but an id, for ever."""


class SessionForgotten(ClientError):
    """The server does not know the session any more: 404. Never leaves the conversation."""


class ResumableStream:
    """The events of one stream, over as many connections as it takes.

    Args:
        endpoint: The server.
        answer: The first connection.
        headers: Those of the session.
        timeouts: The deadlines of the request.
        subject: What the stream is about, for messages: a method.
    """

    def __init__(
        self, endpoint: Endpoint, answer: Answer, headers: Mapping[str, str], timeouts: Timeouts, subject: str
    ) -> None:
        self.answer = answer
        self._endpoint = endpoint
        self._headers = headers
        self._timeouts = timeouts
        self._subject = subject
        self._last_id: str | None = None
        self._retry_ms: int | None = None
        self._failures = 0
        self._came: deque[tuple[str, int]] = deque(maxlen=_REMEMBERED)
        self._earlier: frozenset[tuple[str, int]] = frozenset()

    async def next_event(self) -> Event:
        """The next event that was not given yet.

        Raises:
            AnswerLost: The stream is over, or can't be resumed.
            SessionForgotten: The session is over.
            ClientError: See `Answer.next_event`.
        """
        while True:
            try:
                event = await self.answer.next_event()
            except AnswerLost as error:
                await self._resume(error)
                continue
            if event is None:
                await self._resume(AnswerLost(f"{self._endpoint.name} ended the stream of {self._subject} too early"))
            elif not event.id or self._is_new(event):
                self._failures = 0
                return event

    def _is_new(self, event: Event) -> bool:
        """Remember an event; tell whether it came over an earlier connection already.

        An event without an id of its own bears the one before it, so the id alone tells nothing.
        """
        mark = (event.id, hash(event.data))
        if mark in self._earlier:
            return False
        self._came.append(mark)
        return True

    async def _resume(self, lost: ClientError) -> None:
        """Find a connection on which the stream goes on.

        "If the client wishes to resume after a disconnection (whether due to network failure or server-initiated
        closure), it SHOULD issue an HTTP GET to the MCP endpoint, and include the Last-Event-ID header".
        """
        self._learn()
        if not self._last_id:
            raise lost
        while self._failures < self._endpoint.terms.retries.attempts:
            await deferLater(self._endpoint.terms.clock, self._delay(lost))
            self._failures += 1
            try:
                answer = await self._connect(self._last_id)
            except (AnswerLost, DeadlinePassed, Unreachable) as error:
                lost = error
                continue
            if self._goes_on(answer):
                return
        raise AnswerLost(
            f"The stream of {self._subject} from {self._endpoint.name} broke off and could not be resumed: {lost}"
        )

    def _learn(self) -> None:
        """Keep what the connection that is gone has taught us; a new event id is progress."""
        if self.answer.retry_ms is not None:
            self._retry_ms = self.answer.retry_ms
        seen = self.answer.last_event_id
        if seen is not None and seen != self._last_id:
            self._last_id = seen
            self._failures = 0
        self._earlier = frozenset(self._came)

    def _delay(self, lost: ClientError) -> float:
        """Seconds until the next attempt; "The client MUST respect the `retry` field"."""
        retries = self._endpoint.terms.retries
        delay = retries.delay(self._failures, self._endpoint.terms.random())
        if self._retry_ms is not None:
            asked = max(self._retry_ms / 1000, _SOONEST)
            delay = asked if self._failures == 0 else max(asked, delay)
        idle = self._timeouts.idle
        if idle is not None and delay > idle:
            raise AnswerLost(
                f"{self._endpoint.name} closed the stream of {self._subject} and wants us back in {delay:g} s, "
                f"but we wait {idle:g} s at the most"
            ) from lost
        return delay

    async def _connect(self, last_id: str) -> Answer:
        endpoint = self._endpoint
        headers = {**self._headers, "Accept": STREAM, "Last-Event-ID": last_id}
        return await endpoint.web.send("GET", endpoint.url, headers, None, self._timeouts)

    def _goes_on(self, answer: Answer) -> bool:
        """Tell whether this is the stream, or may be the next time; raise if it never will be."""
        if is_stream(answer) and answer.status == 200:
            self.answer = answer
            return True
        answer.abort()
        name = self._endpoint.name
        if answer.status == 404:
            raise SessionForgotten(f"{name} does not know the session any more")
        if is_transient(answer):
            return False
        raise AnswerLost(
            f"The stream of {self._subject} broke off, and {name} answered {answer.status} when we wanted to resume it"
        )


def is_transient(answer: Answer) -> bool:
    """Tell whether the same request may well be answered in another way in a while.

    409: a server that has not noticed yet that the old connection is gone.
    """
    return answer.status in (408, 409, 425, 429) or (answer.status >= 500 and answer.status != 501)
